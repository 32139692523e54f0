//! Medians, spreads, and the Markdown that shows them.

use std::fmt::{Display, Write};

/// The same figure, taken several times.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures(Vec<f64>);

impl Figures {
    /// Adds one.
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The middle one (of an even number the mean of the two middle ones); NaN without any.
    pub fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.len() {
            0 => f64::NAN,
            n if n % 2 == 1 => sorted[n / 2],
            n => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
        }
    }

    /// `smallest to largest`, each with so many decimals.
    pub fn spread(&self, decimals: usize) -> String {
        let least = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let most = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        format!("{least:.decimals$} to {most:.decimals$}")
    }

    /// Run by run, this divided by `other`: both felt the same disturbances.
    pub fn over(&self, other: &Figures) -> Figures {
        Figures(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }
}

impl FromIterator<f64> for Figures {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Figures {
        Figures(values.into_iter().collect())
    }
}

/// A section of `docs/dev/benchmarks.md`.
#[derive(Clone, Debug)]
pub struct Section(String);

impl Section {
    /// A section with its command and its load; the machine's load average is that of now.
    pub fn new(title: &str, what: &str, runs: u32, load: &str) -> Section {
        let average = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let average: Vec<&str> = average.split(' ').take(3).collect();
        Section(format!(
            "## {title}\n\n- command: `make bench ONLY={what} RUNS={runs}`\n- load: {load}\n\
             - load average of the machine before: {}\n\n",
            average.join(" ")
        ))
    }

    /// Adds a paragraph.
    pub fn say(&mut self, text: impl Display) {
        let _ = write!(self.0, "{text}\n\n");
    }

    /// Adds a table.
    pub fn table<const N: usize>(&mut self, head: [&str; N], rows: &[[String; N]]) {
        let mut line = |cells: &[&str]| {
            let _ = writeln!(self.0, "| {} |", cells.join(" | "));
        };
        line(&head);
        line(&["---"; N]);
        for row in rows {
            line(&row.each_ref().map(String::as_str));
        }
        self.0.push('\n');
    }

    /// All of it.
    pub fn into_text(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let odd: Figures = [3.0, 1.0, 2.0].into_iter().collect();
        let even: Figures = [4.0, 1.0, 2.0, 3.0].into_iter().collect();
        assert_eq!((odd.median(), even.median()), (2.0, 2.5));
        assert_eq!(odd.spread(1), "1.0 to 3.0");
        assert!(Figures::default().median().is_nan());
        assert_eq!(odd.over(&odd), [1.0; 3].into_iter().collect());
    }

    #[test]
    fn a_section_is_markdown() {
        let mut section = Section::new("Relay", "relay", 3, "200 calls");
        section.table(["a", "b"], &[["1".into(), "2".into()]]);
        let text = section.into_text();
        assert!(text.starts_with("## Relay\n\n- command: `make bench ONLY=relay RUNS=3`\n"));
        assert!(text.ends_with("| a | b |\n| --- | --- |\n| 1 | 2 |\n\n"));
    }
}
