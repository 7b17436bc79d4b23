//! The independent Rust client `zookeeper-client` against the embedded server.

#![allow(clippy::unwrap_used, reason = "what goes wrong here fails the test")]

use std::time::Duration;

use quorumeter_ensemble::embedded::{self, Options};
use zookeeper_client::{
    Acls, AddWatchMode, Client, CreateMode, Error, EventType, LockOptions, LockPrefix, MultiWriteResult,
};

async fn connect(address: std::net::SocketAddr) -> Client {
    Client::connector()
        .with_session_timeout(Duration::from_secs(10))
        .connect(&address.to_string())
        .await
        .unwrap()
}

#[test]
fn it_works_with_the_embedded_server() {
    let server = embedded::start(Options::default()).unwrap();
    let address = server.address();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (a, b) = (connect(address).await, connect(address).await);
        nodes_and_watches(&a, &b).await;
        multis(&a).await;
        sequences_and_ephemerals(&a, &b, address).await;
        locks(&a, &b).await;
        access(&a, &b).await;
    });
}

async fn nodes_and_watches(a: &Client, b: &Client) {
    let plain = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let (none, created) = b.check_and_watch_stat("/n").await.unwrap();
    assert!(none.is_none());
    let (stat, _) = a.create("/n", b"1", &plain).await.unwrap();
    let event = created.changed().await;
    assert_eq!((event.event_type, event.path.as_str()), (EventType::NodeCreated, "/n"));
    assert_eq!(event.zxid, stat.czxid, "events carry the transaction since 3.9");

    let (data, seen, changed) = b.get_and_watch_data("/n").await.unwrap();
    assert_eq!((data.as_slice(), seen), (&b"1"[..], stat));
    let stat = a.set_data("/n", b"2", Some(0)).await.unwrap();
    assert_eq!(stat.version, 1);
    assert_eq!(changed.changed().await.event_type, EventType::NodeDataChanged);
    assert_eq!(a.set_data("/n", b"3", Some(0)).await.unwrap_err(), Error::BadVersion);

    let mut all = b.watch("/n", AddWatchMode::PersistentRecursive).await.unwrap();
    a.create("/n/x", b"", &plain).await.unwrap();
    a.set_data("/n/x", b"y", None).await.unwrap();
    assert_eq!(a.delete("/n", None).await.unwrap_err(), Error::NotEmpty);
    a.delete("/n/x", None).await.unwrap();
    for kind in [EventType::NodeCreated, EventType::NodeDataChanged, EventType::NodeDeleted] {
        let event = all.changed().await;
        assert_eq!((event.event_type, event.path.as_str()), (kind, "/n/x"));
    }
    drop(all);
    assert_eq!(b.count_descendants_number("/n").await.unwrap(), 0);
    a.delete("/n", None).await.unwrap();
}

async fn multis(a: &Client) {
    let plain = CreateMode::Persistent.with_acls(Acls::anyone_all());
    let mut writer = a.new_multi_writer();
    writer.add_create("/m", b"1", &plain).unwrap();
    writer.add_set_data("/m", b"2", Some(0)).unwrap();
    writer.add_check_version("/m", 1).unwrap();
    let results = writer.commit().await.unwrap();
    assert_eq!(results.len(), 3);
    assert!(matches!(&results[0], MultiWriteResult::Create { path, .. } if path == "/m"), "{results:?}");
    assert!(matches!(&results[1], MultiWriteResult::SetData { stat } if stat.version == 1), "{results:?}");

    let mut writer = a.new_multi_writer();
    writer.add_delete("/m", None).unwrap();
    writer.add_check_version("/m", 7).unwrap();
    assert!(writer.commit().await.is_err());
    let mut reader = a.new_multi_reader();
    reader.add_get_data("/m").unwrap();
    reader.add_get_children("/").unwrap();
    assert_eq!(reader.commit().await.unwrap().len(), 2);
    a.delete("/m", Some(1)).await.unwrap();
}

async fn sequences_and_ephemerals(a: &Client, b: &Client, address: std::net::SocketAddr) {
    let sequential = CreateMode::EphemeralSequential.with_acls(Acls::anyone_all());
    let owner = connect(address).await;
    // The root has had two children before.
    for number in 2..5 {
        let (_, sequence) = owner.create("/e-", b"", &sequential).await.unwrap();
        assert_eq!(sequence.into_i64(), number);
    }
    let mut mine = owner.list_ephemerals("/").await.unwrap();
    mine.sort_unstable();
    assert_eq!(mine, ["/e-0000000002", "/e-0000000003", "/e-0000000004"]);
    let (_, deleted) = b.check_and_watch_stat("/e-0000000003").await.unwrap();
    drop(owner);
    assert_eq!(deleted.changed().await.event_type, EventType::NodeDeleted);
    a.sync("/").await.unwrap();
    assert_eq!(a.list_children("/").await.unwrap(), ["zookeeper"]);
}

async fn locks(a: &Client, b: &Client) {
    let plain = CreateMode::Persistent.with_acls(Acls::anyone_all());
    a.create("/locks", b"", &plain).await.unwrap();
    let options = || LockOptions::new(Acls::anyone_all());
    let prefix = |name| LockPrefix::new_curator("/locks", name).unwrap();
    let held = a.lock(prefix("lock"), b"a", options()).await.unwrap();
    let waiting = b.lock(prefix("lock"), b"b", options());
    let mut waiting = std::pin::pin!(waiting);
    assert!(tokio::time::timeout(Duration::from_millis(50), &mut waiting).await.is_err(), "it is held");
    drop(held);
    let inherited = waiting.await.unwrap();
    assert!(inherited.lock_path().starts_with("/locks/"));
}

async fn access(a: &Client, b: &Client) {
    a.auth("digest", b"user:secret").await.unwrap();
    let mine = CreateMode::Persistent.with_acls(Acls::creator_all());
    a.create("/mine", b"1", &mine).await.unwrap();
    assert_eq!(b.get_data("/mine").await.unwrap_err(), Error::NoAuth);
    b.auth("digest", b"user:secret").await.unwrap();
    assert_eq!(b.get_data("/mine").await.unwrap().0, b"1");
    let users = b.list_auth_users().await.unwrap();
    assert!(users.iter().any(|user| user.scheme() == "digest" && user.user() == "user"), "{users:?}");
}
