//! A server as a process of its own.

use std::io;
use std::net::SocketAddr;
use std::path::Path;

use quorumeter_targets::socket::raise_open_files_limit;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::LocalSet;

use super::{Addresses, Limits, Listeners, Service, serve};

/// Serves on this thread until SIGTERM. Once it listens, the address is written to `announce`, and on a second line that
/// of the AdminServer, if there is one.
pub(crate) fn serve_until_terminated<S: Service>(
    addresses: Addresses,
    announce: Option<&Path>,
    limits: Limits,
    make: impl FnOnce(SocketAddr) -> S,
) -> io::Result<()> {
    raise_open_files_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(LocalSet::new().run_until(async {
        let mut terminated = signal(SignalKind::terminate())?;
        let listeners = Listeners::bind(addresses)?;
        let Addresses { client, admin } = listeners.addresses()?;
        let service = make(client);
        if let Some(path) = announce {
            let admin = admin.map(|address| format!("{address}\n")).unwrap_or_default();
            write_whole(path, &format!("{client}\n{admin}"))?;
        }
        serve(listeners, service, limits, async move {
            terminated.recv().await;
        })
        .await
    }))
}

/// Writes a file so that a reader sees all of it or nothing.
fn write_whole(path: &Path, content: &str) -> io::Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{}", std::process::id()));
    std::fs::write(&temporary, content)?;
    std::fs::rename(&temporary, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_announcement_replaces_the_one_before() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("address");
        for text in ["127.0.0.1:1\n", "127.0.0.1:65535\n"] {
            write_whole(&path, text).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
