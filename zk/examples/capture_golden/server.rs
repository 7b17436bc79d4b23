//! Real ZooKeeper servers, for as long as the capture lasts.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{Capture, Result};

/// A member; dropping it kills it.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    process: Child,
}

impl Server {
    /// Starts a member that is alone.
    pub(crate) fn start(
        capture: &Capture<'_>,
        name: &str,
        properties: &[String],
        config: &str,
    ) -> Result<Server> {
        let port = free_ports(1)?[0];
        let config = format!("clientPort={port}\nclientPortAddress=127.0.0.1\n{config}");
        launch(capture, name, port, properties, &config)
    }

    /// Starts a member of an ensemble, whose configuration names the client ports.
    pub(crate) fn member(
        capture: &Capture<'_>,
        id: usize,
        port: u16,
        properties: &[String],
        config: &str,
    ) -> Result<Server> {
        let data = capture.scratch.join(format!("member-{id}/data"));
        fs::create_dir_all(&data)?;
        fs::write(data.join("myid"), id.to_string())?;
        launch(capture, &format!("member-{id}"), port, properties, config)
    }

    /// Waits until the answer to a four-letter word has this text in it.
    pub(crate) fn await_answer(&self, word: &str, text: &str) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(60) {
            if ask(self.address, word).is_ok_and(|answer| answer.contains(text)) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Err(format!("{} has not answered {word} with {text:?} within a minute", self.address).into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Neither fails for a child that has not been waited for.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn launch(
    capture: &Capture<'_>,
    name: &str,
    port: u16,
    properties: &[String],
    config: &str,
) -> Result<Server> {
    let folder = capture.scratch.join(name);
    fs::create_dir_all(folder.join("data"))?;
    let common = format!(
        "tickTime=2000\ninitLimit=10\nsyncLimit=5\nmaxClientCnxns=0\ndataDir={}/data\n",
        folder.display()
    );
    fs::write(folder.join("zoo.cfg"), common + config)?;
    let log = fs::File::create(folder.join("log"))?;
    let process = Command::new("java")
        .current_dir(&folder)
        .arg("-cp")
        .arg(fs::canonicalize(capture.jars)?.join("*"))
        .args(["-Xmx256m", "-Dzookeeper.admin.enableServer=false"])
        .args(properties)
        .args(["org.apache.zookeeper.server.quorum.QuorumPeerMain", "./zoo.cfg"])
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .spawn()?;
    Ok(Server { address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)), process })
}

/// Asks a member a four-letter word.
pub(crate) fn ask(address: SocketAddr, word: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(word.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Ports that nothing listens at.
pub(crate) fn free_ports(count: usize) -> Result<Vec<u16>> {
    let listeners = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<std::io::Result<Vec<_>>>()?;
    Ok(listeners.iter().map(|listener| Ok(listener.local_addr()?.port())).collect::<std::io::Result<_>>()?)
}
