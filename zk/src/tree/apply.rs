//! Applying transactions (`DataTree.processTxn`).

use std::sync::Arc;

use super::names::NameSet;
use super::node::{Lifetime, Node};
use super::prepare::{self, Asker, CreateOp, Prepared, PreparedCreate};
use super::transaction::{Change, OpResult, Transaction, Trigger, WriteReply};
use super::{Tree, data_size, node_size};
use crate::error::ErrorCode;
use crate::event::EventType;
use crate::jute::List;
use crate::multi::MultiOp;
use crate::path;
use crate::request::Request;
use crate::stat::Stat;

impl Tree {
    /// Applies a transaction, and appends what happened to `triggers`.
    ///
    /// A transaction that fails changes nothing but [`Tree::last_zxid`]. A multi that fails is answered with
    /// a reply that says so, see [`WriteReply::failure`]. A change that is asked for in the name of a session
    /// that is not open (any more) is answered `SESSIONEXPIRED`; requests that are not writes
    /// `UNIMPLEMENTED`.
    pub fn apply(
        &mut self,
        transaction: &Transaction<'_>,
        triggers: &mut Vec<Trigger>,
    ) -> Result<WriteReply, ErrorCode> {
        self.last_zxid = self.last_zxid.max(transaction.zxid);
        let session_id = transaction.session_id;
        match &transaction.change {
            Change::Error(code) => Err(*code),
            Change::CreateSession { timeout_ms } => {
                self.sessions.insert(session_id, *timeout_ms);
                Ok(WriteReply::Empty)
            }
            Change::CloseSession => {
                self.close_session(transaction, triggers);
                Ok(WriteReply::Empty)
            }
            Change::Request(request) => {
                // The ensemble itself needs no session to delete a container.
                if !self.sessions.contains_key(&session_id) && !matches!(request, Request::DeleteContainer(_))
                {
                    return Err(ErrorCode::SESSION_EXPIRED);
                }
                self.apply_request(transaction, request, triggers)
            }
        }
    }

    fn apply_request(
        &mut self,
        transaction: &Transaction<'_>,
        request: &Request<'_>,
        triggers: &mut Vec<Trigger>,
    ) -> Result<WriteReply, ErrorCode> {
        let asker = Asker { session_id: transaction.session_id, identities: &transaction.identities };
        let prepared = match request {
            Request::Create(request) => prepare::create(self, asker, CreateOp::Create, request.clone()),
            Request::Create2(request) => prepare::create(self, asker, CreateOp::Create2, request.clone()),
            Request::CreateContainer(request) => {
                prepare::create(self, asker, CreateOp::Container, request.clone())
            }
            Request::CreateTtl { create, ttl_ms } => {
                prepare::create(self, asker, CreateOp::Ttl { ttl_ms: *ttl_ms }, create.clone())
            }
            Request::Delete(request) => prepare::delete(self, asker, request.path.clone(), request.version),
            Request::DeleteContainer(request) => prepare::delete_container(self, request.path.clone()),
            Request::SetData { path, data, version } => {
                prepare::set_data(self, asker, path.clone(), *data, *version)
            }
            Request::SetAcl { path, acl, version } => {
                prepare::set_acl(self, asker, path.clone(), acl, *version)
            }
            Request::Multi(ops) => return self.multi(transaction, asker, ops, triggers),
            Request::Reconfig { .. } => return Err(ErrorCode::RECONFIG_DISABLED),
            _ => return Err(ErrorCode::UNIMPLEMENTED),
        }?;
        Ok(match self.commit(transaction, prepared, triggers) {
            OpResult::Create(path) => WriteReply::Path(path),
            OpResult::Create2(path, stat) => WriteReply::PathAndStat(path, stat),
            OpResult::SetData(stat) => WriteReply::Stat(stat),
            OpResult::Delete | OpResult::Check | OpResult::Error(_) => WriteReply::Empty,
        })
    }

    fn multi<'a>(
        &mut self,
        transaction: &Transaction<'_>,
        asker: Asker<'_>,
        ops: &List<'a, MultiOp<'a>>,
        triggers: &mut Vec<Trigger>,
    ) -> Result<WriteReply, ErrorCode> {
        let results = match prepare::multi(self, asker, ops) {
            Ok(all) => all.into_iter().map(|prepared| self.commit(transaction, prepared, triggers)).collect(),
            Err((None, code)) => return Err(code),
            Err((Some(failed), code)) => (0..ops.len())
                .map(|index| {
                    OpResult::Error(match index.cmp(&failed) {
                        std::cmp::Ordering::Less => ErrorCode::OK,
                        std::cmp::Ordering::Equal => code,
                        std::cmp::Ordering::Greater => ErrorCode::RUNTIME_INCONSISTENCY,
                    })
                })
                .collect(),
        };
        Ok(WriteReply::Multi(results))
    }

    /// Does what has been found possible.
    fn commit(
        &mut self,
        transaction: &Transaction<'_>,
        prepared: Prepared<'_>,
        triggers: &mut Vec<Trigger>,
    ) -> OpResult {
        match prepared {
            Prepared::Create(create) => self.create(transaction, create, triggers),
            Prepared::Delete { path } => {
                self.delete(transaction.zxid, &path, triggers);
                OpResult::Delete
            }
            Prepared::SetData { path, data, version } => {
                OpResult::SetData(self.set_data(transaction, &path, data, version, triggers))
            }
            Prepared::SetAcl { path, acl, aversion } => {
                let acl = self.acls.intern(acl);
                OpResult::SetData(self.get_mut(&path).map_or_else(Stat::default, |node| {
                    node.acl = acl;
                    node.aversion = aversion;
                    node.stat()
                }))
            }
            Prepared::Check => OpResult::Check,
        }
    }

    fn create(
        &mut self,
        transaction: &Transaction<'_>,
        create: PreparedCreate<'_>,
        triggers: &mut Vec<Trigger>,
    ) -> OpResult {
        let (zxid, time_ms) = (transaction.zxid, transaction.time_ms);
        let path: Arc<str> = Arc::from(&*create.path);
        let acl = self.acls.intern(create.acl);
        let node = Node::new(Arc::clone(&path), create.data, acl.clone(), create.lifetime, zxid, time_ms);
        let stat = create.with_stat.then(|| node.stat());
        self.insert(node);
        let parent_trigger = self.get_mut(path::parent(&path).unwrap_or("/")).map(|parent| {
            if create.parent_created > parent.created_children {
                parent.created_children = create.parent_created;
                parent.pzxid = zxid;
            }
            Trigger {
                kind: EventType::NODE_CHILDREN_CHANGED,
                path: Arc::clone(&parent.path),
                acl: parent.acl.clone(),
            }
        });
        match create.lifetime {
            Lifetime::Persistent => {}
            Lifetime::Ephemeral(session_id) => {
                let paths = self.ephemerals.entry(session_id).or_insert_with(|| NameSet::new(16, 0));
                paths.insert(Arc::clone(&path));
            }
            Lifetime::Container => {
                self.containers.insert(Arc::clone(&path));
            }
            Lifetime::TimeToLive(_) => {
                self.with_ttl.insert(Arc::clone(&path));
            }
        }
        self.quota_created(&path, data_size(create.data));
        triggers.push(Trigger { kind: EventType::NODE_CREATED, path: Arc::clone(&path), acl });
        triggers.extend(parent_trigger);
        match stat {
            None => OpResult::Create(path),
            Some(stat) => OpResult::Create2(path, stat),
        }
    }

    fn delete(&mut self, zxid: i64, path: &str, triggers: &mut Vec<Trigger>) {
        let Some(node) = self.nodes.remove(path) else { return };
        self.data_size -= node_size(&node);
        let parent_trigger = self.get_mut(path::parent(path).unwrap_or("/")).map(|parent| {
            if let Some(children) = &mut parent.children {
                children.remove(path::name(path));
            }
            parent.pzxid = parent.pzxid.max(zxid);
            Trigger {
                kind: EventType::NODE_CHILDREN_CHANGED,
                path: Arc::clone(&parent.path),
                acl: parent.acl.clone(),
            }
        });
        match node.lifetime {
            Lifetime::Persistent => {}
            Lifetime::Ephemeral(session_id) => {
                if let Some(paths) = self.ephemerals.get_mut(&session_id) {
                    paths.remove(path);
                }
            }
            Lifetime::Container => {
                self.containers.remove(path);
            }
            Lifetime::TimeToLive(_) => {
                self.with_ttl.remove(path);
            }
        }
        self.quota_deleted(path, data_size(node.data()));
        triggers.push(Trigger { kind: EventType::NODE_DELETED, path: node.path, acl: node.acl });
        triggers.extend(parent_trigger);
    }

    fn set_data(
        &mut self,
        transaction: &Transaction<'_>,
        path: &str,
        data: Option<&[u8]>,
        version: i32,
        triggers: &mut Vec<Trigger>,
    ) -> Stat {
        let Some(node) = self.nodes.get_mut(path) else { return Stat::default() };
        let size_before = data_size(node.data());
        match (&mut node.data, data) {
            (Some(kept), Some(new)) if kept.len() == new.len() => kept.copy_from_slice(new),
            (kept, new) => *kept = new.map(Box::from),
        }
        node.mtime_ms = transaction.time_ms;
        node.mzxid = transaction.zxid;
        node.version = version;
        let stat = node.stat();
        triggers.push(Trigger {
            kind: EventType::NODE_DATA_CHANGED,
            path: Arc::clone(&node.path),
            acl: node.acl.clone(),
        });
        let size = data_size(data);
        self.data_size += size - size_before;
        self.quota_set(path, size - size_before);
        stat
    }

    /// Deletes the session's ephemerals, in the order of the copy of the set that upstream makes of them.
    fn close_session(&mut self, transaction: &Transaction<'_>, triggers: &mut Vec<Trigger>) {
        self.sessions.remove(&transaction.session_id);
        let Some(paths) = self.ephemerals.get(&transaction.session_id) else { return };
        for path in paths.copy().paths() {
            self.delete(transaction.zxid, path, triggers);
        }
        self.ephemerals.remove(&transaction.session_id);
    }
}
