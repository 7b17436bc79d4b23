//! Sets of names in the order in which upstream iterates them.
//!
//! Upstream keeps children and ephemerals in a `java.util.HashSet<String>`. Its order is seen by clients: in
//! the replies to getChildren and getEphemerals, and in the events of a closing session. This set is laid out
//! the same way (chains in a table of a power of two, Java's string hash, the same growth), so that the order
//! is the same; and so it is the same on every member. One thing is left out: a chain of eight or more names
//! in a table of 64 or more becomes a tree in Java, which moves one of its names to the front.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::hash::FastMap;

const NONE: u32 = u32::MAX;

/// The longest chain that is searched name by name. Only names chosen for it make a longer one (`Aa` and `BB` have
/// the same hash, and so has every sequence of them of a length): then names are looked up in a table of another
/// hash.
const LONG_CHAIN: usize = 64;

/// A set of names, each the end of a shared path.
#[derive(Debug, Clone)]
pub(crate) struct NameSet {
    /// First entry of each chain; its length is a power of two.
    heads: Vec<u32>,
    entries: Vec<Entry>,
    /// First unused entry.
    unused: u32,
    count: usize,
    /// Bytes at the front of every path that are not part of the name.
    prefix_len: usize,
    /// All entries by name, from the first time that a chain is too long.
    by_name: Option<Box<FastMap<Name, u32>>>,
}

#[derive(Debug, Clone)]
struct Entry {
    /// `None` in an unused entry.
    path: Option<Arc<str>>,
    hash: u32,
    next: u32,
    /// The entry before it; of the first one of a chain, the last.
    previous: u32,
}

/// The name that a path ends with.
#[derive(Debug, Clone)]
struct Name {
    path: Arc<str>,
    prefix_len: usize,
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.path[self.prefix_len..]
    }
}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let name: &str = self.borrow();
        name.hash(state);
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        let (one, two): (&str, &str) = (self.borrow(), other.borrow());
        one == two
    }
}

impl Eq for Name {}

impl NameSet {
    /// An empty set whose table starts with `capacity` (a power of two) chains.
    pub(crate) fn new(capacity: usize, prefix_len: usize) -> NameSet {
        debug_assert!(capacity.is_power_of_two());
        NameSet {
            heads: vec![NONE; capacity],
            entries: Vec::new(),
            unused: NONE,
            count: 0,
            prefix_len,
            by_name: None,
        }
    }

    /// Number of names.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Adds the name that ends `path`; false when it is there.
    pub(crate) fn insert(&mut self, path: Arc<str>) -> bool {
        let name = &path[self.prefix_len..];
        let hash = java_spread_hash(name);
        match self.find(name, hash) {
            Ok(_) => return false,
            Err(looked_at) if looked_at >= LONG_CHAIN => self.index_names(),
            Err(_) => {}
        }
        let index = match self.unused {
            NONE => self.entries.len() as u32,
            index => index,
        };
        if let Some(by_name) = &mut self.by_name {
            by_name.insert(Name { path: Arc::clone(&path), prefix_len: self.prefix_len }, index);
        }
        let entry = Entry { path: Some(path), hash, next: NONE, previous: NONE };
        match self.entries.get_mut(index as usize) {
            None => self.entries.push(entry),
            Some(slot) => {
                self.unused = slot.next;
                *slot = entry;
            }
        }
        self.append(index);
        self.count += 1;
        // Java's load factor is 0.75; the table grows after the name that exceeds it.
        if self.count > self.heads.len() * 3 / 4 {
            self.grow();
        }
        true
    }

    /// Removes a name; false when it is not there.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        let hash = java_spread_hash(name);
        let Ok(index) = self.find(name, hash) else { return false };
        if let Some(by_name) = &mut self.by_name {
            by_name.remove(name);
        }
        let unused = Entry { path: None, hash: 0, next: self.unused, previous: NONE };
        let Entry { next, previous, .. } = std::mem::replace(&mut self.entries[index as usize], unused);
        self.unused = index;
        let chain = self.chain(hash);
        let head = self.heads[chain];
        if head == index {
            self.heads[chain] = next;
        } else {
            self.entries[previous as usize].next = next;
        }
        // The last entry is known to the first one.
        let behind = if next == NONE { self.heads[chain] } else { next };
        if behind != NONE {
            self.entries[behind as usize].previous = previous;
        }
        self.count -= 1;
        true
    }

    /// The names in Java's order.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.paths().map(|path| &path[self.prefix_len..])
    }

    /// The paths in Java's order of their names.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Arc<str>> {
        self.heads.iter().flat_map(|&head| self.walk(head)).map(|(_, entry)| {
            // A chain links used entries only.
            entry.path.as_ref().expect("an entry of a chain has a path")
        })
    }

    /// The set as `HashSet.clone` makes it: of the same names, in a table of the least size.
    pub(crate) fn copy(&self) -> NameSet {
        // HashMap.putMapEntries: tableSizeFor(count / 0.75 + 1).
        let capacity = (self.count * 4 / 3 + 1).next_power_of_two();
        let mut copy = NameSet::new(capacity, self.prefix_len);
        for path in self.paths() {
            copy.insert(Arc::clone(path));
        }
        copy
    }

    fn chain(&self, hash: u32) -> usize {
        hash as usize & (self.heads.len() - 1)
    }

    fn walk(&self, head: u32) -> impl Iterator<Item = (u32, &Entry)> {
        let mut at = head;
        std::iter::from_fn(move || {
            let entry = self.entries.get(at as usize)?;
            let index = std::mem::replace(&mut at, entry.next);
            Some((index, entry))
        })
    }

    /// The entry of a name; if there is none, how many others have been looked at.
    fn find(&self, name: &str, hash: u32) -> Result<u32, usize> {
        if let Some(by_name) = &self.by_name {
            return by_name.get(name).copied().ok_or(0);
        }
        let mut looked_at = 0;
        for (index, entry) in self.walk(self.heads[self.chain(hash)]) {
            if entry.hash == hash
                && entry.path.as_deref().is_some_and(|path| &path[self.prefix_len..] == name)
            {
                return Ok(index);
            }
            looked_at += 1;
        }
        Err(looked_at)
    }

    fn index_names(&mut self) {
        let prefix_len = self.prefix_len;
        let used = self.entries.iter().zip(0u32..).filter_map(|(entry, index)| {
            let path = Arc::clone(entry.path.as_ref()?);
            Some((Name { path, prefix_len }, index))
        });
        self.by_name = Some(Box::new(used.collect()));
    }

    /// Puts an entry at the end of its chain.
    fn append(&mut self, index: u32) {
        let chain = self.chain(self.entries[index as usize].hash);
        let head = self.heads[chain];
        let entry = &mut self.entries[index as usize];
        entry.next = NONE;
        if head == NONE {
            entry.previous = index;
            self.heads[chain] = index;
        } else {
            let last = std::mem::replace(&mut self.entries[head as usize].previous, index);
            self.entries[index as usize].previous = last;
            self.entries[last as usize].next = index;
        }
    }

    /// Doubles the table. Names of one chain keep their order.
    fn grow(&mut self) {
        let capacity = self.heads.len() * 2;
        let old = std::mem::replace(&mut self.heads, vec![NONE; capacity]);
        for head in old {
            let mut at = head;
            while at != NONE {
                let next = self.entries[at as usize].next;
                self.append(at);
                at = next;
            }
        }
    }
}

/// `String.hashCode`, over UTF-16.
pub(crate) fn java_hash(text: &str) -> u32 {
    let step = |hash: u32, unit: u16| hash.wrapping_mul(31).wrapping_add(u32::from(unit));
    if text.is_ascii() {
        text.bytes().fold(0, |hash, byte| step(hash, u16::from(byte)))
    } else {
        text.encode_utf16().fold(0, step)
    }
}

/// `HashMap.hash`.
pub(crate) fn java_spread(hash: u32) -> u32 {
    hash ^ hash >> 16
}

fn java_spread_hash(text: &str) -> u32 {
    java_spread(java_hash(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(names: &[&str]) -> NameSet {
        let mut set = NameSet::new(8, 1);
        for name in names {
            assert!(set.insert(format!("/{name}").into()));
        }
        set
    }

    #[test]
    fn hash_and_order_are_javas() {
        // All of this is the output of OpenJDK 17.
        assert_eq!((java_hash("zookeeper"), java_hash("ä☃"), java_hash("")), (1_600_681_804, 16_799, 0));
        let mut names = set(&[]);
        for n in 0..30 {
            names.insert(format!("/n{:010}", n * 7).into());
        }
        names.insert("/ä☃".into());
        names.insert("/zookeeper".into());
        for n in 0..20 {
            names.remove(&format!("n{:010}", n * 7));
        }
        let order = |set: &NameSet| {
            let names: Vec<_> = set.names().map(|name| name.trim_start_matches("n0000000")).collect();
            names.join(" ")
        };
        assert_eq!(order(&names), "182 140 161 168 189 203 147 ä☃ zookeeper 175 196 154");
        assert_eq!(order(&names.copy()), "zookeeper 175 196 154 182 140 161 168 189 203 147 ä☃");
        let mut paths = NameSet::new(16, 0);
        for n in 0..12 {
            paths.insert(format!("/e{n}").into());
        }
        assert_eq!(order(&paths.copy()), "/e6 /e11 /e7 /e8 /e9 /e10 /e0 /e1 /e2 /e3 /e4 /e5");
    }

    #[test]
    fn names_that_collide_keep_their_order() {
        // "Aa" and "BB" have the same hash in Java.
        let mut names = set(&["AaAa", "BBBB", "AaBB", "BBAa", "x"]);
        let order = |set: &NameSet| set.names().filter(|n| *n != "x").map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(order(&names), ["AaAa", "BBBB", "AaBB", "BBAa"]);
        assert!(names.remove("BBBB"));
        assert!(!names.remove("BBBB"));
        assert!(names.insert("/BBBB".into()));
        assert!(!names.insert("/BBBB".into()));
        assert_eq!(order(&names), ["AaAa", "AaBB", "BBAa", "BBBB"]);
        assert_eq!(order(&names.copy()), order(&names));
    }

    #[test]
    fn many_names_that_collide_are_found_by_another_hash() {
        // 2^15 names of one hash: 15 times "Aa" or "BB".
        let name =
            |n: u32| (0..15).map(|bit| if n >> bit & 1 == 0 { "Aa" } else { "BB" }).collect::<String>();
        let mut names = set(&["x"]);
        for n in 0..1 << 15 {
            assert!(names.insert(format!("/{}", name(n)).into()));
        }
        assert!(!names.insert(format!("/{}", name(77)).into()));
        for n in (0..1 << 15).filter(|n| n % 3 != 1) {
            assert!(names.remove(&name(n)));
        }
        assert!(!names.remove(&name(0)));
        assert!(names.insert(format!("/{}", name(0)).into()));
        let rest: Vec<_> = (0..1 << 15).filter(|n| n % 3 == 1).chain([0]).map(name).collect();
        assert_eq!(names.names().filter(|name| *name != "x").collect::<Vec<_>>(), rest);
        assert_eq!(names.copy().names().filter(|name| *name != "x").collect::<Vec<_>>(), rest);
        assert_eq!(names.len(), rest.len() + 1);
        assert_eq!(names.by_name.as_ref().map(|by_name| by_name.len()), Some(names.len()));
    }

    #[test]
    fn a_set_grows_and_shrinks() {
        let mut names = set(&[]);
        for n in 0..1000 {
            assert!(names.insert(format!("/n{n:010}").into()));
        }
        assert_eq!((names.len(), names.heads.len(), names.by_name.is_some()), (1000, 2048, false));
        assert_eq!(names.names().count(), 1000);
        for n in 0..990 {
            assert!(names.remove(&format!("n{n:010}")));
        }
        assert_eq!(names.entries.len(), 1000);
        assert_eq!(names.copy().heads.len(), 16);
        for n in 0..500 {
            assert!(names.insert(format!("/n{n:010}").into()));
        }
        assert_eq!((names.len(), names.entries.len()), (510, 1000));
        let mut sorted: Vec<_> = names.names().collect();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), 510);
    }
}
