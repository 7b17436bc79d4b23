//! A dashboard as one picture: every panel, drawn from the results of its queries, to be looked at by a person.

use std::fmt::Write as _;

use crate::dashboards::{Chosen, Dashboard, Panel, substituted};
use crate::support::prometheus::Series;

/// Pixels of a column of the dashboard's 24, and of a row.
const CELL: (f64, f64) = (62.0, 34.0);
const TOP: f64 = 50.0;
const PALETTE: [&str; 10] = [
    "#3274d9", "#d44a3a", "#37872d", "#e0a800", "#8f3bb8", "#0a8a8a", "#c15c17", "#5195ce", "#890f02",
    "#6b6b6b",
];
/// Lines of a legend; more are counted.
const LEGEND_LINES: usize = 6;

/// What is drawn in a panel: the name and the values of each series.
pub(crate) struct Drawn {
    pub(crate) panel: usize,
    pub(crate) lines: Vec<(String, Series)>,
}

/// A picture of a dashboard, as SVG.
pub(crate) fn svg(dashboard: &Dashboard, chosen: &Chosen, drawn: &[Drawn], time: (f64, f64)) -> String {
    let height = dashboard.panels.iter().map(|panel| panel.at.1 + panel.size.1).max().unwrap_or(1);
    let (width, height) = (24.0 * CELL.0, TOP + f64::from(height) * CELL.1);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" \
         font-size=\"11\"><rect width=\"100%\" height=\"100%\" fill=\"#f4f5f5\"/>"
    );
    let choice: Vec<_> = chosen.iter().map(|(name, value)| format!("{name}={value}")).collect();
    text(&mut out, (10.0, 22.0), 18.0, "#111", &dashboard.title);
    text(&mut out, (10.0, 42.0), 11.0, "#555", &choice.join("   "));
    for (index, panel) in dashboard.panels.iter().enumerate() {
        let (x, y) = (f64::from(panel.at.0) * CELL.0, TOP + f64::from(panel.at.1) * CELL.1);
        if panel.kind == "row" {
            text(&mut out, (x + 10.0, y + 22.0), 15.0, "#333", &panel.title);
            continue;
        }
        let size = (f64::from(panel.size.0) * CELL.0 - 6.0, f64::from(panel.size.1) * CELL.1 - 6.0);
        let (x, y) = (x + 3.0, y + 3.0);
        let _ = write!(
            out,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{}\" height=\"{}\" fill=\"white\" stroke=\"#ccc\"/>",
            size.0, size.1
        );
        let title = substituted(&panel.title, chosen);
        text(&mut out, (x + 8.0, y + 16.0), 12.0, "#111", &format!("{title}   [{}]", panel.unit));
        let lines = drawn.iter().find(|drawn| drawn.panel == index).map_or(&[][..], |drawn| &drawn.lines);
        let area = Area { x: x + 76.0, y: y + 26.0, w: size.0 - 90.0, h: size.1 - 46.0, time };
        if lines.iter().all(|(_, series)| series.finite().next().is_none()) {
            text(&mut out, (x + 20.0, y + size.1 / 2.0), 14.0, "#b00", "no data");
            continue;
        }
        match panel.kind.as_str() {
            "stat" => stat(&mut out, panel, lines, (x + size.0 / 2.0, y + size.1 / 2.0 + 14.0)),
            "state-timeline" => timeline(&mut out, panel, lines, &area),
            "heatmap" => heatmap(&mut out, panel, lines, &area),
            _ => chart(&mut out, panel, lines, area),
        }
    }
    out + "</svg>\n"
}

struct Area {
    x: f64,
    y: f64,
    w: f64,
    h: f64,
    time: (f64, f64),
}

impl Area {
    fn at(&self, t: f64) -> f64 {
        self.x + (t - self.time.0) / (self.time.1 - self.time.0) * self.w
    }

    fn seconds(&self, out: &mut String) {
        let length = self.time.1 - self.time.0;
        for tick in 0..=6 {
            let seconds = length * f64::from(tick) / 6.0;
            let label = format!("{seconds:.0} s");
            text(out, (self.at(self.time.0 + seconds) - 10.0, self.y + self.h + 13.0), 9.0, "#777", &label);
        }
    }
}

fn chart(out: &mut String, panel: &Panel, lines: &[(String, Series)], mut area: Area) {
    let legend = lines.len().min(LEGEND_LINES) + usize::from(lines.len() > LEGEND_LINES);
    area.h -= 14.0 * legend as f64;
    let values = || lines.iter().flat_map(|(_, series)| series.finite().map(|(_, value)| value));
    let (low, high) = (values().fold(0.0, f64::min), values().fold(0.0, f64::max));
    let high = if high > low { high } else { low + 1.0 };
    for tick in 0..=4 {
        let value = low + (high - low) * f64::from(tick) / 4.0;
        let y = area.y + area.h * (1.0 - f64::from(tick) / 4.0);
        let _ = write!(
            out,
            "<line x1=\"{}\" x2=\"{}\" y1=\"{y}\" y2=\"{y}\" stroke=\"#e5e5e5\"/>",
            area.x,
            area.x + area.w
        );
        text(out, (area.x - 70.0, y + 4.0), 10.0, "#555", &told(value, &panel.unit));
    }
    area.seconds(out);
    for (index, (name, series)) in lines.iter().enumerate() {
        let colour = PALETTE[index % PALETTE.len()];
        let mut before = f64::NAN;
        let mut path = String::new();
        for (t, value) in series.finite() {
            // What is absent in between is not drawn.
            let step = if t - before <= 2.5 * f64::from(crate::STEP_S) { 'L' } else { 'M' };
            let y = area.y + area.h * (1.0 - (value - low) / (high - low));
            let _ = write!(path, "{step}{:.1} {y:.1}", area.at(t));
            before = t;
        }
        let _ =
            write!(out, "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-linecap=\"round\"/>");
        if index < LEGEND_LINES {
            let y = area.y + area.h + 28.0 + 14.0 * index as f64;
            let of = || series.finite().map(|(_, value)| value);
            let last = of().last().unwrap_or(f64::NAN);
            let most = of().fold(f64::NEG_INFINITY, f64::max);
            let line =
                format!("{name}    max {}    last {}", told(most, &panel.unit), told(last, &panel.unit));
            text(out, (area.x - 60.0, y), 10.0, colour, &line);
        }
    }
    if lines.len() > LEGEND_LINES {
        let y = area.y + area.h + 28.0 + 14.0 * LEGEND_LINES as f64;
        text(out, (area.x - 60.0, y), 10.0, "#555", &format!("and {} more", lines.len() - LEGEND_LINES));
    }
}

fn stat(out: &mut String, panel: &Panel, lines: &[(String, Series)], at: (f64, f64)) {
    let last =
        lines.iter().find_map(|(_, series)| series.finite().last()).map_or(f64::NAN, |(_, value)| value);
    let (said, colour) = match panel.mappings.get(&last.to_string()) {
        Some((said, colour)) => (said.clone(), colour.clone()),
        None => {
            let step = panel.steps.iter().rev().find(|(from, _)| last >= *from);
            (told(last, &panel.unit), step.map_or_else(|| "text".to_owned(), |(_, colour)| colour.clone()))
        }
    };
    let _ = write!(
        out,
        "<text x=\"{}\" y=\"{}\" font-size=\"30\" text-anchor=\"middle\" fill=\"{}\">{}</text>",
        at.0,
        at.1,
        css(&colour),
        escaped(&said)
    );
}

fn timeline(out: &mut String, panel: &Panel, lines: &[(String, Series)], area: &Area) {
    let band = area.h / lines.len().max(1) as f64;
    area.seconds(out);
    for (row, (name, series)) in lines.iter().enumerate() {
        let y = area.y + band * row as f64;
        text(out, (area.x - 72.0, y + band / 2.0), 10.0, "#333", name);
        let points: Vec<_> = series.finite().collect();
        let mut start = 0;
        while start < points.len() {
            let value = points[start].1;
            let mut end = start;
            while end + 1 < points.len()
                && points[end + 1].1 == value
                && points[end + 1].0 - points[end].0 <= 2.5 * f64::from(crate::STEP_S)
            {
                end += 1;
            }
            let (said, colour) = panel
                .mappings
                .get(&value.to_string())
                .cloned()
                .unwrap_or_else(|| (told(value, &panel.unit), "text".to_owned()));
            let (left, right) = (
                area.at(points[start].0),
                area.at((points[end].0 + f64::from(crate::STEP_S)).min(area.time.1)),
            );
            let _ = write!(
                out,
                "<rect x=\"{left:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{}\" fill-opacity=\"0.75\"/>",
                right - left,
                band - 3.0,
                css(&colour)
            );
            if right - left > 40.0 {
                text(out, (left + 4.0, y + band / 2.0), 10.0, "#000", &said);
            }
            start = end + 1;
        }
    }
}

/// Buckets are cumulative: each has what is in it beyond the one below.
fn heatmap(out: &mut String, panel: &Panel, lines: &[(String, Series)], area: &Area) {
    let bound = |name: &str| name.parse::<f64>().unwrap_or(f64::INFINITY);
    let mut buckets: Vec<&(String, Series)> = lines.iter().collect();
    buckets.sort_by(|a, b| bound(&a.0).total_cmp(&bound(&b.0)));
    let band = area.h / buckets.len().max(1) as f64;
    let own = |row: usize, index: usize| {
        let (t, all) = buckets[row].1.points[index];
        let below = row.checked_sub(1).and_then(|row| buckets[row].1.points.iter().find(|(at, _)| *at == t));
        (t, (all - below.map_or(0.0, |(_, value)| *value)).max(0.0))
    };
    let cells: Vec<(usize, f64, f64)> = (0..buckets.len())
        .flat_map(|row| (0..buckets[row].1.points.len()).map(move |index| (row, index)))
        .map(|(row, index)| (row, own(row, index).0, own(row, index).1))
        .filter(|(_, _, count)| count.is_finite() && *count > 0.0)
        .collect();
    let most = cells.iter().map(|(_, _, count)| *count).fold(0.0, f64::max);
    let width = area.at(area.time.0 + f64::from(crate::STEP_S)) - area.x;
    for (row, t, count) in &cells {
        let y = area.y + area.h - band * (*row as f64 + 1.0);
        let _ = write!(
            out,
            "<rect x=\"{:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{band:.1}\" fill=\"#b00020\" fill-opacity=\"{:.2}\"/>",
            area.at(*t),
            (count / most).sqrt().max(0.08)
        );
    }
    for (row, (name, _)) in buckets.iter().enumerate().step_by(buckets.len().div_ceil(8).max(1)) {
        let y = area.y + area.h - band * row as f64 - band / 2.0;
        text(out, (area.x - 70.0, y), 10.0, "#555", &format!("≤ {}", told(bound(name), &panel.unit)));
    }
    area.seconds(out);
}

fn text(out: &mut String, at: (f64, f64), size: f64, colour: &str, said: &str) {
    let _ = write!(
        out,
        "<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"{size}\" fill=\"{colour}\">{}</text>",
        at.0,
        at.1,
        escaped(said)
    );
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Grafana's names of colours that CSS does not have.
fn css(colour: &str) -> &str {
    match colour {
        "semi-dark-green" => "seagreen",
        "text" | "" => "#888",
        other => other,
    }
}

/// A value with its unit, as Grafana writes it.
fn told(value: f64, unit: &str) -> String {
    let scaled = |steps: &[(f64, &str)]| {
        let (by, name) = *steps.iter().find(|(by, _)| value.abs() >= *by).unwrap_or(&steps[steps.len() - 1]);
        format!("{}{name}", number(value / by))
    };
    let binary =
        [(1024.0 * 1024.0 * 1024.0, " GiB"), (1024.0 * 1024.0, " MiB"), (1024.0, " KiB"), (1.0, " B")];
    let decimal = [(1e9, " G"), (1e6, " M"), (1e3, " k"), (1.0, "")];
    match unit {
        _ if value == 0.0 || !value.is_finite() => format!("{value}"),
        "s" => scaled(&[(60.0, " min"), (1.0, " s"), (1e-3, " ms"), (1e-6, " µs"), (1e-9, " ns")]),
        "bytes" => scaled(&binary),
        "Bps" => scaled(&binary) + "/s",
        "ops" => scaled(&decimal) + " ops/s",
        "pps" => scaled(&decimal) + " p/s",
        "percentunit" => format!("{} %", number(value * 100.0)),
        "none" => number(value),
        _ => scaled(&decimal),
    }
}

fn number(value: f64) -> String {
    let text = match value.abs() {
        0.0..1.0 => format!("{value:.3}"),
        1.0..100.0 => format!("{value:.2}"),
        _ => format!("{value:.0}"),
    };
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}
