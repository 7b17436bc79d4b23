//! Whole lines of a file that may be cut short, damaged, or no file of lines at all.

use std::io::{self, BufRead, Read as _};

/// Why a line is no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BadLine {
    /// It does not end within [`MAX_LINE`].
    #[error("the line is longer than {MAX_LINE} bytes, and none of a record is")]
    TooLong,
    /// It is not UTF-8.
    #[error("the line is no text (UTF-8)")]
    NotText,
}

/// More bytes than any line of a record has: the longest are histograms, below half a million.
pub(crate) const MAX_LINE: usize = 4 << 20;

/// The lines of an input, with their numbers from 1. A last line without its line end is left out.
#[derive(Debug)]
pub(crate) struct WholeLines<R> {
    input: R,
    buffer: Vec<u8>,
    number: u64,
    ended: bool,
}

impl<R: BufRead> WholeLines<R> {
    pub(crate) fn new(input: R) -> WholeLines<R> {
        WholeLines { input, buffer: Vec::new(), number: 0, ended: false }
    }

    /// The next line; `None` at the end, and after a line that is too long.
    pub(crate) fn next(&mut self) -> Option<(u64, io::Result<Result<&str, BadLine>>)> {
        if self.ended {
            return None;
        }
        self.buffer.clear();
        self.number += 1;
        let read = self.input.by_ref().take(MAX_LINE as u64 + 1).read_until(b'\n', &mut self.buffer);
        let line = match read {
            Err(error) => {
                self.ended = true;
                Err(error)
            }
            Ok(_) if self.buffer.len() > MAX_LINE => {
                self.ended = true;
                Ok(Err(BadLine::TooLong))
            }
            Ok(_) if self.buffer.last() != Some(&b'\n') => {
                self.ended = true;
                return None;
            }
            Ok(_) => Ok(std::str::from_utf8(&self.buffer).map_err(|_| BadLine::NotText)),
        };
        Some((self.number, line))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(input: impl io::Read) -> Vec<(u64, Result<String, BadLine>)> {
        let mut lines = WholeLines::new(io::BufReader::new(input));
        let mut read = Vec::new();
        while let Some((number, line)) = lines.next() {
            read.push((number, line.unwrap().map(str::to_owned)));
        }
        read
    }

    #[test]
    fn lines_have_numbers_and_the_last_one_an_end() {
        let read = lines(&b"a\n\n\xff\nb\nc"[..]);
        let expected = [(1, Ok("a\n")), (2, Ok("\n")), (3, Err(BadLine::NotText)), (4, Ok("b\n"))];
        assert_eq!(read, expected.map(|(number, line)| (number, line.map(str::to_owned))));
    }

    #[test]
    fn an_input_without_an_end_is_no_file_of_lines() {
        assert_eq!(lines(io::repeat(0)), [(1, Err(BadLine::TooLong))]);
    }
}
