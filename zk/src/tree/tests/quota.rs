//! `/zookeeper/quota`, where the server writes what clients may write, too.

use super::*;

const STATS: &str = "/zookeeper/quota/q/zookeeper_stats";

fn limit(it: &mut Fixture) {
    for path in ["/zookeeper/quota/q", "/zookeeper/quota/q/zookeeper_limits", STATS] {
        it.create(path, 0).unwrap();
    }
}

fn stats(it: &Fixture) -> String {
    String::from_utf8(it.tree.get(STATS).unwrap().data().unwrap().to_vec()).unwrap()
}

#[test]
fn quotas_are_counted() {
    let mut it = Fixture::new();
    it.create("/q", 0).unwrap();
    it.create("/q/a", 0).unwrap();
    limit(&mut it);
    let usage = |it: &Fixture| {
        let stat = it.stat(STATS);
        assert_eq!((stat.version, stat.mzxid), (0, 7), "nobody wrote to it");
        stats(it)
    };
    assert_eq!(usage(&it), "count=2,bytes=8");
    it.create("/q/a/b", create_mode::EPHEMERAL).unwrap();
    it.set("/q", b"", -1).unwrap();
    it.create("/qq", 0).unwrap();
    assert_eq!(usage(&it), "count=3,bytes=8");
    it.apply(SESSION, Change::CloseSession).unwrap();
    assert_eq!(usage(&it), "count=2,bytes=4");
}

#[test]
fn counts_that_a_client_wrote_wrap_around() {
    let mut it = Fixture::new();
    it.create("/q", 0).unwrap();
    limit(&mut it);
    it.set(STATS, b"count=9223372036854775807,bytes=1", -1).unwrap();
    it.create("/q/a", 0).unwrap();
    assert_eq!(stats(&it), "count=-9223372036854775808,bytes=5");
    it.set(STATS, b"count=1,bytes=-9223372036854775808", -1).unwrap();
    it.delete("/q/a", -1).unwrap();
    assert_eq!(stats(&it), "count=0,bytes=9223372036854775804");
}

#[test]
fn what_else_a_client_wrote_beside_the_counts_stays() {
    let mut it = Fixture::new();
    it.create("/q", 0).unwrap();
    limit(&mut it);
    it.set(STATS, b"count=1,bytes=4=;byteHardLimit=9", -1).unwrap();
    it.create("/q/a", 0).unwrap();
    assert_eq!(stats(&it), "count=2,bytes=8=;byteHardLimit=9");
}
