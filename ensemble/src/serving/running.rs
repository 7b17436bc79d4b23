//! A server on a thread of its own.

use std::io;
use std::net::SocketAddr;
use std::thread::JoinHandle;

use tokio::sync::oneshot;
use tokio::task::LocalSet;

use super::{Addresses, Limits, Listeners, Service, serve};

/// A server that runs on a thread of its own inside this process, until this is dropped.
#[derive(Debug)]
pub struct Running {
    addresses: Addresses,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.addresses.client
    }

    /// Where its AdminServer listens, if it has one.
    pub fn admin(&self) -> Option<SocketAddr> {
        self.addresses.admin
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            // The thread has ended already if nobody listens.
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Starts a server; `make` is called on its thread.
pub(crate) fn start<S: Service>(
    name: &str,
    addresses: Addresses,
    limits: Limits,
    make: impl FnOnce(SocketAddr) -> S + Send + 'static,
) -> io::Result<Running> {
    let listeners = Listeners::bind(addresses)?;
    let addresses = listeners.addresses()?;
    spawn(name, addresses, move |stop| serve(listeners, make(addresses.client), limits, stop))
}

/// Runs what `make` makes on a thread with a runtime. It ends when the future that it is given is ready.
pub(crate) fn spawn<F: Future<Output = io::Result<()>>>(
    name: &str,
    addresses: Addresses,
    make: impl FnOnce(StopFuture) -> F + Send + 'static,
) -> io::Result<Running> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
        let local = LocalSet::new();
        let stopped: StopFuture = Box::pin(async move {
            let _ = stopped.await;
        });
        // Whoever waits for the server sees that it is not there.
        let _ = runtime.block_on(local.run_until(async move { make(stopped).await }));
    })?;
    Ok(Running { addresses, stop: Some(stop), thread: Some(thread) })
}

/// Ready when the server shall stop.
pub(crate) type StopFuture = std::pin::Pin<Box<dyn Future<Output = ()>>>;
