//! A repetition of a failover measurement, drawn in text: what was done to whom, what the members said, and what every
//! probe went through, over the same axis.
//!
//! ```text
//!             ▾asked                         ▾recovered  ⋯ ▾clearing         ▾rejoined
//! member 1    leader════                                 ⋯             follower───────
//! member 2    follower──────────── leader════════════════⋯════════════════════════════
//! write 1 †   ··········xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx⋯xxxxxxxxxxxxxxxx··············
//! write 2     ··········????--xxxxxxxxx··················⋯····························
//!             ──────────┴─────────┴─────────┴────────────⋯────┴─────────┴─────────┴───
//! s from t0             0         0.1       0.2          ⋯    4         5         6
//! ```
//!
//! Between the recovery and the clearing of the fault nothing happens for seconds: that part is cut out, and what comes
//! after it has a scale of its own.

use quorumeter_record::FaultStage;

use crate::failover::{Mark, MemberSpan, Picture, ProbeRow};
use crate::figures::span;

/// What the signs mean.
pub(super) const LEGEND: &str = "· ok  - late  x failed  ? unknown  † pinned to a member that was hit\n              \
     ═ leader  ─ follower  ┄ observer  ~ another role  blank: no answer  ⋯ nothing happened";

/// Columns that a cut takes.
const CUT: usize = 3;
/// Share of the columns for what is before a cut, in percent.
const BEFORE_CUT: usize = 60;
/// Columns from one tick of the axis to the next, at least.
const TICK_COLUMNS: i64 = 9;
/// What the length of a column begins with.
const COLUMNS: [i64; 8] = [10, 15, 20, 30, 40, 50, 60, 80];
/// What the time between two ticks begins with.
const TICKS: [i64; 3] = [1, 2, 5];
/// Least columns of a drawing: fewer show nothing.
const MIN_COLUMNS: usize = 20;
const MS: i64 = 1_000_000;
const S: i64 = 1_000_000_000;

/// A part of the axis with one scale. Times are nanoseconds after t0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Panel {
    start_ns: i64,
    /// Time per column.
    column_ns: i64,
    columns: usize,
    /// Where it begins in the line.
    offset: usize,
}

impl Panel {
    /// From `start_ns` to `end_ns` in at most so many columns of a round length of at least `least_ns`. The columns'
    /// edges are at multiples of their length, so that t0 is one.
    fn new(start_ns: i64, end_ns: i64, most: usize, least_ns: i64, offset: usize) -> Panel {
        let end_ns = end_ns.max(start_ns);
        let mut column_ns = round_up(least_ns.max((end_ns - start_ns) / most as i64), &COLUMNS);
        loop {
            let start = start_ns.div_euclid(column_ns);
            let columns = (end_ns.div_euclid(column_ns) - start + 1) as usize;
            if columns <= most {
                return Panel { start_ns: start * column_ns, column_ns, columns, offset };
            }
            column_ns = round_up(column_ns + 1, &COLUMNS);
        }
    }

    fn end_ns(&self) -> i64 {
        self.start_ns + self.column_ns * self.columns as i64
    }

    /// The column in the line of a time within the panel.
    fn column(&self, t_ns: i64) -> Option<usize> {
        let column = (t_ns - self.start_ns).div_euclid(self.column_ns);
        (0..self.columns as i64).contains(&column).then(|| self.offset + column as usize)
    }
}

/// The least of these times a power of ten that is no less.
fn round_up(ns: i64, round: &[i64]) -> i64 {
    let mut scale = 1;
    loop {
        if let Some(round) = round.iter().map(|round| round * scale).find(|round| *round >= ns) {
            return round;
        }
        scale *= 10;
    }
}

/// The axis: one panel, or two with a cut between.
struct Axis {
    t0_ns: u64,
    panels: Vec<Panel>,
}

impl Axis {
    fn of(picture: &Picture, least_ns: i64, columns: usize) -> Axis {
        let first = |stage| picture.stages.iter().find(|mark| mark.stage == stage).map(|mark| mark.t_ns);
        let t0_ns = first(FaultStage::Asked).unwrap_or(picture.start_ns);
        let after = |t_ns: u64| relative(t_ns, t0_ns);
        let (start, end) = (after(picture.start_ns), after(picture.end_ns));
        let Some(clear) = first(FaultStage::ClearAsked).map(after).filter(|clear| *clear > 0) else {
            return Axis { t0_ns, panels: vec![Panel::new(start, end, columns, least_ns, 0)] };
        };
        // Something happens when a probe is not well, a member changes its role, or a step of the fault is done. The
        // probes at the victim are not well until it is back, which is no news.
        let bad = |with_victims: bool| {
            let rows = picture.probes.iter().filter(move |row| with_victims || !row.is_victims);
            rows.flat_map(|row| &row.slots).filter(|slot| slot.mark != Mark::Ok).map(|slot| slot.intended_ns)
        };
        let roles = || picture.members.iter().map(|member| member.start_ns);
        let steps = || picture.stages.iter().filter(|mark| word(mark.stage).is_some()).map(|mark| mark.t_ns);
        let done = steps().map(after).filter(|t| *t < clear && *t <= S);
        let before =
            bad(false).chain(roles()).map(after).filter(|t| *t < clear).chain(done).max().unwrap_or(0);
        let last = bad(true).chain(roles()).chain(steps()).map(after).max().unwrap_or(end).max(clear);
        let margin = (before / 4).max(10 * least_ns).max(100 * MS);
        let start = start.max(-margin);
        let end = end.min(last + ((last - clear) / 8).max(10 * least_ns));
        let (cut_from, cut_to) = (before + margin, clear - ((last - clear) / 10).max(5 * least_ns));
        if (cut_to - cut_from) * 6 < end - start {
            return Axis { t0_ns, panels: vec![Panel::new(start, end, columns, least_ns, 0)] };
        }
        let left = Panel::new(start, cut_from, columns * BEFORE_CUT / 100, least_ns, 0);
        let offset = left.columns + CUT;
        let right = Panel::new(cut_to, end, columns - offset, least_ns, offset);
        Axis { t0_ns, panels: vec![left, right] }
    }

    fn width(&self) -> usize {
        self.panels.last().map_or(0, |panel| panel.offset + panel.columns)
    }

    /// An empty line with its cut.
    fn line(&self) -> Vec<char> {
        let mut line = vec![' '; self.width()];
        for panel in self.panels.iter().skip(1) {
            line[panel.offset - CUT.div_ceil(2)] = '⋯';
        }
        line
    }

    fn column(&self, t_ns: u64) -> Option<usize> {
        let t = relative(t_ns, self.t0_ns);
        self.panels.iter().find_map(|panel| panel.column(t))
    }

    /// The column of a time, also of one that was cut out.
    fn nearest_column(&self, t_ns: u64) -> Option<usize> {
        let t = relative(t_ns, self.t0_ns);
        let in_cut = |pair: &[Panel]| {
            let is_in = (pair[0].end_ns()..pair[1].start_ns).contains(&t);
            is_in.then(|| pair[1].offset - CUT.div_ceil(2))
        };
        self.column(t_ns).or_else(|| self.panels.windows(2).find_map(in_cut))
    }
}

fn relative(t_ns: u64, t0_ns: u64) -> i64 {
    t_ns as i64 - t0_ns as i64
}

/// Draws a repetition in at most so many columns, its labels included.
pub(super) fn draw(picture: &Picture, probe_period_ns: u64, columns: usize) -> String {
    let label = |row: &ProbeRow| format!("{}{}", row.label, if row.is_victims { " †" } else { "" });
    let members: Vec<(String, Vec<&MemberSpan>)> = members(picture);
    let labels = picture.probes.iter().map(label).chain(members.iter().map(|(label, _)| label.clone()));
    let indent = labels.map(|label| label.chars().count()).max().unwrap_or(0).max(UNIT.len()) + 2;
    let least_ns = (probe_period_ns as i64).max(1);
    let axis = Axis::of(picture, least_ns, columns.saturating_sub(indent).max(MIN_COLUMNS));
    let mut out = String::new();
    let mut line = |label: &str, line: Vec<char>| {
        let line: String = line.into_iter().collect();
        out.push_str(format!("{label:<indent$}{line}").trim_end());
        out.push('\n');
    };
    for stages in stages(picture, &axis) {
        line("", stages);
    }
    for (label, spans) in &members {
        line(label, roles(spans, &axis));
    }
    for row in &picture.probes {
        line(&label(row), marks(row, &axis));
    }
    let [ticks, times] = scale(&axis);
    line("", ticks);
    line(UNIT, times);
    line("", widths(&axis).chars().collect());
    out
}

const UNIT: &str = "s from t0";

/// The members in their order, each with its roles.
fn members(picture: &Picture) -> Vec<(String, Vec<&MemberSpan>)> {
    let mut numbers: Vec<u32> = picture.members.iter().map(|span| span.member).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let of = |number: u32| picture.members.iter().filter(|span| span.member == number).collect();
    numbers.into_iter().map(|number| (format!("member {}", number + 1), of(number))).collect()
}

/// What a step is called in a drawing; `None` of those that are not drawn.
fn word(stage: FaultStage) -> Option<&'static str> {
    match stage {
        FaultStage::Asked => Some("asked"),
        FaultStage::Active => Some("active"),
        FaultStage::WrongVictim => Some("wrong victim"),
        FaultStage::Recovered => Some("recovered"),
        FaultStage::ClearAsked => Some("clearing"),
        FaultStage::Cleared => Some("cleared"),
        FaultStage::Rejoined => Some("rejoined"),
        FaultStage::Failed => Some("failed"),
        FaultStage::Skipped => Some("skipped"),
        FaultStage::Baseline | FaultStage::Prepared | FaultStage::VictimConfirmed | FaultStage::Over => None,
    }
}

/// The steps, each at its column, in as few lines as they fit into.
fn stages(picture: &Picture, axis: &Axis) -> Vec<Vec<char>> {
    let mut lines: Vec<Vec<char>> = Vec::new();
    for mark in &picture.stages {
        let (Some(word), Some(column)) = (word(mark.stage), axis.nearest_column(mark.t_ns)) else {
            continue;
        };
        // At the right edge the word stands before its mark.
        let (text, from) = match axis.width().checked_sub(column) {
            Some(room) if room > word.len() => (format!("▾{word}"), column),
            _ => (format!("{word}▾"), column.saturating_sub(word.len())),
        };
        let cells = from.saturating_sub(1)..(from + text.chars().count() + 1).min(axis.width());
        let is_free = |line: &Vec<char>| line[cells.clone()].iter().all(|c| matches!(c, ' ' | '⋯'));
        let at = lines.iter().position(is_free).unwrap_or_else(|| {
            lines.push(axis.line());
            lines.len() - 1
        });
        for (cell, c) in lines[at][from..].iter_mut().zip(text.chars()) {
            *cell = c;
        }
    }
    lines
}

/// The roles over time: each begins with its name where there is room for it.
fn roles(spans: &[&MemberSpan], axis: &Axis) -> Vec<char> {
    let mut line = axis.line();
    for span in spans {
        let Some(role) = &span.role else {
            continue;
        };
        let fill = match role.as_str() {
            "leader" => '═',
            "follower" => '─',
            "observer" => '┄',
            _ => '~',
        };
        let (from, to) = (relative(span.start_ns, axis.t0_ns), relative(span.end_ns, axis.t0_ns));
        let mut is_named = false;
        for panel in &axis.panels {
            if to < panel.start_ns || from >= panel.end_ns() {
                continue;
            }
            let first = panel.column(from.max(panel.start_ns)).unwrap_or(panel.offset);
            let last = panel.column(to.min(panel.end_ns() - 1)).unwrap_or(first);
            line[first..=last].fill(fill);
            if !is_named && last - first >= role.chars().count() {
                is_named = true;
                for (cell, c) in line[first..=last].iter_mut().zip(role.chars()) {
                    *cell = c;
                }
            }
        }
    }
    line
}

/// What became of a probe's slots: of those that share a column the worst.
fn marks(row: &ProbeRow, axis: &Axis) -> Vec<char> {
    let mut worst: Vec<Option<Mark>> = vec![None; axis.width()];
    for slot in &row.slots {
        if let Some(column) = axis.column(slot.intended_ns) {
            worst[column] = worst[column].max(Some(slot.mark));
        }
    }
    let mut line = axis.line();
    for (cell, mark) in line.iter_mut().zip(worst) {
        if let Some(mark) = mark {
            *cell = match mark {
                Mark::Ok => '·',
                Mark::Late => '-',
                Mark::Failed => 'x',
                Mark::Unknown => '?',
            };
        }
    }
    line
}

/// The axis and the times at its ticks.
fn scale(axis: &Axis) -> [Vec<char>; 2] {
    let (mut ticks, mut times) = (axis.line(), axis.line());
    for panel in &axis.panels {
        let columns = panel.offset..panel.offset + panel.columns;
        ticks[columns.clone()].fill('─');
        let step = round_up(panel.column_ns * TICK_COLUMNS, &TICKS);
        let mut t = panel.start_ns.div_euclid(step) * step;
        let mut free = panel.offset;
        while t < panel.end_ns() {
            if let Some(column) = panel.column(t) {
                ticks[column] = if t == 0 { '┼' } else { '┴' };
                let text = seconds(t, step);
                // The digits stand around the tick, a sign before them.
                let digits = text.trim_start_matches('-').len();
                let from = column.saturating_sub(text.len() - digits).max(panel.offset);
                if from >= free && from + text.len() <= columns.end {
                    for (cell, c) in times[from..].iter_mut().zip(text.chars()) {
                        *cell = c;
                    }
                    free = from + text.len() + 1;
                }
            }
            t += step;
        }
    }
    [ticks, times]
}

/// A tick's time in seconds, with as many digits as its step needs.
fn seconds(t_ns: i64, step_ns: i64) -> String {
    let mut decimals = 0;
    let mut scale = S;
    while scale > 1 && step_ns % scale != 0 {
        scale /= 10;
        decimals += 1;
    }
    if t_ns == 0 { "0".to_owned() } else { format!("{:.decimals$}", t_ns as f64 / S as f64) }
}

/// What a column is worth.
fn widths(axis: &Axis) -> String {
    let told = |panel: &Panel| span(panel.column_ns as u64);
    match axis.panels.as_slice() {
        [left, right] if left.column_ns != right.column_ns => {
            format!("a column is {}, right of ⋯ {}", told(left), told(right))
        }
        [panel, ..] => format!("a column is {}", told(panel)),
        [] => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::MarkedSlot;
    use crate::fixture::picture;

    const PERIOD: u64 = 10_000_000;

    #[test]
    fn a_repetition_is_drawn() {
        let drawn = "
                 ▾asked                 ▾recovered ▾clearing
                 ▾active                        ⋯        ▾cleared
                                                ⋯           rejoined▾
member 1   ══════                               ⋯        ~~~~follower──
member 2   follower─unknown~~~~~~~~~leader═════ ⋯ ═════════════════════
write 1 †  ······?xxxxxxxxxxxxxxxxxxxxxxxxxxxxx ⋯ xxxxxxxxxxxxxxxxx····
write 2    ······??xxxxxxxxxxxxxxxxxx--········ ⋯ ·····················
           ──────┼─────────┴─────────┴───────── ⋯ ─┴─────────────┴─────
s from t0        0         0.2       0.4        ⋯  4             6
           a column is 20 ms, right of ⋯ 150 ms
";
        assert_eq!(format!("\n{}", draw(&picture(1), PERIOD, 80)), drawn);
    }

    #[test]
    fn what_is_near_is_drawn_without_a_cut() {
        let mut near = picture(1);
        near.end_ns = 11_000_000_000;
        for mark in near.stages.iter_mut().filter(|mark| mark.t_ns > 11_000_000_000) {
            mark.t_ns = 10_700_000_000;
        }
        near.members.retain(|member| member.start_ns < 11_000_000_000);
        let drawn = draw(&near, PERIOD, 80);
        assert!(!drawn.contains('⋯') && drawn.contains("a column is 20 ms\n"), "{drawn}");
    }

    #[test]
    fn a_drawing_is_as_wide_as_it_may_be_whatever_it_shows() {
        let mut odd = vec![picture(1)];
        // Never cleared; never asked; empty; all at one time; an age.
        for change in [
            (|p| p.stages.retain(|mark| mark.stage != FaultStage::ClearAsked)) as fn(&mut Picture),
            |p| p.stages.clear(),
            |p| (p.stages, p.members, p.probes) = Default::default(),
            |p| p.end_ns = p.start_ns,
            |p| p.end_ns = 3_600_000_000_000,
            |p| p.stages.iter_mut().for_each(|mark| mark.t_ns = p.start_ns),
            |p| p.probes.iter_mut().for_each(|row| row.slots.clear()),
        ] {
            let mut picture = picture(1);
            change(&mut picture);
            odd.push(picture);
        }
        for picture in &odd {
            for columns in [60, 100, 237] {
                let drawn = draw(picture, PERIOD, columns);
                assert!(drawn.contains("s from t0"), "{drawn}");
                for line in drawn.lines() {
                    assert!(line.chars().count() <= columns, "{columns}: {line}");
                }
            }
        }
    }

    #[test]
    fn the_worst_of_a_column_is_shown() {
        let slots =
            [(0, Mark::Ok), (1, Mark::Failed), (2, Mark::Late), (30, Mark::Unknown), (35, Mark::Failed)];
        let slots = slots.map(|(ms, mark)| MarkedSlot { intended_ns: ms * 1_000_000, mark });
        let row = ProbeRow { label: "write 1".to_owned(), is_victims: false, slots: slots.to_vec() };
        let axis = Axis { t0_ns: 0, panels: vec![Panel::new(0, 49_000_000, 5, 10_000_000, 0)] };
        assert_eq!(marks(&row, &axis).into_iter().collect::<String>(), "x  ? ");
    }

    #[test]
    fn columns_and_ticks_have_round_lengths() {
        for (ns, column, tick) in [(1, 10, 1), (11, 15, 20), (81, 100, 100), (9_999, 10_000, 10_000)] {
            assert_eq!((round_up(ns, &COLUMNS), round_up(ns, &TICKS)), (column, tick), "{ns}");
        }
        for (t, step, text) in [
            (0, 100 * MS, "0"),
            (-200 * MS, 100 * MS, "-0.2"),
            (50 * MS, 50 * MS, "0.05"),
            (20 * S, 10 * S, "20"),
        ] {
            assert_eq!(seconds(t, step), text);
        }
    }
}
