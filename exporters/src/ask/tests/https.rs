//! An AdminServer and a Prometheus endpoint over HTTPS.

use std::path::Path;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::*;

/// An authority, whose certificate is in `ca`, and a server of 127.0.0.1 and zk.test that it vouches for.
pub(crate) fn authority(ca: &Path) -> TlsAcceptor {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(ca, authority.pem()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned(), "zk.test".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

fn at(scheme: Scheme, server: &Server) -> Option<HttpAddress> {
    Some(HttpAddress { scheme, address: server.address.clone() })
}

#[tokio::test]
async fn what_is_asked_over_https_is_verified_as_the_target_is() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str| dir.path().join(name);
    let acceptor = authority(&file("ca.pem"));
    authority(&file("stranger.pem"));
    let words = Server::start(leader_of_zookeeper).await;
    let secured = Server::start_at(Some(acceptor), leader_of_zookeeper).await;
    let ask = async |own: (Scheme, &Server), ca: &str, server_name: Option<&str>| {
        let (scheme, server) = own;
        let endpoint = at(scheme, server);
        let watched = Watched { admin: endpoint.clone(), prometheus: endpoint, ..words.watched() };
        let server_name = server_name.map(str::to_owned);
        let https = TlsOptions { ca: Some(file(ca)), server_name, ..TlsOptions::default() };
        let watch = Watch {
            cluster: "c".to_owned(),
            system: System::ZooKeeper,
            members: vec![watched],
            limit: PATIENCE,
            tls: None,
            https,
            token: None,
        };
        Asker::new(watch).unwrap().ask().await.remove(0)
    };
    for name in [None, Some("zk.test")] {
        let one = ask((Scheme::Https, &secured), "ca.pem", name).await;
        assert_eq!(problems(&one), [], "{name:?}");
        let sample = one.sample.unwrap();
        assert_eq!((sample.voter_ids.map(|ids| ids.len()), sample.role), (Some(3), Some(Role::Leader)));
        assert!(one.sources.contains(&("prometheus", true)), "{:?}", one.sources);
    }
    for (own, ca, name, kind, said) in [
        ((Scheme::Https, &secured), "stranger.pem", None, ProblemKind::Tls, "an authority that is trusted"),
        (
            (Scheme::Https, &secured),
            "ca.pem",
            Some("elsewhere.test"),
            ProblemKind::Tls,
            "not for elsewhere.test",
        ),
        ((Scheme::Https, &words), "ca.pem", None, ProblemKind::Tls, "does not speak TLS"),
        ((Scheme::Http, &secured), "ca.pem", None, ProblemKind::Syntax, "if HTTPS is spoken there"),
    ] {
        let one = ask(own, ca, name).await;
        let sources = ["zabstate", "voting_view", "leader", "last_snapshot", "prometheus"];
        assert_eq!(problems(&one), sources.map(|source| (source, kind)), "{one:?}");
        assert!(one.problems.iter().all(|problem| problem.detail.contains(said)), "{said}: {one:?}");
        assert_eq!(one.sample.unwrap().role, Some(Role::Leader), "its words tell all the same");
    }
}
