//! A load session's connection over TLS: which ops' records the kernel has, and what it brought.
//!
//! ```text
//!   ops ──► output ──seal()──► records ──one write──► kernel
//!           plain              sealed, at most SEAL_BYTES of plain at a time
//! ```
//!
//! rustls would hold back what the kernel does not take, and then nobody could tell which op has gone. So each record
//! is taken from it as it is made, into a buffer of our own, with a note of how far into the plain output it reaches.
//! *Sent* is the clock just before the write that hands over the *last byte of the record* with the op's last byte: a
//! server cannot open a record before it has all of it (RFC 8446, 5.2). The clock is read after the sealing, so the
//! cost of that is part of the wait, not of the service; opening comes after the clock reading of *done*.
//!
//! rustls's buffered interface allocates for each record that it seals or opens, and so once per op where a member
//! answers every op with a record of its own. Nothing else here does once the buffers have grown.

use std::collections::VecDeque;
use std::io::{self, Read as _, Write as _};
use std::ops::Range;

use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConnection;

use super::{INPUT_BYTES, ZooKeeperConnection};
use crate::clock::Clock;
use crate::session::{ConnectionError, Sink};
use crate::socket::Socket;
use crate::tls;

/// The most that a record holds (RFC 8446, 5.1): what is written at once up to here becomes one record.
const RECORD_BYTES: usize = 16 << 10;

/// Plain bytes that are sealed for one write. What is not sealed yet is known not to have gone.
const SEAL_BYTES: usize = 256 << 10;

/// The TLS side of a connection.
pub(super) struct Sealed {
    tls: ClientConnection,

    /// Sealed bytes.
    outgoing: Vec<u8>,
    /// How many of them the kernel has taken.
    taken: usize,
    /// Sealed bytes ever put into `outgoing`, and ever taken from it by the kernel.
    sealed: u64,
    gone: u64,
    /// What `outgoing` consists of, as far as it has not gone as a whole.
    records: VecDeque<Record>,
    /// Plain bytes ever sealed, and those in records that have gone as a whole.
    plain: u64,
    handed: u64,
    /// Where the last record that has gone ends, in sealed bytes.
    gone_records_end: u64,

    incoming: Vec<u8>,
    /// The part of `incoming` that rustls has not seen.
    unread: Range<usize>,
}

/// Where a record ends, counted over all of the connection's bytes.
struct Record {
    sealed_end: u64,
    plain_end: u64,
}

impl Sealed {
    pub(super) fn new(tls: ClientConnection) -> Sealed {
        Sealed {
            tls,
            outgoing: Vec::new(),
            taken: 0,
            sealed: 0,
            gone: 0,
            records: VecDeque::new(),
            plain: 0,
            handed: 0,
            gone_records_end: 0,
            incoming: vec![0; INPUT_BYTES.0],
            unread: 0..0,
        }
    }

    /// Whether sealed bytes wait for the kernel.
    pub(super) fn wants_write(&self) -> bool {
        self.taken < self.outgoing.len()
    }

    /// Plain bytes up to which the kernel has at least a part of the record.
    pub(super) fn begun(&self) -> u64 {
        match self.records.front() {
            Some(record) if self.gone > self.gone_records_end => record.plain_end,
            _ => self.handed,
        }
    }

    /// Seals the beginning of `plain` once everything sealed before has gone, and returns how much of it.
    fn seal(&mut self, plain: &[u8]) -> io::Result<usize> {
        if self.wants_write() {
            return Ok(0);
        }
        self.outgoing.clear();
        self.taken = 0;
        // What TLS has to say itself, such as new keys.
        self.collect(0)?;
        let mut sealed = 0;
        for piece in plain[..plain.len().min(SEAL_BYTES)].chunks(RECORD_BYTES) {
            let n = self.tls.writer().write(piece)?;
            self.collect(n)?;
            sealed += n;
            if n < piece.len() {
                break;
            }
        }
        Ok(sealed)
    }

    /// Takes from rustls what it has sealed: `plain` bytes.
    fn collect(&mut self, plain: usize) -> io::Result<()> {
        let before = self.outgoing.len();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.outgoing)?;
        }
        self.sealed += (self.outgoing.len() - before) as u64;
        self.plain += plain as u64;
        if self.outgoing.len() > before {
            self.records.push_back(Record { sealed_end: self.sealed, plain_end: self.plain });
        }
        Ok(())
    }

    /// Writes once.
    fn try_write(&mut self, socket: &Socket) -> io::Result<()> {
        let n = socket.try_write(&self.outgoing[self.taken..])?;
        if n == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.taken += n;
        self.gone += n as u64;
        while let Some(record) = self.records.front().filter(|record| record.sealed_end <= self.gone) {
            self.handed = record.plain_end;
            self.gone_records_end = record.sealed_end;
            self.records.pop_front();
        }
        Ok(())
    }

    /// Reads once; everything read before has to be opened. Returns how much came, and for how much there was room.
    fn try_read(&mut self, socket: &Socket) -> io::Result<(usize, usize)> {
        let space = self.incoming.len();
        let n = socket.try_read(&mut self.incoming)?;
        self.unread = 0..n;
        Ok((n, space))
    }

    /// Opens what was read, as far as `space` has room for it. Returns how much that was; 0 when there is no more.
    fn open(&mut self, space: &mut [u8]) -> Result<usize, ConnectionError> {
        loop {
            match self.tls.reader().read(space) {
                // The member said that nothing more comes.
                Ok(0) => return Err(ConnectionError::Closed),
                Ok(n) => return Ok(n),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                Err(e) => return Err(e.into()),
            }
            if self.unread.is_empty() {
                return Ok(0);
            }
            self.unread.start += self.tls.read_tls(&mut &self.incoming[self.unread.clone()])?;
            self.tls.process_new_packets().map_err(|e| ConnectionError::Tls(tls::describe(&e)))?;
        }
    }
}

impl<T: Copy> ZooKeeperConnection<T> {
    /// Hands the output to the kernel as far as it takes it, sealed.
    pub(super) fn flush_sealed(
        &mut self,
        clock: &Clock,
        sink: &mut impl Sink<T>,
    ) -> Result<(), ConnectionError> {
        while let Some(sealed) = &mut self.sealed {
            self.taken += sealed.seal(&self.output[self.taken..])?;
            if !sealed.wants_write() {
                if self.taken < self.output.len() {
                    return Err(io::Error::from(io::ErrorKind::WriteZero).into());
                }
                break;
            }
            let sent_ns = clock.now_ns();
            match sealed.try_write(&self.socket) {
                Ok(()) => {
                    self.handed = sealed.handed;
                    self.last_write_ns = sent_ns;
                    self.note_sent(sent_ns, sink);
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    self.compact();
                    return Ok(());
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e.into()),
            }
        }
        self.output.clear();
        self.taken = 0;
        Ok(())
    }

    /// Reads once, opens what came, and ends the ops whose replies are complete.
    pub(super) fn receive_sealed(
        &mut self,
        clock: &Clock,
        sink: &mut impl Sink<T>,
    ) -> Result<bool, ConnectionError> {
        let Some(sealed) = &mut self.sealed else { return Ok(false) };
        let (n, space) = match sealed.try_read(&self.socket) {
            Ok((0, _)) => return Err(ConnectionError::Closed),
            Ok(read) => read,
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                return Ok(false);
            }
            Err(e) => return Err(e.into()),
        };
        let done_ns = clock.now_ns();
        self.last_read_ns = done_ns;
        self.suspected = false;
        if n < space {
            self.socket.emptied();
        }
        while let Some(sealed) = &mut self.sealed {
            let opened = sealed.open(&mut self.input[self.filled.end..])?;
            if opened == 0 {
                break;
            }
            self.filled.end += opened;
            let full = self.filled.end == self.input.len();
            self.take_frames(done_ns, sink)?;
            if full && self.input.len() < INPUT_BYTES.1 {
                self.input.resize(self.input.len() * 2, 0);
            }
        }
        if let Some(sealed) = &mut self.sealed
            && n == space
            && space < INPUT_BYTES.1
        {
            sealed.incoming.resize(space * 2, 0);
        }
        Ok(n == space)
    }
}

/// Takes a secured stream apart.
pub(super) fn split(stream: TlsStream<tokio::net::TcpStream>) -> (tokio::net::TcpStream, Box<Sealed>) {
    let (tcp, tls) = stream.into_inner();
    (tcp, Box::new(Sealed::new(tls)))
}
