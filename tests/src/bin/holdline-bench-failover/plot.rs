//! The distribution of gaps as an SVG: for each case, how many of the moved calls had a gap of at
//! most so long.

use crate::run::Measured;
use std::fmt::Write;

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 460.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 170.0;
/// The axis of time is logarithmic, from here on, milliseconds.
const FIRST_MS: f64 = 10.0;
const COLOURS: [&str; 6] = [
    "#1565c0", "#2e7d32", "#c62828", "#6a1b9a", "#ef6c00", "#546e7a",
];

struct Axes {
    last_ms: f64,
}

impl Axes {
    fn x(&self, ms: f64) -> f64 {
        let share = (ms.max(FIRST_MS) / FIRST_MS).ln() / (self.last_ms / FIRST_MS).ln();
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    fn y(share: f64) -> f64 {
        TOP + (1.0 - share) * (HEIGHT - TOP - BOTTOM)
    }
}

/// Draws the cases that have gaps.
pub fn draw(measured: &[Measured]) -> String {
    let with_gaps: Vec<&Measured> = measured.iter().filter(|m| !m.all_gaps.is_empty()).collect();
    let largest = with_gaps
        .iter()
        .flat_map(|m| &m.all_gaps)
        .copied()
        .fold(100.0, f64::max);
    let axes = Axes {
        last_ms: ticks().find(|tick| *tick >= largest).unwrap_or(largest),
    };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\" \
         viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"14\" font-weight=\"bold\">Gaps of moved calls: the \
         share of them that is at most so long</text>\n"
    );
    grid(&mut svg, &axes);
    for (n, case) in with_gaps.iter().enumerate() {
        let colour = COLOURS[n % COLOURS.len()];
        curve(&mut svg, &axes, &case.all_gaps, colour);
        legend(&mut svg, n, case, colour);
    }
    svg += "</svg>\n";
    svg
}

/// 10, 20, 50, 100 ...
fn ticks() -> impl Iterator<Item = f64> {
    (0..6).flat_map(|power| [1.0, 2.0, 5.0].map(|step| step * FIRST_MS * 10f64.powi(power)))
}

fn grid(svg: &mut String, axes: &Axes) {
    let (top, bottom) = (Axes::y(1.0), Axes::y(0.0));
    for tick in ticks().take_while(|tick| *tick <= axes.last_ms) {
        let x = axes.x(tick);
        let _ = write!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{top:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\" stroke=\"#dddddd\"/>\n\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#444444\">{tick} ms</text>\n",
            bottom + 16.0
        );
    }
    for percent in [0, 25, 50, 75, 99] {
        let y = Axes::y(f64::from(percent) / 100.0);
        let _ = write!(
            svg,
            "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"#dddddd\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#444444\">{percent} %</text>\n",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y + 4.0
        );
    }
}

fn curve(svg: &mut String, axes: &Axes, gaps: &[f64], colour: &str) {
    let mut gaps = gaps.to_vec();
    gaps.sort_by(f64::total_cmp);
    let mut path = String::new();
    for (n, gap) in gaps.iter().enumerate() {
        let (before, after) = (
            n as f64 / gaps.len() as f64,
            (n + 1) as f64 / gaps.len() as f64,
        );
        let x = axes.x(*gap);
        let step = if n == 0 { "M" } else { "L" };
        let _ = write!(
            path,
            "{step}{x:.1},{:.1} L{x:.1},{:.1} ",
            Axes::y(before),
            Axes::y(after)
        );
    }
    let _ = writeln!(
        svg,
        "<path d=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
        path.trim_end()
    );
}

fn legend(svg: &mut String, n: usize, case: &Measured, colour: &str) {
    let y = HEIGHT - BOTTOM + 48.0 + 20.0 * n as f64;
    let _ = write!(
        svg,
        "<line x1=\"{LEFT}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\" stroke-width=\"3\"/>\n\
         <text x=\"{:.1}\" y=\"{y:.1}\">{}: {} moves</text>\n",
        y - 4.0,
        LEFT + 24.0,
        y - 4.0,
        LEFT + 32.0,
        case.case.title,
        case.all_gaps.len()
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::CASES;

    #[test]
    fn every_case_with_gaps_has_a_curve_inside_the_axes() {
        let mut killed = Measured::new(&CASES[0]);
        killed.all_gaps = vec![40.0, 60.0, 1200.0];
        let svg = draw(&[killed, Measured::new(&CASES[5])]);
        assert_eq!(svg.matches("<path").count(), 1);
        assert!(svg.contains("SIGKILL, 200 calls: 3 moves"));
        let axes = Axes { last_ms: 2000.0 };
        assert!(axes.x(1200.0) < WIDTH - RIGHT && axes.x(0.0) >= LEFT);
    }
}
