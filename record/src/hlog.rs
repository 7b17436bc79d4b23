//! `latency.hlog`: the HdrHistogram interval log, version 2.
//!
//! A line is `Tag=<tag>,<start s>,<length s>,<max ms>,<histogram>`, the histogram compressed (V2 + DEFLATE) in
//! base64; see "Histogram log format" of HdrHistogram. Every reader of that format reads these files. Tags:
//!
//! | tag | values |
//! |---|---|
//! | `<stream>.<op>.ok.wait`, `.service`, `.response` | ops that succeeded |
//! | `<stream>.<op>.failed.response`, `.unknown.response`, `.shed.response` | the others; unknown and shed ones are lower bounds |
//! | `<stream>.<op>.all.response` | the sum of the four |
//! | `<stream>.watch_delivery.ok.after_ack`, `.before_ack` | received − acknowledged, and its negative where the event came first |
//! | `<stream>.watch_delivery.ok.first`, `.median`, `.last` | received − intended of three deliveries of each write that reached all of its watchers |
//! | `<stream>.tcp.ok.response`, `.handshake.`, … | stages of sessions' lives, as if they were ops: see [`stage`](crate::stage) |
//! | `generator.lag` | released − intended |
//!
//! Only ops intended in the measured window are in this file.

use std::io::{self, BufRead, Read as _, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use flate2::read::ZlibDecoder;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer};

use crate::line::WholeLines;

/// Statistics in the log's own columns are in milliseconds; the histograms are in nanoseconds.
const NS_PER_MS: f64 = 1_000_000.0;

/// One histogram of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// What the histogram is of.
    pub tag: String,
    /// Start of the interval, seconds since the run's start.
    pub start_s: f64,
    /// Length of the interval, seconds.
    pub length_s: f64,
    /// The values, nanoseconds.
    pub histogram: Histogram<u64>,
}

/// Why a line of a log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// The line has not the form of an interval line.
    #[error("not an interval line: {0}")]
    Form(&'static str),
    /// The histogram at the line's end cannot be decoded.
    #[error("the histogram cannot be decoded: {0}")]
    Histogram(String),
    /// The line is too long, or no text.
    #[error("{0}")]
    Line(String),
}

/// Writes the lines of one log.
pub struct LogWriter {
    serializer: V2DeflateSerializer,
    bytes: Vec<u8>,
    text: String,
}

impl Default for LogWriter {
    fn default() -> Self {
        LogWriter::new()
    }
}

impl LogWriter {
    /// A writer without any state of its own but buffers.
    pub fn new() -> Self {
        LogWriter { serializer: V2DeflateSerializer::new(), bytes: Vec::new(), text: String::new() }
    }

    /// Writes the comment lines that open a log.
    pub fn header(&self, out: &mut impl Write, unix_start_s: f64, rfc3339: &str) -> io::Result<()> {
        writeln!(out, "#[Logged by quorumeter]")?;
        writeln!(out, "#[Histogram log format version 1.3]")?;
        writeln!(out, "#[StartTime: {unix_start_s:.3} (seconds since epoch), {rfc3339}]")?;
        writeln!(out, "#[BaseTime: {unix_start_s:.3} (seconds since epoch)]")?;
        writeln!(
            out,
            "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\""
        )
    }

    /// Writes one histogram.
    pub fn entry(
        &mut self,
        out: &mut impl Write,
        tag: &str,
        start_ns: u64,
        end_ns: u64,
        histogram: &Histogram<u64>,
    ) -> io::Result<()> {
        self.bytes.clear();
        self.serializer.serialize(histogram, &mut self.bytes).map_err(|e| io::Error::other(e.to_string()))?;
        self.text.clear();
        BASE64.encode_string(&self.bytes, &mut self.text);
        let start_s = start_ns as f64 / 1e9;
        let length_s = (end_ns - start_ns) as f64 / 1e9;
        let max_ms = histogram.max() as f64 / NS_PER_MS;
        writeln!(out, "Tag={tag},{start_s:.3},{length_s:.3},{max_ms:.3},{}", self.text)
    }
}

/// Reads one line; `None` for comments, the legend and empty lines.
pub fn parse_line(line: &str, deserializer: &mut Deserializer) -> Result<Option<Entry>, LineError> {
    let line = line.trim_end();
    if line.is_empty() || line.starts_with('#') || line.starts_with('"') {
        return Ok(None);
    }
    let mut fields = line.split(',');
    let tag = fields
        .next()
        .and_then(|f| f.strip_prefix("Tag="))
        .ok_or(LineError::Form("it does not start with Tag="))?
        .to_owned();
    let mut number = |what| {
        fields
            .next()
            .and_then(|f| f.parse::<f64>().ok())
            .filter(|n| n.is_finite())
            .ok_or(LineError::Form(what))
    };
    let start_s = number("its start is not a number")?;
    let length_s = number("its length is not a number")?;
    number("its maximum is not a number")?;
    let text = fields.next().ok_or(LineError::Form("it has no histogram"))?;
    let bytes = BASE64.decode(text).map_err(|e| LineError::Histogram(e.to_string()))?;
    let bytes = inflate(&bytes).map_err(|e| LineError::Histogram(e.to_owned()))?;
    let histogram = deserializer
        .deserialize(&mut io::Cursor::new(bytes))
        .map_err(|e| LineError::Histogram(e.to_string()))?;
    Ok(Some(Entry { tag, start_s, length_s, histogram }))
}

/// What a compressed histogram begins with, before the length of what is compressed.
const DEFLATED_COOKIE: [u8; 4] = [0x1c, 0x84, 0x93, 0x14];
/// The histogram itself: cookie, length of the counts, offset, digits, two bounds, ratio; then the counts.
const HEADER_LEN: usize = 40;
/// More bytes than an inflated histogram of durations has: 35 thousand counts of at most 9 bytes.
const MAX_INFLATED: u64 = 16 << 20;

/// Takes a histogram out of its compression. The length of its counts is checked here, as the deserialiser would make
/// room for whatever it says.
fn inflate(bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
    let deflated = bytes
        .strip_prefix(&DEFLATED_COOKIE)
        .and_then(|rest| rest.get(4..))
        .ok_or("it is not compressed in the form V2")?;
    let mut inflated = Vec::new();
    let read = ZlibDecoder::new(deflated).take(MAX_INFLATED + 1).read_to_end(&mut inflated);
    read.map_err(|_| "its compression is damaged")?;
    if inflated.len() as u64 > MAX_INFLATED {
        return Err("it is larger than any histogram of durations");
    }
    let counts_len = inflated.get(4..8).and_then(|len| Some(u32::from_be_bytes(len.try_into().ok()?)));
    match counts_len {
        Some(len) if len as usize <= inflated.len().saturating_sub(HEADER_LEN) => Ok(inflated),
        _ => Err("its counts are longer than it is"),
    }
}

/// All entries of a log, in order, each with its line's number from 1. A last line without its line end is cut
/// short and left out.
pub fn entries<R: BufRead>(input: R) -> impl Iterator<Item = (u64, io::Result<Result<Entry, LineError>>)> {
    let mut deserializer = Deserializer::new();
    let mut lines = WholeLines::new(input);
    std::iter::from_fn(move || {
        loop {
            let (number, line) = lines.next()?;
            let entry = match line {
                Err(error) => Err(error),
                Ok(Err(bad)) => Ok(Err(LineError::Line(bad.to_string()))),
                Ok(Ok(line)) => match parse_line(line, &mut deserializer).transpose() {
                    None => continue,
                    Some(entry) => Ok(entry),
                },
            };
            return Some((number, entry));
        }
    })
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::ZlibEncoder;
    use hdrhistogram::serialization::V2Serializer;

    use super::*;
    use crate::new_duration_histogram;

    #[test]
    fn what_is_written_is_read_again() {
        let mut histogram = new_duration_histogram();
        for v in [1, 17, 1_000_000, 3_600_000_000_000] {
            histogram.record(v).unwrap();
        }
        let mut log = Vec::new();
        let mut writer = LogWriter::new();
        writer.header(&mut log, 1_700_000_000.5, "2023-11-14T22:13:20.500Z").unwrap();
        writer.entry(&mut log, "app.read.ok.wait", 1_500_000_000, 2_500_000_000, &histogram).unwrap();
        log.extend_from_slice(b"Tag=app.read.ok.wait,2.5,1.0,3.0,HISTF"); // a crash in the middle of a line
        let read: Vec<_> = entries(log.as_slice()).map(|(line, e)| (line, e.unwrap().unwrap())).collect();
        assert_eq!(read.len(), 1);
        let (line, entry) = &read[0];
        assert_eq!((*line, entry.tag.as_str()), (6, "app.read.ok.wait"));
        assert_eq!((entry.start_s, entry.length_s), (1.5, 1.0));
        assert_eq!(entry.histogram, histogram);
    }

    #[test]
    fn a_histogram_is_no_longer_than_its_line() {
        let mut plain = Vec::new();
        V2Serializer::new().serialize(&new_duration_histogram(), &mut plain).unwrap();
        let line = |plain: &[u8]| {
            let mut deflated = ZlibEncoder::new(Vec::new(), Compression::default());
            deflated.write_all(plain).unwrap();
            let deflated = deflated.finish().unwrap();
            let bytes = [&DEFLATED_COOKIE[..], &(deflated.len() as u32).to_be_bytes(), &deflated].concat();
            format!("Tag=a,0,1,1,{}", BASE64.encode(bytes))
        };
        let read = |line: &str| parse_line(line, &mut Deserializer::new());
        assert!(read(&line(&plain)).is_ok());
        // A length of four gigabytes, which would be made room for.
        plain[4..8].copy_from_slice(&u32::MAX.to_be_bytes());
        let error = read(&line(&plain)).unwrap_err().to_string();
        assert!(error.contains("its counts are longer than it is"), "{error}");
        let error = read(&line(&vec![0; MAX_INFLATED as usize + 1])).unwrap_err().to_string();
        assert!(error.contains("larger than any histogram"), "{error}");
    }

    #[test]
    fn a_damaged_line_is_an_error() {
        let mut deserializer = Deserializer::new();
        for line in
            ["nonsense", "Tag=a", "Tag=a,x,1,1,AAAA", "Tag=a,0,1,1", "Tag=a,0,1,1,@@@@", "Tag=a,0,1,1,AAAA"]
        {
            assert!(parse_line(line, &mut deserializer).is_err(), "{line}");
        }
    }
}
