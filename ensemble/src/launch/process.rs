//! What a process uses, from `/proc` (proc(5)).

use std::io;

use quorumeter_record::ProcessUse;

/// What the process has used since it started. The caller makes sure that the process is the one it means: an id is
/// given anew once a process has been waited for.
pub fn process_use(pid: u32) -> io::Result<ProcessUse> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (cpu_ticks, resident_pages) = parse_stat(&stat).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat reads `{stat}`"))
    })?;
    // Another user's process, and some kernels, do not tell.
    let io_text = std::fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    Ok(ProcessUse {
        cpu_ns: cpu_ticks * (1_000_000_000 / rustix::param::clock_ticks_per_second()),
        resident_bytes: resident_pages * rustix::param::page_size() as u64,
        read_bytes: parse_io(&io_text, "read_bytes"),
        written_bytes: parse_io(&io_text, "write_bytes"),
    })
}

/// Whether the process is stopped by a signal. One that is not there is not.
pub(super) fn is_stopped(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| parse_state(&stat) == Some('T'))
}

/// Field 3, the state of the main thread.
fn parse_state(text: &str) -> Option<char> {
    text.rsplit_once(')')?.1.trim_start().chars().next()
}

/// Clock ticks in user and system mode, and resident pages.
fn parse_stat(text: &str) -> Option<(u64, u64)> {
    // Field 2 is the program's name in parentheses, and may itself hold spaces and parentheses.
    let (_, after_name) = text.rsplit_once(')')?;
    let from_field_3: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let field = |number: usize| from_field_3.get(number - 3)?.parse::<u64>().ok();
    let (utime, stime, rss) = (field(14)?, field(15)?, field(24)?);
    Some((utime.checked_add(stime)?, rss))
}

fn parse_io(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_the_last_parenthesis_of_the_name() {
        let fields = "S 1 5 5 0 -1 4194560 9 0 1 0 120 30 0 0 20 0 34 0 8 9223 4096 18446744073709551615 1 1";
        for name in ["java", "a b", "tricky) R 1 1", ")("] {
            let stat = format!("77 ({name}) {fields}\n");
            assert_eq!((parse_stat(&stat), parse_state(&stat)), (Some((150, 4096)), Some('S')), "{name}");
        }
        for broken in ["", "77 java S 1", "77 (java) S 1 5", "77 (java)"] {
            assert_eq!(parse_stat(broken), None, "{broken}");
        }
    }

    #[test]
    fn io_that_is_not_told_is_none() {
        let text = "rchar: 1\nwchar: 2\nread_bytes: 4096\nwrite_bytes: 8192\ncancelled_write_bytes: 5\n";
        assert_eq!(parse_io(text, "read_bytes"), Some(4096));
        assert_eq!(parse_io(text, "write_bytes"), Some(8192));
        assert_eq!(parse_io("", "read_bytes"), None);
    }

    #[test]
    fn this_process_uses_memory_and_cpu() {
        let pid = std::process::id();
        let before = process_use(pid).unwrap();
        assert!(before.resident_bytes > 100_000, "{before:?}");
        while process_use(pid).unwrap().cpu_ns < before.cpu_ns + 20_000_000 {
            std::hint::black_box((0..10_000).sum::<u64>());
        }
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert_eq!(process_use(u32::MAX).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
