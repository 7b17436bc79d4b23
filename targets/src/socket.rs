//! A TCP socket that tells when it is ready, and how many of them there may be.

use std::io;
use std::time::Duration;

use rustix::net::sockopt::set_socket_linger;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Allows as many open files as the system lets this process have: every connection is one.
pub fn raise_open_files_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Where it is refused, the limit stays what it is.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Whether dropping the stream resets the connection, instead of closing it in order.
pub(crate) fn reset_when_dropped(stream: &TcpStream, reset: bool) -> io::Result<()> {
    Ok(set_socket_linger(stream, reset.then_some(Duration::ZERO))?)
}

/// A connected socket on the current thread's runtime.
///
/// Beyond what tokio's own stream does, a reader can say that it has emptied the socket: after a short read it
/// needs no second system call to learn that nothing is left (the poll is edge-triggered and reports the next
/// bytes anew).
#[derive(Debug)]
pub struct Socket {
    stream: TcpStream,
}

impl Socket {
    /// Takes a connected stream.
    pub fn new(stream: TcpStream) -> Socket {
        Socket { stream }
    }

    /// Waits until the socket can be read, or, when `or_writable`, written.
    pub async fn ready(&self, or_writable: bool) -> io::Result<()> {
        let interest = if or_writable { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
        self.stream.ready(interest).await.map(|_| ())
    }

    /// Reads once. A result shorter than `buffer` means that nothing more is there now: see [`Socket::emptied`].
    #[inline]
    pub fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.try_read(buffer)
    }

    /// Notes that the last read emptied the socket, so that [`Socket::ready`] waits for more.
    #[inline]
    pub fn emptied(&self) {
        // `try_io` takes the readiness back when its closure says that it would block.
        let _ = self
            .stream
            .try_io(Interest::READABLE, || io::Result::<()>::Err(io::ErrorKind::WouldBlock.into()));
    }

    /// Writes once.
    #[inline]
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.try_write(bytes)
    }

    /// Has the connection reset when the socket is dropped: what is not sent by then never is.
    pub fn reset_when_dropped(&self) -> io::Result<()> {
        reset_when_dropped(&self.stream, true)
    }

    /// The stream itself.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_socket_is_reset_when_that_was_asked_for() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let what_the_peer_reads = |reset: bool| {
            runtime.block_on(async {
                let socket = Socket::new(TcpStream::connect(address).await.unwrap());
                if reset {
                    socket.reset_when_dropped().unwrap();
                }
            });
            let (mut peer, _) = listener.accept().unwrap();
            peer.read(&mut [0]).map_err(|e| e.kind())
        };
        assert_eq!(what_the_peer_reads(false), Ok(0));
        assert_eq!(what_the_peer_reads(true), Err(io::ErrorKind::ConnectionReset));
    }
}
