//! What became of the clients' sessions in one repetition.

use quorumeter_record::SessionChange;

use super::course::Change;

/// One session in the time from the fault to the repetition's end.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SessionCourse {
    /// It lost its connection.
    pub(crate) is_lost: bool,
    /// Attempts to connect that failed.
    pub(crate) connect_failures: u64,
    /// Those of them of which the cause tells that the member had not yet seen what the client has.
    pub(crate) refused_for_zxid: u64,
    /// How often the server said that it has expired.
    pub(crate) expired: u64,
    /// How often it was another session after a lost connection, and nobody had said that the old one has expired.
    pub(crate) silently_replaced: u64,
    /// How often it went on at another member.
    pub(crate) moved: u64,
    /// The longest time from a lost connection to the same session on a new one, of those lost before the fault was cleared,
    /// nanoseconds; and whether it had not come by the end.
    pub(crate) reconnect_ns: Option<(u64, bool)>,
}

/// Follows a session through all of its changes, and counts what happened in `[t0_ns, end_ns)`. Only connections that are
/// lost before `cleared_ns` have a reconnect time.
pub(crate) fn follow(changes: &[Change], t0_ns: u64, cleared_ns: u64, end_ns: u64) -> SessionCourse {
    let mut course = SessionCourse::default();
    let mut reconnect_ns = None;
    let mut id = "";
    let mut lost_ns: Option<u64> = None;
    let mut has_expired = false;
    let mut took = |from_ns: u64, to_ns: u64, is_open: bool| {
        if (t0_ns..cleared_ns).contains(&from_ns) {
            reconnect_ns = reconnect_ns.max(Some((to_ns - from_ns, is_open)));
        }
    };
    for change in changes.iter().take_while(|change| change.t_ns < end_ns) {
        let counts = u64::from(change.t_ns >= t0_ns);
        let is_another = !change.id.is_empty() && !id.is_empty() && change.id != id;
        match change.change {
            SessionChange::Lost => {
                lost_ns.get_or_insert(change.t_ns);
                course.is_lost |= counts == 1;
            }
            SessionChange::ConnectFailed => {
                course.connect_failures += counts;
                course.refused_for_zxid += counts * u64::from(change.cause.contains("zxid"));
            }
            SessionChange::Expired => {
                course.expired += counts;
                (has_expired, lost_ns) = (true, None);
            }
            SessionChange::Connected | SessionChange::Reattached | SessionChange::Moved => {
                if is_another && !has_expired {
                    course.silently_replaced += counts;
                } else if let Some(from_ns) = lost_ns {
                    took(from_ns, change.t_ns, false);
                }
                course.moved += counts * u64::from(change.change == SessionChange::Moved);
                (has_expired, lost_ns) = (false, None);
            }
        }
        if !change.id.is_empty() {
            id = &change.id;
        }
    }
    if let Some(from_ns) = lost_ns {
        took(from_ns, end_ns, true);
    }
    SessionCourse { reconnect_ns, ..course }
}

/// Whether the session had a connection at `t_ns`, and kept it until `end_ns`.
pub(crate) fn is_attached(changes: &[Change], t_ns: u64, end_ns: u64) -> bool {
    let before = changes.iter().rfind(|change| change.t_ns <= t_ns);
    let lost = |change: &Change| matches!(change.change, SessionChange::Lost | SessionChange::Expired);
    let attached = |change: &Change| {
        use SessionChange::{Connected, Moved, Reattached};
        matches!(change.change, Connected | Moved | Reattached)
    };
    before.is_some_and(attached) && !changes.iter().any(|c| c.t_ns > t_ns && c.t_ns <= end_ns && lost(c))
}

#[cfg(test)]
mod tests {
    use SessionChange::{ConnectFailed, Connected, Expired, Lost, Moved, Reattached};

    use super::*;

    fn changes(changes: &[(u64, SessionChange, &str)]) -> Vec<Change> {
        let change = |(t_ns, change, id): &(u64, SessionChange, &str)| Change {
            t_ns: *t_ns,
            change: *change,
            id: (*id).to_owned(),
            cause: if *change == ConnectFailed { "it has not seen zxid 7".to_owned() } else { String::new() },
        };
        changes.iter().map(change).collect()
    }

    fn of(told: &[(u64, SessionChange, &str)]) -> SessionCourse {
        follow(&changes(told), 100, 200, 300)
    }

    #[test]
    fn the_same_session_reconnects() {
        let moved = of(&[
            (10, Connected, "1"),
            (110, Lost, "1"),
            (120, ConnectFailed, "1"),
            (130, ConnectFailed, "1"),
            (150, Moved, "1"),
            (160, Lost, "1"),
            (170, Reattached, "1"),
            (210, Lost, "1"), // after the fault was cleared
            (290, Reattached, "1"),
        ]);
        let expected = SessionCourse {
            is_lost: true,
            connect_failures: 2,
            refused_for_zxid: 2,
            moved: 1,
            reconnect_ns: Some((40, false)),
            ..SessionCourse::default()
        };
        assert_eq!(moved, expected);
    }

    #[test]
    fn what_happened_outside_does_not_count() {
        let outside = of(&[
            (10, Connected, "1"),
            (20, Lost, "1"),
            (30, Connected, "2"),
            (40, Lost, "2"),
            (45, Expired, "2"),
            (50, Connected, "3"),
            (310, Lost, "3"),
        ]);
        assert_eq!(outside, SessionCourse::default());
    }

    #[test]
    fn another_session_is_expired_or_silently_replaced() {
        let expired =
            of(&[(10, Connected, "1"), (110, Lost, "1"), (120, Expired, "1"), (130, Connected, "2")]);
        let course = SessionCourse { is_lost: true, expired: 1, ..SessionCourse::default() };
        assert_eq!(expired, course);
        let replaced = of(&[(10, Connected, "1"), (110, Lost, "1"), (130, Connected, "2")]);
        let course = SessionCourse { is_lost: true, silently_replaced: 1, ..SessionCourse::default() };
        assert_eq!(replaced, course);
        // The same one, whatever the change is called, was not replaced.
        let same = of(&[(10, Connected, "1"), (110, Lost, "1"), (130, Connected, "1")]);
        assert_eq!((same.silently_replaced, same.reconnect_ns), (0, Some((20, false))));
    }

    #[test]
    fn one_that_never_comes_back_is_open() {
        let gone = of(&[(10, Connected, "1"), (110, Lost, "1"), (120, Lost, "1"), (130, ConnectFailed, "1")]);
        assert_eq!(gone.reconnect_ns, Some((190, true)));
        assert_eq!(of(&[(10, Connected, "1")]), SessionCourse::default());
    }

    #[test]
    fn a_session_is_attached_while_nothing_ends_it() {
        let changes =
            changes(&[(10, Connected, "1"), (50, Lost, "1"), (55, ConnectFailed, "1"), (60, Moved, "1")]);
        for (t, end, attached) in [
            (5, 20, false),
            (10, 49, true),
            (10, 50, false),
            (50, 60, false),
            (57, 90, false),
            (60, 90, true),
        ] {
            assert_eq!(is_attached(&changes, t, end), attached, "{t} {end}");
        }
    }
}
