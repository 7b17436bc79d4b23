//! Spark lines: a series in one line of text.

/// Bars of eight heights.
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Where there is no value.
const GAP: char = '·';

/// What stands for several values that share a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fold {
    /// Their mean.
    Mean,
    /// The largest.
    Max,
}

/// Draws values from 0 up to the largest of them in at most `columns` columns.
pub(super) fn spark(values: &[Option<f64>], columns: usize, fold: Fold) -> String {
    let columns = columns.min(values.len());
    let drawn: Vec<Option<f64>> = (0..columns)
        .map(|i| folded(&values[i * values.len() / columns..(i + 1) * values.len() / columns], fold))
        .collect();
    let top = drawn.iter().flatten().copied().fold(0.0, f64::max);
    drawn.into_iter().map(|value| value.map_or(GAP, |value| bar(value, top))).collect()
}

fn folded(values: &[Option<f64>], fold: Fold) -> Option<f64> {
    let told: Vec<f64> = values.iter().flatten().copied().collect();
    if told.is_empty() {
        return None;
    }
    Some(match fold {
        Fold::Mean => told.iter().sum::<f64>() / told.len() as f64,
        Fold::Max => told.into_iter().fold(f64::MIN, f64::max),
    })
}

/// Eighths of the top, upwards: only 0 to an eighth is the lowest bar, only the last eighth the highest.
fn bar(value: f64, top: f64) -> char {
    if top <= 0.0 {
        return BARS[0];
    }
    let eighths = (value / top * 8.0).ceil() as usize;
    BARS[eighths.clamp(1, 8) - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some(values: &[f64]) -> Vec<Option<f64>> {
        values.iter().copied().map(Some).collect()
    }

    #[test]
    fn heights_are_eighths_of_the_largest() {
        let values = some(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        assert_eq!(spark(&values, 60, Fold::Mean), "▁▁▂▃▄▅▆▇█");
        assert_eq!(spark(&some(&[5.0, 5.0]), 60, Fold::Mean), "██");
        assert_eq!(spark(&some(&[0.0, 0.0]), 60, Fold::Mean), "▁▁");
        assert_eq!(spark(&[], 60, Fold::Mean), "");
    }

    #[test]
    fn many_values_share_columns() {
        // Columns of two: means 4 and 8, maxima 8 and 8.
        let values = some(&[0.0, 8.0, 8.0, 8.0]);
        assert_eq!(spark(&values, 2, Fold::Mean), "▄█");
        assert_eq!(spark(&values, 2, Fold::Max), "██");
        assert_eq!(spark(&some(&[1.0; 1000]), 60, Fold::Max).chars().count(), 60);
        assert_eq!(spark(&some(&[1.0; 61]), 60, Fold::Max).chars().count(), 60);
    }

    #[test]
    fn what_is_not_known_is_a_gap() {
        assert_eq!(spark(&[Some(1.0), None, Some(1.0)], 60, Fold::Max), "█·█");
        assert_eq!(spark(&[Some(1.0), None, None, None], 2, Fold::Max), "█·");
    }
}
