//! A connection to a member before it is a session's: plain, or secured by TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

use crate::session::{ConnectError, Member, Waited};
use crate::socket;
use crate::source;
use crate::tls::TlsFailure;

/// A connected stream.
pub enum Stream {
    /// TCP.
    Plain(TcpStream),
    /// TLS over it.
    Secured(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// Connects to a member and, if that is how it is reached, secures the connection; `limit` bounds both together.
    /// `connected` is called between the two.
    pub async fn open(
        member: &Member,
        limit: Duration,
        connected: impl FnOnce(),
    ) -> Result<Stream, ConnectError> {
        let deadline = Instant::now() + limit;
        let late = |what| ConnectError::Timeout { what, timeout_ms: limit.as_millis() as u64 };
        let tcp = timeout_at(deadline, source::connect(member.address))
            .await
            .map_err(|_| late(Waited::Tcp))?
            .map_err(ConnectError::Tcp)?;
        connected();
        tcp.set_nodelay(true).map_err(ConnectError::Tcp)?;
        let Some(tls) = &member.tls else { return Ok(Stream::Plain(tcp)) };
        let secured = timeout_at(deadline, tls.secure(tcp)).await.map_err(|_| late(Waited::Tls))?;
        secured.map(|stream| Stream::Secured(Box::new(stream))).map_err(|error| {
            match (TlsFailure::of(&error), error.kind()) {
                (Some(failure), _) => failure.into(),
                (None, io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset) => {
                    TlsFailure::Closed.into()
                }
                (None, io::ErrorKind::InvalidData) => TlsFailure::NotTls.into(),
                (None, _) => ConnectError::Tcp(error),
            }
        })
    }

    /// Whether dropping the stream resets the connection, instead of closing it in order. A connection that is given
    /// up before it is a session's must not keep its port: thousands of those, waiting for a member that says nothing
    /// to close its side, make every further connect search the ports for long.
    pub fn reset_when_dropped(&self, reset: bool) -> io::Result<()> {
        let tcp = match self {
            Stream::Plain(tcp) => tcp,
            Stream::Secured(secured) => secured.get_ref().0,
        };
        socket::reset_when_dropped(tcp, reset)
    }

    /// Hands all of it to the kernel.
    pub async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_all(bytes).await?;
        self.flush().await
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Stream::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Stream::Secured(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Stream::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Stream::Secured(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Stream::Plain(stream) => Pin::new(stream).poll_flush(context),
            Stream::Secured(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Stream::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Stream::Secured(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
