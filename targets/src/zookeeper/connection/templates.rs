//! The requests of a stream, encoded once.

use quorumeter_zk::request::{create_mode, watch_mode};
use quorumeter_zk::template::{DataTemplate, PathPattern, Template};
use quorumeter_zk::{Acl, OpCode};

use crate::zookeeper::layout::{Dataset, Layout};

/// The requests of one stream, encoded once.
#[derive(Debug)]
pub struct Templates {
    pub(super) dataset: Dataset,
    pub(super) node: PathPattern,
    pub(super) ephemeral: PathPattern,
    pub(super) read: Template,
    pub(super) read_and_watch: Template,
    pub(super) exists_and_watch: Template,
    pub(super) watch_ephemeral: Template,
    pub(super) sync_ephemeral: Template,
    pub(super) watch_always: Template,
    pub(super) watch_below: Template,
    pub(super) watch_node_below: Template,
    pub(super) list_node_and_watch: Template,
    pub(super) exists: Template,
    pub(super) list: Template,
    pub(super) write: DataTemplate,
    pub(super) sync: Template,
    pub(super) create: DataTemplate,
    pub(super) create_ephemeral: DataTemplate,
    pub(super) create_sequential: DataTemplate,
    pub(super) create_child: DataTemplate,
    pub(super) delete: Template,
    pub(super) delete_ephemeral: Template,
    pub(super) delete_sequential: Template,
    pub(super) delete_child: Template,
}

impl Templates {
    /// The requests of stream number `stream`.
    pub fn new(layout: &Layout, stream: usize, acl: &[Acl<'_>]) -> Templates {
        let node = layout.node_pattern();
        let parent = layout.parent_pattern();
        let created = layout.created_pattern(stream);
        let ephemeral = layout.ephemeral_pattern(stream);
        let child = layout.child_pattern(stream);
        let sequential = layout.sequential_pattern(stream);
        let sequential_stem = PathPattern::below(&layout.sequential_parent(stream), "/n-");
        let create = |path, flags| DataTemplate::create(OpCode::CREATE, path, acl, flags);
        Templates {
            dataset: layout.dataset,
            read: Template::flagged(OpCode::GET_DATA, &node, false),
            read_and_watch: Template::flagged(OpCode::GET_DATA, &node, true),
            exists_and_watch: Template::flagged(OpCode::EXISTS, &node, true),
            watch_ephemeral: Template::flagged(OpCode::EXISTS, &ephemeral, true),
            sync_ephemeral: Template::plain(OpCode::SYNC, &ephemeral),
            watch_always: Template::numbered(OpCode::ADD_WATCH, &node, watch_mode::PERSISTENT),
            watch_below: Template::numbered(OpCode::ADD_WATCH, &parent, watch_mode::PERSISTENT_RECURSIVE),
            watch_node_below: Template::numbered(OpCode::ADD_WATCH, &node, watch_mode::PERSISTENT_RECURSIVE),
            list_node_and_watch: Template::flagged(OpCode::GET_CHILDREN2, &node, true),
            exists: Template::flagged(OpCode::EXISTS, &node, false),
            list: Template::flagged(OpCode::GET_CHILDREN2, &parent, false),
            write: DataTemplate::set_data(&node),
            sync: Template::plain(OpCode::SYNC, &node),
            create: create(&created, create_mode::PERSISTENT),
            create_ephemeral: create(&ephemeral, create_mode::EPHEMERAL),
            create_sequential: create(&sequential_stem, create_mode::PERSISTENT_SEQUENTIAL),
            create_child: create(&child, create_mode::PERSISTENT),
            delete: Template::numbered(OpCode::DELETE, &created, -1),
            delete_ephemeral: Template::numbered(OpCode::DELETE, &ephemeral, -1),
            delete_sequential: Template::numbered(OpCode::DELETE, &sequential, -1),
            delete_child: Template::numbered(OpCode::DELETE, &child, -1),
            node,
            ephemeral,
        }
    }
}
