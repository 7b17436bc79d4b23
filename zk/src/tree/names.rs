//! Sets of names in the order in which upstream iterates them.
//!
//! Upstream keeps children and ephemerals in a `java.util.HashSet<String>`. Its order is seen by clients: in
//! the replies to getChildren and getEphemerals, and in the events of a closing session. This set is laid out
//! the same way (chains in a table of a power of two, Java's string hash, the same growth), so that the order
//! is the same; and so it is the same on every member. One thing is left out: a chain of eight or more names
//! in a table of 64 or more becomes a tree in Java, which moves one of its names to the front.

use std::sync::Arc;

const NONE: u32 = u32::MAX;

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
}

#[derive(Debug, Clone)]
struct Entry {
    /// `None` in an unused entry.
    path: Option<Arc<str>>,
    hash: u32,
    next: u32,
}

impl NameSet {
    /// An empty set whose table starts with `capacity` (a power of two) chains.
    pub(crate) fn new(capacity: usize, prefix_len: usize) -> NameSet {
        debug_assert!(capacity.is_power_of_two());
        NameSet { heads: vec![NONE; capacity], entries: Vec::new(), unused: NONE, count: 0, prefix_len }
    }

    /// Number of names.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Adds the name that ends `path`; false when it is there.
    pub(crate) fn insert(&mut self, path: Arc<str>) -> bool {
        let name = &path[self.prefix_len..];
        let hash = java_spread_hash(name);
        if self.find(name, hash).is_some() {
            return false;
        }
        let entry = Entry { path: Some(path), hash, next: NONE };
        let index = if self.unused == NONE {
            self.entries.push(entry);
            self.entries.len() as u32 - 1
        } else {
            let index = self.unused;
            let slot = &mut self.entries[index as usize];
            self.unused = slot.next;
            *slot = entry;
            index
        };
        self.append(index, hash);
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
        let Some((before, index)) = self.find(name, hash) else { return false };
        let entry = &mut self.entries[index as usize];
        let next = entry.next;
        *entry = Entry { path: None, hash: 0, next: self.unused };
        self.unused = index;
        match before {
            Some(before) => self.entries[before as usize].next = next,
            None => {
                let chain = self.chain(hash);
                self.heads[chain] = next;
            }
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

    /// The entry of a name, and the one before it in its chain.
    fn find(&self, name: &str, hash: u32) -> Option<(Option<u32>, u32)> {
        let mut before = None;
        for (index, entry) in self.walk(self.heads[self.chain(hash)]) {
            if entry.hash == hash
                && entry.path.as_deref().is_some_and(|path| &path[self.prefix_len..] == name)
            {
                return Some((before, index));
            }
            before = Some(index);
        }
        None
    }

    /// Puts an entry at the end of its chain.
    fn append(&mut self, index: u32, hash: u32) {
        let chain = self.chain(hash);
        match self.walk(self.heads[chain]).last() {
            None => self.heads[chain] = index,
            Some((last, _)) => self.entries[last as usize].next = index,
        }
    }

    /// Doubles the table. Names of one chain keep their order.
    fn grow(&mut self) {
        let capacity = self.heads.len() * 2;
        let old = std::mem::replace(&mut self.heads, vec![NONE; capacity]);
        for head in old {
            let mut at = head;
            while at != NONE {
                let entry = &mut self.entries[at as usize];
                let next = std::mem::replace(&mut entry.next, NONE);
                let hash = entry.hash;
                self.append(at, hash);
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
    fn a_set_grows_and_shrinks() {
        let mut names = set(&[]);
        for n in 0..1000 {
            assert!(names.insert(format!("/n{n:010}").into()));
        }
        assert_eq!((names.len(), names.heads.len()), (1000, 2048));
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
