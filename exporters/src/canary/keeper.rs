//! The canary's nodes: made before its operations, kept, and removed after them.

use std::sync::Arc;
use std::time::Duration;

use quorumeter_targets::zookeeper::Client;
use quorumeter_targets::zookeeper::root::{RootError, clean};
use quorumeter_zk::{ErrorCode, path};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use super::operation::{value, watched};
use super::{NAME, OPERATION_LIMIT, Place, RELEASE_LIMIT, Shared, Trouble, close};

/// How often the lock and the nodes are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(3);

/// How often it is looked for what killed canaries have left: once their sessions have expired.
const SWEEP_EVERY_LOOKS: u32 = 10;

/// Looks that fail before everything begins anew: by then the session has expired.
const ANEW_AFTER: u32 = 5;

/// Who holds the lock.
pub(super) struct Keeper {
    place: Arc<Place>,
    client: Option<Client>,
    looks: u32,
    /// Looks that have failed one after another.
    failed: u32,
    /// Whether there may be nodes to remove.
    has_claimed: bool,
}

impl Keeper {
    pub(super) fn new(place: Arc<Place>) -> Keeper {
        Keeper { place, client: None, looks: 0, failed: 0, has_claimed: false }
    }

    /// Makes the nodes. Returns after the first attempt: operations without a node fail, and say so.
    pub(super) async fn prepare(&mut self, shared: &Shared, ending: &mut watch::Receiver<bool>) {
        tokio::select! {
            () = self.look_and_tell(shared) => {}
            _ = ending.wait_for(|stop| *stop) => {}
        }
    }

    /// Keeps them until the end is wanted.
    pub(super) async fn keep(&mut self, shared: &Shared, ending: &mut watch::Receiver<bool>) {
        loop {
            tokio::select! {
                () = sleep(LOOK_EVERY) => {}
                _ = ending.wait_for(|stop| *stop) => return,
            }
            tokio::select! {
                () = self.look_and_tell(shared) => {}
                _ = ending.wait_for(|stop| *stop) => return,
            }
        }
    }

    /// Removes them.
    pub(super) async fn release(mut self) {
        if !self.has_claimed {
            return;
        }
        let release = async {
            let client = self.connected().await?;
            let root = client.1.root.clone();
            root.release(client.0, RELEASE_LIMIT).await.map_err(Trouble::other)
        };
        // What is left now is the next canary's to remove.
        let _ = timeout(RELEASE_LIMIT, release).await;
        if let Some(client) = self.client {
            close(client).await;
        }
    }

    /// What goes wrong shows in the operations, and why it does here.
    async fn look_and_tell(&mut self, shared: &Shared) {
        let looked = self.look_within_limit().await;
        shared.stats().of_nodes(looked.err().map(|trouble| trouble.to_string()));
    }

    async fn look_within_limit(&mut self) -> Result<(), Trouble> {
        let looked = timeout(OPERATION_LIMIT, self.look()).await.unwrap_or(Err(Trouble::Late));
        self.failed = if looked.is_err() { self.failed + 1 } else { 0 };
        // Its session holds the lock, and the client takes it to another member by itself: with a new one nobody would hold
        // the lock from when the old one expires until the next look. After a while names are looked up again.
        if self.failed >= ANEW_AFTER {
            (self.client, self.failed) = (None, 0);
        }
        looked
    }

    async fn look(&mut self) -> Result<(), Trouble> {
        let sweep = self.looks.is_multiple_of(SWEEP_EVERY_LOOKS);
        self.looks = self.looks.wrapping_add(1);
        self.has_claimed = true;
        let (client, place) = self.connected().await?;
        if exists(client, &value(place)).await? && exists(client, &watched(place)).await? {
            place.root.take_lock(client).await.map_err(Trouble::other)?;
        } else {
            // Half of them may be there.
            place.root.release(client, OPERATION_LIMIT).await.map_err(Trouble::other)?;
            place.root.claim(client).await.map_err(Trouble::other)?;
            for node in [value(place), watched(place)] {
                client.create(&node, b"0", false).await?;
            }
        }
        if sweep { remove_left_over(client, place).await } else { Ok(()) }
    }

    async fn connected(&mut self) -> Result<(&mut Client, &Place), Trouble> {
        let client = match &mut self.client {
            Some(client) => client,
            none => none.insert(self.place.connect().await?),
        };
        Ok((client, &self.place))
    }
}

async fn exists(client: &mut Client, node: &str) -> Result<bool, Trouble> {
    match client.get(node).await {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some(ErrorCode::NO_NODE) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Removes what killed canaries with the same parent have left, as far as it may: those of others are theirs to remove.
async fn remove_left_over(client: &mut Client, place: &Place) -> Result<(), Trouble> {
    let names = match client.children(&place.parent).await {
        Err(error) if error.code() == Some(ErrorCode::NO_AUTH) => return Ok(()),
        other => other?,
    };
    for name in names {
        let root = path::child(&place.parent, &name);
        if name.starts_with(NAME) && root != place.root.path {
            match clean(client, &root).await {
                Err(RootError::Client(error) | RootError::Refused { source: error, .. })
                    if error.code() == Some(ErrorCode::NO_AUTH) => {}
                cleaned => _ = cleaned.map_err(Trouble::other)?,
            }
        }
    }
    Ok(())
}
