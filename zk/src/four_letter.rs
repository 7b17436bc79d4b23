//! Four-letter words: four bytes sent instead of a handshake, answered with text and the end of the stream.
//!
//! Written as Apache ZooKeeper 3.9 writes them; parsed leniently, because dialects differ.

use std::fmt::Write as _;

/// Every word that Apache ZooKeeper knows.
pub const WORDS: [&str; 18] = [
    "conf", "cons", "crst", "dirs", "dump", "envi", "gtmk", "hash", "isro", "mntr", "ruok", "srst", "srvr",
    "stat", "stmk", "wchc", "wchp", "wchs",
];

/// The answer to `ruok`.
pub const IMOK: &str = "imok";

/// The answer to a word that is not on the whitelist, behind the word itself.
pub const NOT_WHITELISTED: &str = " is not executed because it is not in the whitelist.\n";

/// The answer of a member that is looking for a leader, or is one that does not serve clients.
pub const NOT_SERVING: &str = "This ZooKeeper instance is not currently serving requests\n";

/// Why an answer could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The word is switched off.
    #[error("the member does not answer this word: it is not in its 4lw.commands.whitelist")]
    NotWhitelisted,
    /// The member says that it is not serving.
    #[error("the member says that it is not serving requests")]
    NotServing,
    /// The member closed the connection without an answer.
    #[error("the answer is empty")]
    Empty,
    /// The answer is of some other form.
    #[error("the answer has no {0}")]
    Missing(&'static str),
    /// A value is not what it should be.
    #[error("{field} is {value:?}")]
    Value {
        /// Its name.
        field: &'static str,
        /// What was found.
        value: String,
    },
}

/// Tells apart answers that say nothing. ClickHouse Keeper's has no "ZooKeeper" in it.
///
/// # Errors
///
/// [`AnswerError::Empty`], [`AnswerError::NotWhitelisted`] and [`AnswerError::NotServing`].
pub fn check(answer: &str) -> Result<(), AnswerError> {
    if answer.trim().is_empty() {
        Err(AnswerError::Empty)
    } else if answer.contains("is not executed because it is not in the whitelist") {
        Err(AnswerError::NotWhitelisted)
    } else if answer.starts_with("This ") && answer.contains("instance is not currently serving requests") {
        Err(AnswerError::NotServing)
    } else {
        Ok(())
    }
}

/// What a member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// It orders the writes.
    Leader,
    /// It votes.
    Follower,
    /// It listens.
    Observer,
    /// It is alone.
    Standalone,
    /// It has no quorum and serves reads.
    ReadOnly,
}

impl Mode {
    /// The name in `srvr` and `mntr`.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Leader => "leader",
            Mode::Follower => "follower",
            Mode::Observer => "observer",
            Mode::Standalone => "standalone",
            Mode::ReadOnly => "read-only",
        }
    }

    /// The mode of this name.
    pub fn from_name(name: &str) -> Option<Mode> {
        [Mode::Leader, Mode::Follower, Mode::Observer, Mode::Standalone, Mode::ReadOnly]
            .into_iter()
            .find(|mode| mode.name() == name)
    }
}

/// The answer to `srvr`.
#[derive(Debug, Clone, PartialEq)]
pub struct Srvr {
    /// Version, as the member tells it, with commit and build date.
    pub version: String,
    /// Least, mean and greatest time that the member took for a request, milliseconds.
    pub latency_ms: (f64, f64, f64),
    /// Packets received.
    pub received: u64,
    /// Packets sent.
    pub sent: u64,
    /// Client connections.
    pub connections: u64,
    /// Requests inside the member.
    pub outstanding: u64,
    /// Last zxid applied.
    pub zxid: i64,
    /// What the member does.
    pub mode: Mode,
    /// znodes.
    pub node_count: u64,
    /// Bytes of the last, smallest and largest proposal, which leaders tell; −1 before the first one.
    pub proposal_sizes: Option<[i32; 3]>,
}

const READ_ONLY_LINE: &str = "READ-ONLY mode; serving only read-only clients\n";

impl Srvr {
    /// Writes the answer.
    pub fn write(&self) -> String {
        let (min, mean, max) = self.latency_ms;
        let read_only = if self.mode == Mode::ReadOnly { READ_ONLY_LINE } else { "" };
        let mut text = format!(
            "Zookeeper version: {}\n{read_only}Latency min/avg/max: {min}/{mean:?}/{max}\nReceived: {}\nSent: {}\n\
             Connections: {}\nOutstanding: {}\nZxid: 0x{:x}\nMode: {}\nNode count: {}\n",
            self.version,
            self.received,
            self.sent,
            self.connections,
            self.outstanding,
            self.zxid,
            self.mode.name(),
            self.node_count,
        );
        if let Some([last, min, max]) = self.proposal_sizes {
            // Writing to a string does not fail.
            let _ = writeln!(text, "Proposal sizes last/min/max: {last}/{min}/{max}");
        }
        text
    }

    /// Reads the answer.
    pub fn parse(answer: &str) -> Result<Srvr, AnswerError> {
        check(answer)?;
        let field = |name: &'static str| {
            answer
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(str::trim)
                .ok_or(AnswerError::Missing(name))
        };
        let number = |name: &'static str| {
            let value = field(name)?;
            value.parse::<u64>().map_err(|_| AnswerError::Value { field: name, value: value.to_owned() })
        };
        let bad =
            |name: &'static str, value: &str| AnswerError::Value { field: name, value: value.to_owned() };
        let latency = field(LATENCY)?;
        let is_finite = |ms: &f64| ms.is_finite();
        let latency_ms = three_of(latency).filter(|all: &[f64; 3]| all.iter().all(is_finite));
        let [min, mean, max] = latency_ms.ok_or_else(|| bad(LATENCY, latency))?;
        let proposal_sizes = match field(PROPOSAL_SIZES) {
            Ok(sizes) => Some(three_of(sizes).ok_or_else(|| bad(PROPOSAL_SIZES, sizes))?),
            Err(_) => None,
        };
        let zxid = field("Zxid")?;
        // Old ClickHouse Keeper writes it in decimal.
        let zxid_value = match zxid.strip_prefix("0x") {
            Some(hex) if hex.starts_with('+') => None,
            Some(hex) => u64::from_str_radix(hex, 16).ok().map(|z| z as i64),
            None => zxid.parse::<i64>().ok(),
        };
        let mode = field("Mode")?;
        Ok(Srvr {
            version: answer
                .lines()
                .find_map(|line| line.split_once(" version: "))
                .map(|(_, version)| version.trim().to_owned())
                .ok_or(AnswerError::Missing("version"))?,
            latency_ms: (min, mean, max),
            received: number("Received")?,
            sent: number("Sent")?,
            connections: number("Connections")?,
            outstanding: number("Outstanding")?,
            zxid: zxid_value.ok_or_else(|| bad("Zxid", zxid))?,
            mode: Mode::from_name(mode).ok_or_else(|| bad("Mode", mode))?,
            node_count: number("Node count")?,
            proposal_sizes,
        })
    }
}

const LATENCY: &str = "Latency min/avg/max";
const PROPOSAL_SIZES: &str = "Proposal sizes last/min/max";

/// The numbers of `a/b/c`.
fn three_of<T: std::str::FromStr>(text: &str) -> Option<[T; 3]> {
    let numbers: Option<Vec<T>> = text.splitn(4, '/').map(|part| part.parse().ok()).collect();
    numbers?.try_into().ok()
}

/// The answer to `mntr`: one `key<TAB>value` a line. What a key means, and its type, is its reader's affair.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Mntr {
    entries: Vec<(String, String)>,
}

impl Mntr {
    /// An answer without any entry.
    pub fn new() -> Mntr {
        Mntr::default()
    }

    /// Appends an entry; the key without its `zk_`.
    pub fn push(&mut self, key: &str, value: impl ToString) {
        self.entries.push((key.to_owned(), value.to_string()));
    }

    /// Writes the answer.
    pub fn write(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.entries {
            // Writing to a string does not fail.
            let _ = writeln!(text, "zk_{key}\t{value}");
        }
        text
    }

    /// Reads the answer. Lines of another form are passed over.
    pub fn parse(answer: &str) -> Result<Mntr, AnswerError> {
        let entries = Mntr::parse_entries(answer)?.into_iter();
        Ok(Mntr { entries: entries.map(|(key, value)| (key.to_owned(), value.to_owned())).collect() })
    }

    /// The same without a copy: the entries as they stand in the answer, keys without `zk_`.
    pub fn parse_entries(answer: &str) -> Result<Vec<(&str, &str)>, AnswerError> {
        check(answer)?;
        // Values may hold tabs of their own, so only the first one divides. A carriage return goes with the newline,
        // also where the answer was cut off between the two.
        let entries: Vec<_> = answer
            .lines()
            .filter_map(|line| line.strip_prefix("zk_")?.split_once('\t'))
            .map(|(key, value)| (key, value.trim_end_matches('\r')))
            .collect();
        if entries.is_empty() { Err(AnswerError::Missing("zk_ lines")) } else { Ok(entries) }
    }

    /// The entries in their order, keys without `zk_`.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.entries().find_map(|(k, value)| (k == key).then_some(value))
    }

    /// The value of a key as a number. With the Prometheus provider members write integers as `1.6308337E7`.
    pub fn number(&self, key: &str) -> Option<f64> {
        self.get(key)?.parse().ok().filter(|n: &f64| n.is_finite())
    }
}

/// The answer to `ruok`: no error when the member says [`IMOK`], which says that its process runs, not that it serves.
pub fn parse_ruok(answer: &str) -> Result<(), AnswerError> {
    check(answer)?;
    match answer.trim_end() {
        IMOK => Ok(()),
        other => Err(AnswerError::Value { field: "ruok", value: other.to_owned() }),
    }
}

/// The answer to `isro`: whether the member is read-only.
pub fn parse_isro(answer: &str) -> Result<bool, AnswerError> {
    check(answer)?;
    match answer.trim_end() {
        "ro" => Ok(true),
        "rw" => Ok(false),
        // A member without a database answers the text "null".
        "null" => Err(AnswerError::NotServing),
        other => Err(AnswerError::Value { field: "isro", value: other.to_owned() }),
    }
}

/// The answer to `isro`, to be sent.
pub fn write_isro(read_only: bool) -> &'static str {
    if read_only { "ro" } else { "rw" }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From Apache ZooKeeper 3.9.4, standalone.
    const SRVR: &str =
        "Zookeeper version: 3.9.4-7246445ec281f3dbf53dc54e970c914f39713903, built on 2025-08-19 19:53 UTC
Latency min/avg/max: 0/0.0/0
Received: 2
Sent: 1
Connections: 1
Outstanding: 0
Zxid: 0x0
Mode: standalone
Node count: 5
";

    #[test]
    fn srvr_is_read_and_written_as_upstream_writes_it() {
        let srvr = Srvr::parse(SRVR).unwrap();
        assert_eq!(
            srvr.version,
            "3.9.4-7246445ec281f3dbf53dc54e970c914f39713903, built on 2025-08-19 19:53 UTC"
        );
        assert_eq!((srvr.received, srvr.mode, srvr.node_count), (2, Mode::Standalone, 5));
        assert_eq!(srvr.write(), SRVR);
        assert_eq!(Srvr::parse(&SRVR.replace("0x0", "0x500000007")).unwrap().zxid, 0x5_0000_0007);
        assert_eq!(Srvr::parse(&SRVR.replace("0x0", "77")).unwrap().zxid, 77);
        assert_eq!(
            Srvr::parse(&SRVR.replace("0/0.0/0", "0/0.3421/12")).unwrap().latency_ms,
            (0.0, 0.3421, 12.0)
        );
    }

    #[test]
    fn answers_that_say_nothing_are_told_apart() {
        for (answer, error) in [
            ("", AnswerError::Empty),
            ("\n", AnswerError::Empty),
            ("srvr is not executed because it is not in the whitelist.\n", AnswerError::NotWhitelisted),
            (NOT_SERVING, AnswerError::NotServing),
            ("This instance\n", AnswerError::Missing("Latency min/avg/max")),
            ("HTTP/1.1 400 Bad Request\r\n\r\n", AnswerError::Missing("Latency min/avg/max")),
        ] {
            assert_eq!(Srvr::parse(answer), Err(error), "{answer:?}");
        }
        let unheard = SRVR.replace("standalone", "drinking");
        assert_eq!(
            Srvr::parse(&unheard),
            Err(AnswerError::Value { field: "Mode", value: "drinking".into() })
        );
    }

    #[test]
    fn mntr_is_read_by_key() {
        let answer = "zk_version\t3.9.4\nzk_peer_state\tleading - broadcast\nzk_packets_received\t1.6308337E7\n\
                      zk_fsynctime{quantile=\"0.5\"}\tNaN\nnoise\nzk_a\tb\tc\n";
        let mntr = Mntr::parse(answer).unwrap();
        assert_eq!(mntr.get("peer_state"), Some("leading - broadcast"));
        assert_eq!(mntr.number("packets_received"), Some(16_308_337.0));
        assert_eq!(mntr.number("fsynctime{quantile=\"0.5\"}"), None);
        assert_eq!(mntr.get("a"), Some("b\tc"));
        assert_eq!(mntr.get("zk_a"), None);
        let mut own = Mntr::new();
        own.push("version", "x");
        own.push("znode_count", 5);
        assert_eq!(own.write(), "zk_version\tx\nzk_znode_count\t5\n");
        assert_eq!(Mntr::parse(&own.write()), Ok(own));
    }

    #[test]
    fn isro_is_read() {
        assert_eq!(parse_isro("rw"), Ok(false));
        assert_eq!(parse_isro(write_isro(true)), Ok(true));
        assert_eq!(parse_isro("null"), Err(AnswerError::NotServing));
    }
}
