//! Four-letter words, asked over the network: in plain text, or over TLS where the member is reached so, as ZooKeeper
//! answers them on its secure port, too.

use std::io;
use std::time::Duration;

use quorumeter_zk::four_letter::{AnswerError, Mntr, Srvr};
use tokio::io::AsyncReadExt as _;
use tokio::time::timeout;

use crate::session::{ConnectError, Member};
use crate::stream::Stream;

/// The longest answer that is taken, bytes.
pub(super) const MAX_ANSWER: usize = 1 << 20;

/// Why a member did not tell.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// There is no connection to be had.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The network.
    #[error("cannot ask the member: {0}")]
    Io(#[from] io::Error),
    /// It took too long.
    #[error("the member did not answer within {0} ms")]
    Timeout(u128),
    /// More than a member has to tell.
    #[error("the member's answer has more than {MAX_ANSWER} bytes")]
    TooLong,
    /// The answer.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// What came is no answer of an AdminServer.
    #[error("the AdminServer's answer is no HTTP that is understood: {0}")]
    Http(String),
    /// The AdminServer has something else to say.
    #[error("the AdminServer answers with status {0}")]
    Status(u16),
    /// The AdminServer closed the connection.
    #[error("the AdminServer's answer stops before its end")]
    Truncated,
}

/// Sends a word, and reads the answer to its end; `limit` bounds the whole.
pub async fn four_letter_word(member: &Member, word: &str, limit: Duration) -> Result<String, AdminError> {
    timeout(limit, async {
        let mut stream = Stream::open(member, limit, || {}).await?;
        stream.send(word.as_bytes()).await?;
        let mut answer = Vec::new();
        (&mut stream).take(MAX_ANSWER as u64 + 1).read_to_end(&mut answer).await?;
        if answer.len() > MAX_ANSWER {
            return Err(AdminError::TooLong);
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    })
    .await
    .map_err(|_| AdminError::Timeout(limit.as_millis()))?
}

/// Asks `srvr`.
pub async fn srvr(member: &Member, limit: Duration) -> Result<Srvr, AdminError> {
    Ok(Srvr::parse(&four_letter_word(member, "srvr", limit).await?)?)
}

/// Asks `mntr`.
pub async fn mntr(member: &Member, limit: Duration) -> Result<Mntr, AdminError> {
    Ok(Mntr::parse(&four_letter_word(member, "mntr", limit).await?)?)
}
