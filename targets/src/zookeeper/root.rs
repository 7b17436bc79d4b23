//! The part of the tree that belongs to a run: claimed, filled, and removed.
//!
//! Nothing is ever written or deleted outside of a run's root, and inside of it only what carries this tool's
//! mark, a name of [`super::layout`] whose data begin with `quorumeter `, and what is below such a node.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use quorumeter_zk::request::{Create, Request, VersionedPath, create_mode};
use quorumeter_zk::{Acl, ErrorCode, path};
use tokio::time::{Instant, sleep};

use super::client::{Client, ClientError};
use super::layout::{DATA, LOCK, Layout, STREAMS};

/// Where runs have their roots unless the target names a chroot.
pub const DEFAULT_PARENT: &str = "/quorumeter";

/// Requests on the way while the tree is filled or removed: as many as a member takes at a time
/// (`globalOutstandingLimit`).
const PIPELINE: usize = 1000;

/// What our own nodes' data begin with.
const MARK: &str = "quorumeter ";

/// A run's root. What the run creates carries the run's mark, and [`Root::release`] removes what carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Its path.
    pub path: String,
    run_id: String,
}

/// Why a root could not be claimed, filled or removed.
#[derive(Debug, thiserror::Error)]
pub enum RootError {
    /// Another run holds it.
    #[error(
        "{path} belongs to the run {by:?}, which is still alive; wait for its end, or choose another chroot"
    )]
    Held {
        /// The root.
        path: String,
        /// Who holds it.
        by: String,
    },
    /// A run that was killed left something.
    #[error("{path} is left over from the run {by:?}; remove it with `quorumeter clean --target URL`")]
    Leftover {
        /// The node.
        path: String,
        /// Whose it was.
        by: String,
    },
    /// Something of that name is not ours.
    #[error("{path} exists and is not of this tool; choose another chroot")]
    Foreign {
        /// The node.
        path: String,
    },
    /// The server refused.
    #[error("cannot {action} {path}: {source}")]
    Refused {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: String,
        /// Why not.
        source: ClientError,
    },
    /// The connection.
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// What a clean-up found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cleaned {
    /// Roots of runs that are gone, and how many nodes were removed.
    pub removed: Vec<(String, u64)>,
    /// Roots of runs that are still alive, with their names; untouched.
    pub alive: Vec<(String, String)>,
}

/// The root of a run below a chroot (empty for none).
pub fn root_path(chroot: &str, run_id: &str) -> String {
    if chroot.is_empty() { format!("{DEFAULT_PARENT}/{run_id}") } else { chroot.to_owned() }
}

impl Root {
    /// The root that a run is to have below a chroot (empty for none). Nothing is created yet.
    pub fn new(chroot: &str, run_id: &str) -> Root {
        Root { path: root_path(chroot, run_id), run_id: run_id.to_owned() }
    }

    /// Creates the root and what is missing above it, and takes its lock. After an error, and also when this is
    /// dropped half-way, [`Root::release`] removes what was created until then.
    pub async fn claim(&self, client: &mut Client) -> Result<(), RootError> {
        let mut attempt = 0;
        // Another run that ends just now may remove the parent that both share.
        while let Err(e) = self.create_way(client).await {
            attempt += 1;
            if attempt == 5
                || !matches!(&e, RootError::Refused { source, .. } if source.code() == Some(ErrorCode::NO_NODE))
            {
                return Err(e);
            }
        }
        self.take_lock(client).await?;
        self.create_own(client).await
    }

    async fn create_way(&self, client: &mut Client) -> Result<(), RootError> {
        let ends = self.path.match_indices('/').map(|(i, _)| i).skip(1).chain([self.path.len()]);
        for end in ends.collect::<Vec<_>>() {
            let path = &self.path[..end];
            match client.create(path, self.mark().as_bytes(), false).await {
                Ok(_) => {}
                Err(e) if e.code() == Some(ErrorCode::NODE_EXISTS) => {}
                // Members look whether it may be created before they look whether it is there.
                Err(e) if e.code() == Some(ErrorCode::NO_AUTH) && is_there(client, path).await? => {}
                Err(source) => return Err(refused("create", path, source)),
            }
        }
        Ok(())
    }

    /// Takes the lock, again if its session has expired.
    pub async fn take_lock(&self, client: &mut Client) -> Result<(), RootError> {
        let lock = format!("{}/{LOCK}", self.path);
        match client.create(&lock, self.mark().as_bytes(), true).await {
            Ok(_) => Ok(()),
            Err(e) if e.code() == Some(ErrorCode::NODE_EXISTS) => {
                let by = client.get(&lock).await.map(|(data, _)| owner(&data)).unwrap_or_default();
                match by {
                    Some(by) if by == self.run_id => Ok(()),
                    Some(by) => Err(RootError::Held { path: self.path.clone(), by }),
                    None => Err(RootError::Foreign { path: lock }),
                }
            }
            Err(source) => Err(refused("create", &lock, source)),
        }
    }

    async fn create_own(&self, client: &mut Client) -> Result<(), RootError> {
        for name in [DATA, STREAMS] {
            let path = format!("{}/{name}", self.path);
            match client.create(&path, self.mark().as_bytes(), false).await {
                Ok(_) => {}
                Err(e) if e.code() == Some(ErrorCode::NODE_EXISTS) => {
                    let (data, _) = client.get(&path).await?;
                    return Err(match owner(&data) {
                        Some(by) => RootError::Leftover { path, by },
                        None => RootError::Foreign { path },
                    });
                }
                Err(source) => return Err(refused("create", &path, source)),
            }
        }
        Ok(())
    }

    /// Creates the dataset and the parents of what streams will create. `value` gives each node its data;
    /// `progress` is told how many nodes of how many are there.
    pub async fn prefill<'v>(
        &self,
        client: &mut Client,
        layout: &Layout,
        creating_sessions: &[u32],
        mut value: impl FnMut(u32) -> &'v [u8],
        mut progress: impl FnMut(u64, u64),
    ) -> Result<(), RootError> {
        let dataset = layout.dataset;
        let (parent, node) = (layout.parent_pattern(), layout.node_pattern());
        let total = u64::from(dataset.nodes) + u64::from(dataset.parents());
        let mut done = 0;
        let parents = (0..dataset.parents()).map(|p| (parent.path(&[p.into()]), &[][..]));
        create_all(client, parents, |n| progress(n, total)).await?;
        done += u64::from(dataset.parents());
        let nodes = (0..dataset.nodes)
            .map(|key| (node.path(&[dataset.parent_of(key).into(), key.into()]), value(key)));
        create_all(client, nodes, |n| progress(done + n, total)).await?;
        // Only streams that create have sessions here.
        let streams = creating_sessions.iter().enumerate().filter(|(_, sessions)| **sessions > 0);
        let paths = streams.flat_map(|(stream, sessions)| {
            [layout.stream(stream), layout.sequential_parent(stream)]
                .into_iter()
                .chain((0..*sessions).map(move |session| layout.session(stream, session)))
        });
        create_all(client, paths.map(|path| (path, &[][..])), |_| {}).await
    }

    /// Removes everything that the run created. Goes on after a lost connection, and after an error that may pass,
    /// until `limit` has passed.
    pub async fn release(&self, client: &mut Client, limit: Duration) -> Result<u64, RootError> {
        let end = Instant::now() + limit;
        let mut removed = 0;
        loop {
            match self.release_once(client, &mut removed).await {
                Err(RootError::Client(_)) if Instant::now() < end => {
                    sleep(Duration::from_millis(200)).await;
                }
                result => return result.map(|()| removed),
            }
        }
    }

    async fn release_once(&self, client: &mut Client, removed: &mut u64) -> Result<(), RootError> {
        // The lock goes last: until then nobody else begins here.
        for name in [DATA, STREAMS, LOCK] {
            let path = format!("{}/{name}", self.path);
            if self.is_ours(client, &path).await? {
                remove_tree(client, path, removed).await?;
            }
        }
        // The nodes on the way to the root that this run created: whatever is above another's is not ours.
        let mut way = Some(self.path.as_str());
        while let Some(path) = way.filter(|path| *path != "/") {
            if !self.is_ours(client, path).await? {
                break;
            }
            ignore_gone(client.delete(path).await)?;
            way = path::parent(path);
        }
        // The parent of all runs goes with the last of them.
        if path::parent(&self.path) == Some(DEFAULT_PARENT)
            && let Ok((data, _)) = client.get(DEFAULT_PARENT).await
            && owner(&data).is_some()
        {
            ignore_gone(client.delete(DEFAULT_PARENT).await)?;
        }
        Ok(())
    }

    /// Whether there is a node that carries this run's mark. One that may not be read is another's.
    async fn is_ours(&self, client: &mut Client, path: &str) -> Result<bool, ClientError> {
        match client.get(path).await {
            Ok((data, _)) => Ok(owner(&data).as_deref() == Some(&self.run_id)),
            Err(e) if matches!(e.code(), Some(ErrorCode::NO_NODE | ErrorCode::NO_AUTH)) => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn mark(&self) -> String {
        format!("{MARK}{}", self.run_id)
    }
}

/// Removes what killed runs left below a chroot (empty for none).
pub async fn clean(client: &mut Client, chroot: &str) -> Result<Cleaned, RootError> {
    let mut roots = Vec::new();
    if chroot.is_empty() {
        match client.children(DEFAULT_PARENT).await {
            Ok(runs) => roots.extend(runs.iter().map(|run| path::child(DEFAULT_PARENT, run))),
            Err(e) if e.code() == Some(ErrorCode::NO_NODE) => {}
            Err(e) => return Err(e.into()),
        }
    } else {
        roots.push(chroot.to_owned());
    }
    let mut cleaned = Cleaned::default();
    for root in roots {
        let lock = format!("{root}/{LOCK}");
        match client.get(&lock).await {
            Ok((data, _)) => {
                cleaned.alive.push((root, owner(&data).unwrap_or_default()));
                continue;
            }
            Err(e) if e.code() == Some(ErrorCode::NO_NODE) => {}
            Err(e) => return Err(e.into()),
        }
        let mut removed = 0;
        for name in [DATA, STREAMS] {
            let path = format!("{root}/{name}");
            match client.get(&path).await {
                Ok((data, _)) if owner(&data).is_some() => remove_tree(client, path, &mut removed).await?,
                Ok(_) => {}
                Err(e) if e.code() == Some(ErrorCode::NO_NODE) => {}
                Err(e) => return Err(e.into()),
            }
        }
        // The root itself, and what is above it, if a run created it and nothing else is in it.
        let mut way = Some(root.as_str());
        while let Some(path) = way.filter(|p| *p != "/") {
            match client.get(path).await {
                Ok((data, stat)) if owner(&data).is_some() && stat.num_children == 0 => {
                    if ignore_gone(client.delete(path).await)? {
                        removed += 1;
                    }
                }
                _ => break,
            }
            way = path::parent(path);
        }
        if removed > 0 {
            cleaned.removed.push((root, removed));
        }
    }
    Ok(cleaned)
}

/// How often a node is emptied anew into which somebody still puts something.
const EMPTYINGS: u32 = 10;

/// Deletes a node and all below it, also what creates that were on their way put there meanwhile.
fn remove_tree<'a>(
    client: &'a mut Client,
    path: String,
    removed: &'a mut u64,
) -> Pin<Box<dyn Future<Output = Result<(), RootError>> + 'a>> {
    Box::pin(async move {
        let mut emptied = 0;
        loop {
            let names = match client.children(&path).await {
                Ok(names) => names,
                Err(e) if e.code() == Some(ErrorCode::NO_NODE) => return Ok(()),
                Err(e) => return Err(e.into()),
            };
            if names.is_empty() {
                emptied += 1;
                match client.delete(&path).await {
                    Ok(()) => *removed += 1,
                    Err(e) if e.code() == Some(ErrorCode::NO_NODE) => {}
                    Err(e) if e.code() == Some(ErrorCode::NOT_EMPTY) && emptied < EMPTYINGS => continue,
                    Err(source) => return Err(refused("delete", &path, source)),
                }
                return Ok(());
            }
            // Most children are leaves, so each is first taken for one.
            let children: Vec<String> = names.iter().map(|name| path::child(&path, name)).collect();
            let requests = children
                .iter()
                .map(|child| Request::Delete(VersionedPath { path: child.as_str().into(), version: -1 }));
            let (mut not_empty, mut failure) = (Vec::new(), None);
            client
                .pipeline(PIPELINE, requests, |i, header, _| match header.err {
                    ErrorCode::OK => *removed += 1,
                    ErrorCode::NO_NODE => {}
                    ErrorCode::NOT_EMPTY => not_empty.push(i),
                    code => {
                        failure.get_or_insert((i, code));
                    }
                })
                .await?;
            if let Some((i, code)) = failure {
                let path = children[i].clone();
                let source =
                    ClientError::Server { op: quorumeter_zk::OpCode::DELETE, path: path.clone(), code };
                return Err(refused("delete", &path, source));
            }
            for i in not_empty {
                remove_tree(client, children[i].clone(), removed).await?;
            }
        }
    })
}

/// Creates persistent nodes, pipelined.
async fn create_all<'v>(
    client: &mut Client,
    nodes: impl Iterator<Item = (String, &'v [u8])>,
    mut progress: impl FnMut(u64),
) -> Result<(), RootError> {
    let acl: [Acl<'static>; 1] = client.acl();
    let flags = create_mode::PERSISTENT;
    let mut failure = None;
    let mut done = 0;
    // The first failure ends it: nothing more is sent than what is on the way.
    let failed = std::cell::Cell::new(false);
    let requests = nodes.take_while(|_| !failed.get()).map(|(path, data)| {
        Request::Create(Create { path: path.into(), data: Some(data), acl: acl[..].into(), flags })
    });
    client
        .pipeline(PIPELINE, requests, |_, header, _| {
            if header.err == ErrorCode::OK {
                done += 1;
                progress(done);
            } else {
                failed.set(true);
                failure.get_or_insert(header.err);
            }
        })
        .await?;
    match failure {
        None => Ok(()),
        Some(code) => Err(refused(
            "fill",
            "the dataset",
            ClientError::Server { op: quorumeter_zk::OpCode::CREATE, path: String::new(), code },
        )),
    }
}

/// Whether a delete deleted something; that nothing is there, or something else still is, is no error.
fn ignore_gone(result: Result<(), ClientError>) -> Result<bool, ClientError> {
    match result {
        Ok(()) => Ok(true),
        Err(e) if matches!(e.code(), Some(ErrorCode::NO_NODE | ErrorCode::NOT_EMPTY)) => Ok(false),
        Err(e) => Err(e),
    }
}

/// Whether there is a node, be it one that may not be read.
async fn is_there(client: &mut Client, path: &str) -> Result<bool, ClientError> {
    match client.get(path).await {
        Ok(_) => Ok(true),
        Err(e) if e.code() == Some(ErrorCode::NO_AUTH) => Ok(true),
        Err(e) if e.code() == Some(ErrorCode::NO_NODE) => Ok(false),
        Err(e) => Err(e),
    }
}

/// The run that a node of ours belongs to.
fn owner(data: &[u8]) -> Option<String> {
    std::str::from_utf8(data).ok()?.strip_prefix(MARK).map(str::to_owned)
}

fn refused(action: &'static str, path: &str, source: ClientError) -> RootError {
    match source.code() {
        Some(_) => RootError::Refused { action, path: path.to_owned(), source },
        None => RootError::Client(source),
    }
}
