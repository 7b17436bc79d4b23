//! Which znodes the ensemble deletes by itself (`ContainerManager`).

use std::sync::Arc;

use super::Tree;
use super::node::Lifetime;

impl Tree {
    /// Containers that had children and have none, and znodes whose time to live is over at `now_ms` (wall
    /// time, milliseconds since 1970). The leader proposes a deleteContainer for each of them; between now
    /// and then a child may be created, and the request fails, as it should.
    pub fn due(&self, now_ms: i64) -> Vec<Arc<str>> {
        let childless = |path: &&Arc<str>| self.get(path).is_some_and(|node| node.child_count() == 0);
        let mut due: Vec<Arc<str>> = Vec::new();
        for path in self.containers.paths().filter(childless) {
            // One that never had a child is left alone.
            if self.get(path).is_some_and(|node| node.created_children > 0) {
                due.push(Arc::clone(path));
            }
        }
        for path in self.with_ttl.paths().filter(childless) {
            let is_over = |node: &super::Node| match node.lifetime {
                Lifetime::TimeToLive(ttl_ms) => now_ms.saturating_sub(node.mtime_ms) > ttl_ms,
                _ => false,
            };
            if self.get(path).is_some_and(is_over) {
                due.push(Arc::clone(path));
            }
        }
        due
    }
}
