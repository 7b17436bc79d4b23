//! Where connections come from: the operating system's choice, and other loopback addresses when it has no port left.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::io::Errno;
use tokio::net::{TcpSocket, TcpStream};

/// Source addresses that are tried, beside the system's own choice: with some 28,000 ports each, for more connections
/// to one member than there are file descriptors.
const SOURCES: u32 = 64;

/// The source from which the last connection came that found a port; 0 is the system's choice. Only made use of when
/// ports run out.
static SOURCE: AtomicU32 = AtomicU32::new(0);

/// Connects to an address.
///
/// A client has one port for each connection to the same address, and a machine some 28,000 of them. On loopback there
/// are more addresses to come from: when one has no port left, the next is taken.
///
/// # Errors
///
/// Those of the system. When no port is left, or no file descriptor (of the kind `QuotaExceeded`), the error says so and
/// what would help.
pub(crate) async fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let first = SOURCE.load(Ordering::Relaxed);
    let sources = if is_loopback_v4(to) { SOURCES } else { 0 };
    for i in 0..=sources {
        let source = (first + i) % (sources + 1);
        match connect_from(source, to).await {
            Err(e) if has_no_port(&e) => {}
            Err(e) if is_out_of_files(&e) => {
                let limit = "this process has as many open files as it may, and each connection is one: raise \
                             `ulimit -n`, or spread the sessions over more machines";
                return Err(io::Error::new(io::ErrorKind::QuotaExceeded, limit));
            }
            connected => {
                if i > 0 {
                    SOURCE.store(source, Ordering::Relaxed);
                }
                return connected;
            }
        }
    }
    let range = "this machine has no port left for another connection to that address: widen \
                 net.ipv4.ip_local_port_range, or spread the sessions over more members or machines";
    Err(io::Error::new(io::ErrorKind::AddrNotAvailable, range))
}

async fn connect_from(source: u32, to: SocketAddr) -> io::Result<TcpStream> {
    let Some(address) = address_of(source) else { return TcpStream::connect(to).await };
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::V4(SocketAddrV4::new(address, 0)))?;
    socket.connect(to).await
}

/// The address of a source: none for the system's choice, else 127.1.0.1 and so on.
fn address_of(source: u32) -> Option<Ipv4Addr> {
    (source > 0).then(|| Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 0)) + source))
}

fn is_loopback_v4(to: SocketAddr) -> bool {
    matches!(to.ip(), IpAddr::V4(ip) if ip.is_loopback())
}

/// Whether the process, or the machine, has no file descriptor left.
fn is_out_of_files(error: &io::Error) -> bool {
    [Errno::MFILE, Errno::NFILE].iter().any(|e| error.raw_os_error() == Some(e.raw_os_error()))
}

fn has_no_port(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_loopback_addresses_of_their_own() {
        assert_eq!(address_of(0), None);
        assert_eq!(address_of(1), Some(Ipv4Addr::new(127, 1, 0, 1)));
        assert_eq!(address_of(SOURCES), Some(Ipv4Addr::new(127, 1, 0, 64)));
    }
}
