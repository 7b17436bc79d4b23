//! TLS: what a user says of it, read from files, and what may go wrong on a connection.
//!
//! A member's certificate is always verified, its chain and its name. There is no switch against that: numbers from
//! somebody else's server are wrong numbers.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::{Resumption, WantsClientCert};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{
    self, CertificateError, ClientConfig, ClientConnection, ConfigBuilder, RootCertStore,
};
use tokio_rustls::{TlsConnector, rustls::Error as RustlsError};

/// What a user says of the connections to a `zks://` target. Of a private key there is only the path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsOptions {
    /// PEM file with the certificates of the authorities that are trusted; the system's when not given.
    pub ca: Option<PathBuf>,
    /// PEM file with the client's certificate, and those between it and its authority after it.
    pub cert: Option<PathBuf>,
    /// PEM file with the private key of the client's certificate, not encrypted.
    pub key: Option<PathBuf>,
    /// The name that every member's certificate has to have; that of the URL when not given.
    pub server_name: Option<String>,
}

/// Why TLS cannot be set up. Nothing of a file's content is ever repeated.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path} ({flag}): {source}", path = path.display())]
    Read {
        /// The flag that named it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{path} ({flag}) {cause}", path = path.display())]
    Content {
        /// The flag that named it.
        flag: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        cause: String,
    },
    /// One of certificate and key was given without the other.
    #[error("a client's certificate and its key belong together; give both --cert FILE and --key FILE")]
    Pair,
    /// The certificate and the key are not a pair, or of a kind that cannot be used.
    #[error(
        "the certificate (--cert) and the key (--key) cannot be used together: {0}; is the key this certificate's?"
    )]
    Identity(String),
    /// The system trusts nobody.
    #[error(
        "this system has no certificates of authorities; install them (ca-certificates) or give --ca FILE"
    )]
    NoRoots,
    /// What should be a server's name is none.
    #[error(
        "{0:?} is no name that a certificate could have; give a host name or an address with --tls-server-name NAME"
    )]
    ServerName(String),
    /// The library refuses the settings.
    #[error("cannot set TLS up: {0}")]
    Setup(String),
}

/// Why a connection could not be secured, or was not as secure as it was to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TlsFailure {
    /// Nobody who is trusted vouches for the member's certificate.
    #[error(
        "the member's certificate is not signed by an authority that is trusted; name the right one's with --ca FILE"
    )]
    UnknownIssuer,
    /// The certificate is somebody else's.
    #[error(
        "the member's certificate is not for {wanted}{}; connect to a name that it has, or say which with --tls-server-name NAME",
        of(has)
    )]
    WrongName {
        /// The name that was wanted.
        wanted: String,
        /// The names that it has, as far as they are known.
        has: Vec<String>,
    },
    /// The certificate will not do for another reason.
    #[error("the member's certificate cannot be accepted: {0}; replace the certificate")]
    Certificate(String),
    /// The member sent an alert.
    #[error(
        "the member refused the TLS connection ({0}); if it asks for a client's certificate, give one that it trusts \
         with --cert FILE --key FILE"
    )]
    Refused(String),
    /// The connection was closed while TLS was being agreed on.
    #[error(
        "the member closed the connection during the TLS handshake; is this its secure port? A port without TLS is \
         reached by zk://"
    )]
    Closed,
    /// What came is not TLS.
    #[error(
        "the member does not speak TLS on this port; use its secure port, or a scheme without TLS (zk://, http)"
    )]
    NotTls,
    /// TLS came where none was expected.
    #[error("the member speaks TLS on this port; use zks://")]
    NotExpected,
    /// The two sides do not come to terms.
    #[error("TLS with the member failed: {0}")]
    Other(String),
}

impl TlsFailure {
    /// Whether another attempt would end in the same way, so that there is no sense in one.
    pub fn is_final(&self) -> bool {
        !matches!(self, TlsFailure::Closed | TlsFailure::Other(_))
    }

    /// What an error of a secured stream means, if it is about TLS.
    pub(crate) fn of(error: &io::Error) -> Option<TlsFailure> {
        let error = error.get_ref()?.downcast_ref::<RustlsError>()?;
        Some(match error {
            RustlsError::InvalidCertificate(error) => of_certificate(error),
            RustlsError::AlertReceived(alert) => TlsFailure::Refused(format!("{alert:?}")),
            RustlsError::InvalidMessage(_) => TlsFailure::NotTls,
            other => TlsFailure::Other(other.to_string()),
        })
    }
}

fn of_certificate(error: &CertificateError) -> TlsFailure {
    match error {
        // The second is what comes of another authority of the same name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsFailure::UnknownIssuer,
        CertificateError::NotValidForName => {
            TlsFailure::WrongName { wanted: "this member".into(), has: Vec::new() }
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            TlsFailure::WrongName { wanted: expected.to_str().into_owned(), has: presented.clone() }
        }
        other => TlsFailure::Certificate(other.to_string()),
    }
}

fn of(has: &[String]) -> String {
    if has.is_empty() { String::new() } else { format!(" but for {}", has.join(", ")) }
}

/// Whether these first bytes of what a member sent begin a TLS record (RFC 8446, 5.1): a type from 20 to 24, then
/// version 3.0 to 3.4.
pub(crate) fn begins_record(bytes: &[u8]) -> bool {
    matches!(bytes, [20..=24, 3, 0..=4, ..])
}

/// Whether whoever listens at this address answers to TLS in kind. What it is worth is not looked at.
pub(crate) async fn is_spoken_at(address: SocketAddr, limit: Duration) -> bool {
    let answer = async {
        let config = config_without_roots().map_err(io::Error::other)?;
        let name = ServerName::from(address.ip());
        let mut tls = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        let mut hello = Vec::new();
        while tls.wants_write() {
            tls.write_tls(&mut hello)?;
        }
        let mut tcp = TcpStream::connect(address).await?;
        tcp.write_all(&hello).await?;
        let mut answer = [0; 3];
        tcp.read_exact(&mut answer).await?;
        io::Result::Ok(begins_record(&answer))
    };
    matches!(timeout(limit, answer).await, Ok(Ok(true)))
}

fn config(roots: RootCertStore) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, TlsError> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions();
    Ok(builder.map_err(|e| TlsError::Setup(e.to_string()))?.with_root_certificates(roots))
}

/// A configuration that trusts nobody, for clients that want one and never use it.
pub fn config_without_roots() -> Result<ClientConfig, TlsError> {
    Ok(config(RootCertStore::empty())?.with_no_client_auth())
}

/// TLS as it is to be used with all members of a target.
#[derive(Clone)]
pub struct Tls {
    config: Arc<ClientConfig>,
    server_name: Option<ServerName<'static>>,
}

/// TLS as it is to be used with one member. Cheap to clone.
#[derive(Clone)]
pub struct MemberTls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl TlsOptions {
    /// Whether nothing was said.
    pub fn is_default(&self) -> bool {
        *self == TlsOptions::default()
    }

    /// Reads the files.
    pub fn load(&self) -> Result<Tls, TlsError> {
        let server_name = self.server_name.as_deref().map(server_name).transpose()?;
        let roots = match &self.ca {
            Some(path) => roots_of_file(path)?,
            None => roots_of_system()?,
        };
        let builder = config(roots)?;
        let mut config = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => builder
                .with_client_auth_cert(certificates("--cert", cert)?, private_key(key)?)
                .map_err(|e| TlsError::Identity(e.to_string()))?,
            (None, None) => builder.with_no_client_auth(),
            _ => return Err(TlsError::Pair),
        };
        // Every connection pays for a whole handshake, whatever came before it, and no cache is shared by threads.
        config.resumption = Resumption::disabled();
        Ok(Tls { config: Arc::new(config), server_name })
    }
}

impl Tls {
    /// For the member on this host, a name or an address.
    pub fn for_host(&self, host: &str) -> Result<MemberTls, TlsError> {
        let name = match &self.server_name {
            Some(name) => name.clone(),
            None => server_name(host)?,
        };
        Ok(MemberTls { config: Arc::clone(&self.config), name })
    }

    /// For a library that makes its connections itself.
    pub fn client_config(&self) -> ClientConfig {
        (*self.config).clone()
    }

    /// The name that every member's certificate has to have, if it is not the member's own.
    pub(crate) fn server_name(&self) -> Option<String> {
        self.server_name.as_ref().map(|name| name.to_str().into_owned())
    }
}

impl MemberTls {
    /// Shakes hands over a connected stream.
    pub(crate) async fn secure(&self, tcp: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsConnector::from(Arc::clone(&self.config)).connect(self.name.clone(), tcp).await
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError::ServerName(name.to_owned()))
}

fn roots_of_file(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("--ca", path)? {
        roots
            .add(certificate)
            .map_err(|e| content("--ca", path, &format!("has a certificate that is none: {e}")))?;
    }
    Ok(roots)
}

/// Those that the system trusts; SSL_CERT_FILE and SSL_CERT_DIR stand for them, as with other programs.
fn roots_of_system() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    // Certificates that are too old to be understood are no loss while there are others.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() { Err(TlsError::NoRoots) } else { Ok(roots) }
}

fn certificates(flag: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let no_pem = "is no PEM file of certificates, which begin with -----BEGIN CERTIFICATE-----";
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    match read {
        Ok(certificates) if certificates.is_empty() => Err(content(flag, path, no_pem)),
        Ok(certificates) => Ok(certificates),
        Err(pem::Error::Io(source)) => Err(TlsError::Read { flag, path: path.to_owned(), source }),
        Err(_) => Err(content(flag, path, no_pem)),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| match error {
        pem::Error::Io(source) => TlsError::Read { flag: "--key", path: path.to_owned(), source },
        // The error may quote the file.
        _ => content(
            "--key",
            path,
            "is no PEM file of a private key without a password, which begins with -----BEGIN PRIVATE KEY-----; \
             `openssl pkey -in FILE -out NEW` makes one of others",
        ),
    })
}

fn content(flag: &'static str, path: &Path, cause: &str) -> TlsError {
    TlsError::Content { flag, path: path.to_owned(), cause: cause.to_owned() }
}

/// What an error of an open secured connection means.
pub(crate) fn describe(error: &rustls::Error) -> String {
    match error {
        RustlsError::AlertReceived(alert) => TlsFailure::Refused(format!("{alert:?}")).to_string(),
        other => TlsFailure::Other(other.to_string()).to_string(),
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl fmt::Debug for MemberTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemberTls").field("name", &self.name).finish_non_exhaustive()
    }
}

impl PartialEq for MemberTls {
    fn eq(&self, other: &MemberTls) -> bool {
        Arc::ptr_eq(&self.config, &other.config) && self.name == other.name
    }
}

impl Eq for MemberTls {}
