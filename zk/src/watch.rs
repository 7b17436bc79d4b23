//! The watch table: who waits for what, and which event goes to whom (`DataTree` and `WatchManager` of
//! 3.9.4).
//!
//! There are two tables, as upstream has them. A one-shot data or exist watch is in the data table, a
//! one-shot child watch in the child table, a persistent watch in both, a persistent recursive one in the
//! data table.
//!
//! | trigger | data table | child table |
//! |---|---|---|
//! | created, data changed | watchers of the path; recursive ones of its parents | – |
//! | deleted | the same | watchers of the path, unless the data table gave them the event |
//! | children changed | – | watchers of the path |
//!
//! Whoever is registered under several kinds gets an event once. One-shot watches of the path itself are gone
//! afterwards, in each table that was looked at.
//!
//! A persistent watch may be of null instead of a path (`None` here): upstream takes it, keeps it and counts it, and
//! nothing happens to it.

use std::sync::Arc;

use crate::event::EventType;
use crate::path;
use crate::request::{SetWatches, watch_mode, watcher_type};
use crate::tree::{FastMap, FastSet, Tree, Trigger};

/// Who watches: the server's number for a connection.
pub type WatcherId = u64;

/// How a watcher watches a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    OneShot = 1,
    Persistent = 2,
    Recursive = 4,
}

/// Every mode.
const ANY: u8 = 7;

/// All watches of a member.
#[derive(Debug, Default)]
pub struct WatchTable {
    data: Side,
    child: Side,
}

impl WatchTable {
    /// A table without any watch.
    pub fn new() -> WatchTable {
        WatchTable::default()
    }

    /// Sets a one-shot watch on a znode's data, or on its creation.
    pub fn watch_data(&mut self, path: &str, watcher: WatcherId) {
        self.data.add(Some(path), watcher, Mode::OneShot);
    }

    /// Sets a one-shot watch on a znode's children.
    pub fn watch_children(&mut self, path: &str, watcher: WatcherId) {
        self.child.add(Some(path), watcher, Mode::OneShot);
    }

    /// Sets a watch of a [`watch_mode`]; false for a mode that does not exist.
    pub fn add_watch(&mut self, path: Option<&str>, watcher: WatcherId, mode: i32) -> bool {
        match mode {
            watch_mode::PERSISTENT => {
                self.data.add(path, watcher, Mode::Persistent);
                self.child.add(path, watcher, Mode::Persistent);
            }
            watch_mode::PERSISTENT_RECURSIVE => self.data.add(path, watcher, Mode::Recursive),
            _ => return false,
        }
        true
    }

    /// Whether there is a watch of a [`watcher_type`]; `None` for a type that does not exist.
    pub fn has_watch(&self, path: Option<&str>, watcher: WatcherId, kind: i32) -> Option<bool> {
        let data = self.data.modes(path, watcher);
        let child = self.child.modes(path, watcher);
        Some(match kind {
            watcher_type::CHILDREN => child & Mode::OneShot as u8 != 0,
            watcher_type::DATA => data & Mode::OneShot as u8 != 0,
            watcher_type::PERSISTENT => data & Mode::Persistent as u8 != 0,
            watcher_type::PERSISTENT_RECURSIVE => data & Mode::Recursive as u8 != 0,
            watcher_type::ANY => data | child != 0,
            _ => return None,
        })
    }

    /// Removes the watches of a [`watcher_type`]; whether there was one; `None` for a type that does not
    /// exist.
    pub fn remove_watch(&mut self, path: Option<&str>, watcher: WatcherId, kind: i32) -> Option<bool> {
        let (data, child) = match kind {
            watcher_type::CHILDREN => (0, Mode::OneShot as u8),
            watcher_type::DATA => (Mode::OneShot as u8, 0),
            watcher_type::PERSISTENT => (Mode::Persistent as u8, Mode::Persistent as u8),
            watcher_type::PERSISTENT_RECURSIVE => (Mode::Recursive as u8, 0),
            watcher_type::ANY => (ANY, ANY),
            _ => return None,
        };
        let from_child = self.child.remove(path, watcher, child);
        let from_data = self.data.remove(path, watcher, data);
        Some(from_child || from_data)
    }

    /// Removes all watches of a watcher: its connection is closed.
    pub fn forget(&mut self, watcher: WatcherId) {
        self.data.forget(watcher);
        self.child.forget(watcher);
    }

    /// Sets watches again after a reconnect. For what happened after the zxid that the client names, `fire`
    /// is called instead; upstream sends these events with zxid −1, and without a look at ACLs.
    pub fn set_again<'a>(
        &mut self,
        tree: &Tree,
        watcher: WatcherId,
        watches: &SetWatches<'a>,
        mut fire: impl FnMut(EventType, &str),
    ) {
        let since = watches.relative_zxid;
        for path in watches.data.iter() {
            match tree.get(&path).map(|node| node.stat().mzxid) {
                None => fire(EventType::NODE_DELETED, &path),
                Some(mzxid) if mzxid > since => fire(EventType::NODE_DATA_CHANGED, &path),
                Some(_) => self.watch_data(&path, watcher),
            }
        }
        for path in watches.exist.iter() {
            match tree.get(&path) {
                Some(_) => fire(EventType::NODE_CREATED, &path),
                None => self.watch_data(&path, watcher),
            }
        }
        for path in watches.child.iter() {
            match tree.get(&path).map(|node| node.stat().pzxid) {
                None => fire(EventType::NODE_DELETED, &path),
                Some(pzxid) if pzxid > since => fire(EventType::NODE_CHILDREN_CHANGED, &path),
                Some(_) => self.watch_children(&path, watcher),
            }
        }
        for path in watches.persistent.iter() {
            self.add_watch(Some(&path), watcher, watch_mode::PERSISTENT);
        }
        for path in watches.persistent_recursive.iter() {
            self.add_watch(Some(&path), watcher, watch_mode::PERSISTENT_RECURSIVE);
        }
    }

    /// Fills `watchers` with those who get the trigger's event, each once, in no particular order. Whether
    /// they may read the znode is the caller's question: see [`Trigger::acl`].
    #[inline]
    pub fn fire(&mut self, trigger: &Trigger, watchers: &mut Vec<WatcherId>) {
        watchers.clear();
        let tables = match trigger.kind {
            EventType::NODE_CREATED | EventType::NODE_DATA_CHANGED => self.data.fire(&trigger.path, watchers),
            EventType::NODE_CHILDREN_CHANGED => self.child.fire(&trigger.path, watchers),
            EventType::NODE_DELETED => {
                self.data.fire(&trigger.path, watchers) + self.child.fire(&trigger.path, watchers)
            }
            _ => 0,
        };
        // Within one list everybody is there once.
        if tables > 1 {
            watchers.sort_unstable();
            watchers.dedup();
        }
    }

    /// Number of watches: pairs of path and watcher, those of the two tables added up.
    pub fn watch_count(&self) -> usize {
        self.data.watch_count() + self.child.watch_count()
    }

    /// What `wchs` tells: watchers, paths and watches of the data table.
    pub fn data_summary(&self) -> (usize, usize, usize) {
        let paths = self.data.by_path.len() + usize::from(self.data.null.is_some());
        (self.data.by_watcher.len(), paths, self.data.watch_count())
    }

    /// What `wchp` tells: the paths of the data table and the watchers of each, in no particular order.
    pub fn data_by_path(&self) -> impl Iterator<Item = (Option<&str>, impl Iterator<Item = WatcherId>)> {
        let numbers = self.data.by_path.values().chain(&self.data.null);
        numbers.map(|&number| {
            let watched = &self.data.paths[number as usize];
            (watched.path.as_deref(), watched.watchers.keys().copied())
        })
    }

    /// What `wchc` tells: the watchers of the data table and the paths of each, in no particular order. A watcher whose
    /// one-shot watches are all used up has none.
    pub fn data_by_watcher(&self) -> impl Iterator<Item = (WatcherId, impl Iterator<Item = Option<&str>>)> {
        let path = |&number: &u32| self.data.paths[number as usize].path.as_deref();
        self.data.by_watcher.iter().map(move |(watcher, numbers)| (*watcher, numbers.iter().map(path)))
    }
}

/// One of the two tables. Paths that are watched have a number, so that a watcher's paths take four bytes
/// each.
#[derive(Debug, Default)]
struct Side {
    by_path: FastMap<Arc<str>, u32>,
    /// The number of null, when it is watched.
    null: Option<u32>,
    paths: Vec<Watched>,
    unused: Vec<u32>,
    by_watcher: FastMap<WatcherId, FastSet<u32>>,
    /// Recursive watches: without any, parents need not be looked at.
    recursive: usize,
}

#[derive(Debug)]
struct Watched {
    path: Option<Arc<str>>,
    /// The sum of the modes of each watcher, never 0.
    watchers: FastMap<WatcherId, u8>,
}

impl Side {
    fn add(&mut self, path: Option<&str>, watcher: WatcherId, mode: Mode) {
        let number = self.number(path).unwrap_or_else(|| self.new_path(path));
        let modes = self.paths[number as usize].watchers.entry(watcher).or_default();
        if *modes == 0 {
            self.by_watcher.entry(watcher).or_default().insert(number);
        }
        if mode == Mode::Recursive && *modes & Mode::Recursive as u8 == 0 {
            self.recursive += 1;
        }
        *modes |= mode as u8;
    }

    fn number(&self, path: Option<&str>) -> Option<u32> {
        match path {
            Some(path) => self.by_path.get(path).copied(),
            None => self.null,
        }
    }

    fn new_path(&mut self, path: Option<&str>) -> u32 {
        let path: Option<Arc<str>> = path.map(Arc::from);
        let number = match self.unused.pop() {
            Some(number) => {
                self.paths[number as usize].path = path.clone();
                number
            }
            None => {
                self.paths.push(Watched { path: path.clone(), watchers: FastMap::default() });
                self.paths.len() as u32 - 1
            }
        };
        match path {
            Some(path) => _ = self.by_path.insert(path, number),
            None => self.null = Some(number),
        }
        number
    }

    fn modes(&self, path: Option<&str>, watcher: WatcherId) -> u8 {
        let Some(number) = self.number(path) else { return 0 };
        self.paths[number as usize].watchers.get(&watcher).copied().unwrap_or(0)
    }

    /// Takes `modes` from a watch; whether there was one of them.
    fn remove(&mut self, path: Option<&str>, watcher: WatcherId, modes: u8) -> bool {
        let Some(number) = self.number(path) else { return false };
        let Some(kept) = self.paths[number as usize].watchers.get_mut(&watcher) else { return false };
        let removed = *kept & modes;
        *kept &= !modes;
        if removed & Mode::Recursive as u8 != 0 {
            self.recursive -= 1;
        }
        if *kept == 0 {
            self.paths[number as usize].watchers.remove(&watcher);
            if let Some(numbers) = self.by_watcher.get_mut(&watcher) {
                numbers.remove(&number);
                if numbers.is_empty() {
                    self.by_watcher.remove(&watcher);
                }
            }
            self.drop_if_unwatched(number);
        }
        removed != 0
    }

    fn forget(&mut self, watcher: WatcherId) {
        for number in self.by_watcher.remove(&watcher).unwrap_or_default() {
            let modes = self.paths[number as usize].watchers.remove(&watcher).unwrap_or(0);
            if modes & Mode::Recursive as u8 != 0 {
                self.recursive -= 1;
            }
            self.drop_if_unwatched(number);
        }
    }

    fn drop_if_unwatched(&mut self, number: u32) {
        let watched = &mut self.paths[number as usize];
        if watched.watchers.is_empty() {
            match &watched.path {
                Some(path) => _ = self.by_path.remove(path),
                None => self.null = None,
            }
            // What a watch of thousands has grown to is not kept for the next path.
            if watched.watchers.capacity() > 64 {
                watched.watchers = FastMap::default();
            }
            self.unused.push(number);
        }
    }

    /// Appends the watchers of a path and the recursive ones of its parents; the number of lists that they
    /// came from.
    fn fire(&mut self, path: &str, watchers: &mut Vec<WatcherId>) -> usize {
        if self.by_path.is_empty() {
            return 0;
        }
        let mut lists = usize::from(self.fire_path(path, watchers));
        if self.recursive > 0 {
            let mut at = path::parent(path);
            while let Some(parent) = at {
                if let Some(&number) = self.by_path.get(parent) {
                    let before = watchers.len();
                    let all = self.paths[number as usize].watchers.iter();
                    watchers.extend(
                        all.filter(|(_, modes)| **modes & Mode::Recursive as u8 != 0).map(|(id, _)| *id),
                    );
                    lists += usize::from(watchers.len() > before);
                }
                at = path::parent(parent);
            }
        }
        lists
    }

    /// Appends the watchers of a path, and removes what was one-shot.
    fn fire_path(&mut self, path: &str, watchers: &mut Vec<WatcherId>) -> bool {
        let Some(&number) = self.by_path.get(path) else { return false };
        let by_watcher = &mut self.by_watcher;
        self.paths[number as usize].watchers.retain(|watcher, modes| {
            watchers.push(*watcher);
            *modes &= !(Mode::OneShot as u8);
            // As upstream, a watcher without watches stays in the table until its connection closes.
            if *modes == 0
                && let Some(numbers) = by_watcher.get_mut(watcher)
            {
                numbers.remove(&number);
            }
            *modes != 0
        });
        self.drop_if_unwatched(number);
        true
    }

    fn watch_count(&self) -> usize {
        self.paths.iter().map(|watched| watched.watchers.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fire(table: &mut WatchTable, kind: EventType, path: &str) -> Vec<WatcherId> {
        let mut watchers = Vec::new();
        table.fire(&Trigger { kind, path: path.into(), acl: None }, &mut watchers);
        watchers.sort_unstable();
        watchers
    }

    const CREATED: EventType = EventType::NODE_CREATED;
    const DELETED: EventType = EventType::NODE_DELETED;
    const CHANGED: EventType = EventType::NODE_DATA_CHANGED;
    const CHILDREN: EventType = EventType::NODE_CHILDREN_CHANGED;

    #[test]
    fn each_kind_of_watch_gets_its_events() {
        // One watcher of each kind on /a: 1 data, 2 child, 3 persistent, 4 recursive.
        let new = || {
            let mut table = WatchTable::new();
            table.watch_data("/a", 1);
            table.watch_children("/a", 2);
            assert!(table.add_watch(Some("/a"), 3, watch_mode::PERSISTENT));
            assert!(table.add_watch(Some("/a"), 4, watch_mode::PERSISTENT_RECURSIVE));
            assert!(!table.add_watch(Some("/a"), 4, 2));
            assert_eq!(table.watch_count(), 5);
            table
        };
        for (kind, path, first, second) in [
            (CREATED, "/a", &[1, 3, 4][..], &[3, 4][..]),
            (CHANGED, "/a", &[1, 3, 4], &[3, 4]),
            (DELETED, "/a", &[1, 2, 3, 4], &[3, 4]),
            (CHILDREN, "/a", &[2, 3], &[3]),
            (CREATED, "/a/b", &[4], &[4]),
            (DELETED, "/a/b/c", &[4], &[4]),
            (CHILDREN, "/a/b", &[], &[]),
            (CHANGED, "/ab", &[], &[]),
            (CHANGED, "/", &[], &[]),
        ] {
            let mut table = new();
            assert_eq!(fire(&mut table, kind, path), first, "{kind:?} {path}");
            assert_eq!(fire(&mut table, kind, path), second, "{kind:?} {path} again");
        }
    }

    #[test]
    fn several_kinds_of_one_watcher_get_an_event_once() {
        let mut table = WatchTable::new();
        table.watch_data("/a/b", 1);
        table.watch_children("/a/b", 1);
        for path in ["/", "/a", "/a/b"] {
            table.add_watch(Some(path), 1, watch_mode::PERSISTENT_RECURSIVE);
            table.add_watch(Some(path), 1, watch_mode::PERSISTENT);
        }
        assert_eq!(fire(&mut table, DELETED, "/a/b"), [1]);
        assert_eq!(table.has_watch(Some("/a/b"), 1, watcher_type::DATA), Some(false));
        assert_eq!(
            table.has_watch(Some("/a/b"), 1, watcher_type::CHILDREN),
            Some(false),
            "it is used up, though unheard"
        );
        assert_eq!(fire(&mut table, CHILDREN, "/a"), [1]);
    }

    #[test]
    fn watches_are_checked_and_removed_by_type() {
        let mut table = WatchTable::new();
        table.watch_data("/a", 1);
        table.watch_children("/a", 1);
        table.add_watch(Some("/a"), 1, watch_mode::PERSISTENT);
        table.add_watch(Some("/a"), 1, watch_mode::PERSISTENT_RECURSIVE);
        for kind in 1..=5 {
            assert_eq!(table.has_watch(Some("/a"), 1, kind), Some(true), "{kind}");
            assert_eq!(table.has_watch(Some("/a"), 2, kind), Some(false), "{kind}");
            assert_eq!(table.remove_watch(Some("/b"), 1, kind), Some(false), "{kind}");
        }
        assert_eq!((table.has_watch(Some("/a"), 1, 0), table.remove_watch(Some("/a"), 1, 6)), (None, None));
        for kind in [1, 2, 4, 5] {
            assert_eq!(table.remove_watch(Some("/a"), 1, kind), Some(true), "{kind}");
            assert_eq!(table.remove_watch(Some("/a"), 1, kind), Some(false), "{kind} again");
        }
        assert_eq!(table.remove_watch(Some("/a"), 1, watcher_type::ANY), Some(false));
        assert_eq!((table.watch_count(), table.data.recursive), (0, 0));
        assert!(table.data.by_watcher.is_empty() && table.data.by_path.is_empty());
    }

    #[test]
    fn a_closed_connection_leaves_nothing() {
        let mut table = WatchTable::new();
        for watcher in 0..1000 {
            table.watch_data("/a", watcher);
            table.add_watch(Some(&format!("/{watcher}")), watcher, watch_mode::PERSISTENT_RECURSIVE);
        }
        assert_eq!(table.data_summary(), (1000, 1001, 2000));
        for watcher in 0..1000 {
            table.forget(watcher);
        }
        assert_eq!((table.data_summary(), table.data.recursive), ((0, 0, 0), 0));
        assert_eq!(table.data.unused.len(), 1001);
        table.watch_data("/b", 1);
        assert_eq!(fire(&mut table, CREATED, "/b"), [1]);
        assert_eq!(table.data.paths.len(), 1001);
    }

    #[test]
    fn null_is_watched_as_paths_are() {
        let mut table = WatchTable::new();
        for mode in [watch_mode::PERSISTENT, watch_mode::PERSISTENT_RECURSIVE] {
            assert!(table.add_watch(None, 1, mode));
        }
        table.add_watch(Some("null"), 1, watch_mode::PERSISTENT);
        assert_eq!((table.data_summary(), table.watch_count()), ((1, 2, 2), 4));
        for (kind, is_there) in [(1, false), (2, false), (3, true), (4, true), (5, true)] {
            assert_eq!(table.has_watch(None, 1, kind), Some(is_there), "{kind}");
        }
        for kind in [CREATED, CHANGED, DELETED, CHILDREN] {
            assert_eq!(fire(&mut table, kind, "/null"), []);
        }
        assert_eq!(table.remove_watch(None, 1, watcher_type::PERSISTENT), Some(true));
        assert_eq!(table.remove_watch(None, 1, watcher_type::ANY), Some(true));
        assert_eq!(table.remove_watch(None, 1, watcher_type::ANY), Some(false));
        assert_eq!((table.data_summary(), table.data.recursive), ((1, 1, 1), 0));
        // Its number is another path's now, and that path's number its.
        table.watch_data("/a", 1);
        table.remove_watch(Some("null"), 1, watcher_type::ANY);
        table.add_watch(None, 2, watch_mode::PERSISTENT);
        assert_eq!(fire(&mut table, CHANGED, "/a"), [1]);
        table.forget(2);
        assert_eq!((table.data_summary(), table.data.null), ((1, 0, 0), None));
    }

    #[test]
    fn the_data_table_is_listed_by_path_and_by_watcher() {
        let by_path = |table: &WatchTable| {
            let mut list: Vec<_> = table
                .data_by_path()
                .map(|(path, watchers)| {
                    let mut watchers: Vec<_> = watchers.collect();
                    watchers.sort_unstable();
                    (path.map(str::to_owned), watchers)
                })
                .collect();
            list.sort_unstable();
            list
        };
        let by_watcher = |table: &WatchTable| {
            let mut list: Vec<_> = table
                .data_by_watcher()
                .map(|(watcher, paths)| {
                    let mut paths: Vec<_> = paths.map(|path| path.map(str::to_owned)).collect();
                    paths.sort_unstable();
                    (watcher, paths)
                })
                .collect();
            list.sort_unstable();
            list
        };
        let path = |path: &str| Some(path.to_owned());
        let mut table = WatchTable::new();
        assert_eq!((by_path(&table), by_watcher(&table)), (vec![], vec![]));
        table.watch_data("/a", 1);
        table.watch_children("/child", 1);
        table.add_watch(Some("/a"), 2, watch_mode::PERSISTENT);
        table.add_watch(Some("/b"), 2, watch_mode::PERSISTENT_RECURSIVE);
        table.add_watch(None, 3, watch_mode::PERSISTENT);
        assert_eq!(by_path(&table), [(None, vec![3]), (path("/a"), vec![1, 2]), (path("/b"), vec![2])]);
        let expected = [(1, vec![path("/a")]), (2, vec![path("/a"), path("/b")]), (3, vec![None])];
        assert_eq!(by_watcher(&table), expected);
        fire(&mut table, CHANGED, "/a");
        table.forget(3);
        assert_eq!(by_path(&table), [(path("/a"), vec![2]), (path("/b"), vec![2])]);
        assert_eq!(by_watcher(&table), [(1, vec![]), (2, vec![path("/a"), path("/b")])]);
    }

    #[test]
    fn watches_set_again_fire_for_what_changed_meanwhile() {
        use crate::request::{Create, Request};
        use crate::tree::{Change, Transaction};
        use crate::{Acl, jute::List};

        let mut tree = Tree::new();
        let mut apply = |session_id, change| {
            let zxid = tree.last_zxid() + 1;
            let identities = std::borrow::Cow::Borrowed(&[][..]);
            let transaction = Transaction { zxid, time_ms: 0, session_id, identities, change };
            tree.apply(&transaction, &mut Vec::new()).unwrap();
        };
        apply(1, Change::CreateSession { timeout_ms: 1 });
        let acl = [Acl::OPEN];
        for path in ["/old", "/new", "/old/child"] {
            let create = Create { path: path.into(), data: None, acl: List::from(&acl[..]), flags: 0 };
            apply(1, Change::Request(Request::Create(create)));
        }
        // /old was created at zxid 2, /new at 3, the child of /old at 4.
        let lists = [
            &["/old", "/new", "/none"][..],
            &["/old", "/none"],
            &["/old", "/new", "/none"],
            &["/p"],
            &["/r"],
        ]
        .map(|paths| paths.iter().map(|path| std::borrow::Cow::Borrowed(*path)).collect::<Vec<_>>());
        let watches = SetWatches {
            relative_zxid: 2,
            data: List::from(&lists[0][..]),
            exist: List::from(&lists[1][..]),
            child: List::from(&lists[2][..]),
            persistent: List::from(&lists[3][..]),
            persistent_recursive: List::from(&lists[4][..]),
        };
        let mut table = WatchTable::new();
        let mut fired = Vec::new();
        table.set_again(&tree, 1, &watches, |kind, path| fired.push((kind, path.to_owned())));
        let expected = [
            (CHANGED, "/new"),
            (DELETED, "/none"),
            (CREATED, "/old"),
            (CHILDREN, "/old"),
            (CHILDREN, "/new"),
            (DELETED, "/none"),
        ];
        assert_eq!(fired, expected.map(|(kind, path)| (kind, path.to_owned())));
        for (path, kind) in [
            ("/old", watcher_type::DATA),
            ("/none", watcher_type::DATA),
            ("/p", watcher_type::PERSISTENT),
            ("/r", watcher_type::PERSISTENT_RECURSIVE),
        ] {
            assert_eq!(table.has_watch(Some(path), 1, kind), Some(true), "{path}");
        }
        assert_eq!(table.watch_count(), 5);
    }
}
