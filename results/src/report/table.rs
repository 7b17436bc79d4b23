//! Tables and paragraphs of the text report.

use comfy_table::{CellAlignment, ContentArrangement, ContentLineStyle, LineStyle, Table, TableStyle};

/// Columns of a report.
pub(super) const WIDTH: usize = 100;

/// A table with a line below its header: `left` columns of text, then numbers.
pub(super) fn table<T: AsRef<str>>(header: &[T], left: usize, rows: Vec<Vec<String>>) -> String {
    let mut table = Table::new();
    table
        .load_style(
            TableStyle::new()
                .header_lines(ContentLineStyle::none())
                .header_separator(LineStyle::none().fill('─').junction('─'))
                .content_lines(ContentLineStyle::none()),
        )
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(header.iter().map(AsRef::as_ref))
        .add_rows(rows);
    for (i, column) in table.column_iter_mut().enumerate() {
        // With the blank between columns, two of them apart.
        column.set_padding((u16::from(i > 0), 0));
        column.set_cell_alignment(if i < left { CellAlignment::Left } else { CellAlignment::Right });
    }
    let lines: Vec<String> = table.lines().map(|line| line.trim_end().to_owned()).collect();
    lines.join("\n") + "\n"
}

/// A label and a text beside it, which is wrapped between words and keeps its indentation.
pub(super) fn paragraph(label: &str, indent: usize, text: &str) -> String {
    let mut out = String::new();
    let mut line = format!("{label:<indent$}");
    if label.chars().count() >= indent && !label.is_empty() {
        line.push(' ');
    }
    let mut empty = true;
    for word in words(text) {
        if !empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line = " ".repeat(indent);
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(&word);
        empty = false;
    }
    out.push_str(line.trim_end());
    out.push('\n');
    out
}

/// The parts between which a line may end: a number stays with its unit.
fn words(text: &str) -> Vec<String> {
    const UNITS: [&str; 9] = ["ns", "µs", "ms", "s", "%", "B", "KiB", "MiB", "GiB"];
    let mut words: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        let is_unit = UNITS.contains(&word.trim_end_matches([',', ';', ':', '.', ')']));
        match words.last_mut().filter(|last| is_unit && last.ends_with(|c: char| c.is_ascii_digit())) {
            Some(number) => {
                number.push(' ');
                number.push_str(word);
            }
            None => words.push(word.to_owned()),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stand_under_each_other() {
        let rows =
            vec![vec!["app.read".to_owned(), "1".to_owned()], vec!["b".to_owned(), "1,000".to_owned()]];
        assert_eq!(
            table(&["op", "ok"], 1, rows),
            "op           ok\n\
             ───────────────\n\
             app.read      1\n\
             b         1,000\n"
        );
    }

    #[test]
    fn paragraphs_wrap_between_words_and_stay_indented() {
        assert_eq!(paragraph("Label", 8, "a few words"), "Label   a few words\n");
        assert_eq!(paragraph("Too long a label", 4, "text"), "Too long a label text\n");
        assert_eq!(paragraph("Empty", 8, ""), "Empty\n");
        let long = ["word"; 40].join(" ");
        let wrapped = paragraph("Label", 8, &long);
        assert!(wrapped.lines().count() > 1);
        assert!(wrapped.lines().all(|line| line.len() <= WIDTH));
        assert!(wrapped.lines().skip(1).all(|line| line.starts_with("        word")));
    }

    #[test]
    fn a_number_stays_with_its_unit() {
        assert_eq!(
            words("p99 12.3 ms, of 40 % (5 B) a s b"),
            ["p99", "12.3 ms,", "of", "40 %", "(5 B)", "a", "s", "b"]
        );
    }
}
