//! What wakes a worker at the intended time of its next op.
//!
//! tokio's own timers tick in milliseconds, which is longer than most replies take. The kernel's timerfd wakes
//! within tens of microseconds; spinning gets below that, at the price of a whole core.

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use quorumeter_targets::Clock;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

use crate::plan::file::TimerKind;

/// A timer on the current thread's runtime.
pub(super) struct Timer {
    clock: Clock,
    kind: Kind,
}

enum Kind {
    Timerfd { fd: AsyncFd<OwnedFd>, spin_ns: u64 },
    Tokio,
}

impl Timer {
    /// A timer of this kind; `spin_ns` is how long before the time the spinning begins, for the kind that spins.
    pub(super) fn new(kind: TimerKind, spin_ns: Option<u64>, clock: Clock) -> io::Result<Timer> {
        let kind = match kind {
            TimerKind::Timerfd | TimerKind::Spin => {
                let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
                let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
                Kind::Timerfd { fd: register(fd)?, spin_ns: spin_ns.unwrap_or(0) }
            }
            TimerKind::Tokio => Kind::Tokio,
        };
        Ok(Timer { clock, kind })
    }

    /// Waits until the clock shows `t_ns`.
    pub(super) async fn until(&self, t_ns: u64) -> io::Result<()> {
        match &self.kind {
            Kind::Timerfd { fd, spin_ns } => {
                let wake_ns = t_ns.saturating_sub(*spin_ns);
                if self.clock.now_ns() < wake_ns {
                    self.sleep(fd, wake_ns).await?;
                }
                // Every turn lets the sockets be polled.
                while *spin_ns > 0 && self.clock.now_ns() < t_ns {
                    tokio::task::yield_now().await;
                }
            }
            Kind::Tokio => {
                let left_ns = t_ns.saturating_sub(self.clock.now_ns());
                tokio::time::sleep_until(tokio::time::Instant::now() + Duration::from_nanos(left_ns)).await;
            }
        }
        Ok(())
    }

    async fn sleep(&self, fd: &AsyncFd<OwnedFd>, t_ns: u64) -> io::Result<()> {
        let at_ns = self.clock.monotonic_at(t_ns);
        let value =
            Timespec { tv_sec: (at_ns / 1_000_000_000) as i64, tv_nsec: (at_ns % 1_000_000_000) as i64 };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        timerfd_settime(fd.get_ref(), TimerfdTimerFlags::ABSTIME, &once)?;
        // The expiry is not read: setting the timer anew clears it, and the poll reports each expiry once.
        loop {
            fd.readable().await?.clear_ready();
            if self.clock.now_ns() >= t_ns {
                return Ok(());
            }
        }
    }
}

#[allow(unsafe_code)]
fn register(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: what is asked for is that the descriptor stays open, and the same one, for as long as the `AsyncFd`
    // has it. An `OwnedFd` is exactly that: it owns an open descriptor, closes it when it is dropped, and
    // `as_raw_fd` always returns it.
    Ok(unsafe { AsyncFd::register(fd) }?)
}
