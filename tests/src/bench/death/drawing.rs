//! A story as an SVG timeline: an axis in milliseconds, the silences as bars, a row a moment.

use super::{Event, Story, Who};
use std::fmt::Write;

const WIDTH: f64 = 900.0;
/// Room for what stands before the axis and after it.
const LEFT: f64 = 130.0;
const RIGHT: f64 = 40.0;
const ROW: f64 = 22.0;
const TOP: f64 = 44.0;
const BAR: f64 = 16.0;
/// Width of a letter, about.
const LETTER: f64 = 6.6;
/// Ticks on the axis, about.
const TICKS: f64 = 9.0;

/// Milliseconds to places.
struct Axis {
    first: f64,
    last: f64,
    step: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>) -> Axis {
        let (low, high) = values.fold((0.0f64, 1.0f64), |(low, high), value| {
            (low.min(value), high.max(value))
        });
        let rough = (high - low) / TICKS;
        let scale = 10f64.powf(rough.log10().floor());
        let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * scale);
        let step = steps.into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(10.0 * scale);
        Axis {
            first: (low / step).floor() * step,
            last: (high / step).ceil() * step,
            step,
        }
    }

    fn at(&self, ms: f64) -> f64 {
        let width = WIDTH - LEFT - RIGHT;
        LEFT + (ms - self.first) / (self.last - self.first) * width
    }

    fn ticks(&self) -> impl Iterator<Item = f64> + '_ {
        let count = ((self.last - self.first) / self.step).round() as u32;
        (0..=count).map(|n| self.first + f64::from(n) * self.step)
    }
}

fn colour(who: Who) -> &'static str {
    match who {
        Who::Node => "#c62828",
        Who::Agent => "#6a1b9a",
        Who::Wire => "#1565c0",
        Who::Ear => "#2e7d32",
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// Draws it.
pub fn draw(story: &Story) -> String {
    let moments = story.events.iter().map(|event| event.ms);
    let axis = Axis::over(moments);
    let bars = TOP + ROW * story.silences.len() as f64;
    let bottom = bars + 10.0 + ROW * story.events.len() as f64;
    let height = bottom + 52.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" \
         viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"14\" font-weight=\"bold\">One call whose node \
         dies: from the last packet to the 200</text>\n"
    );
    grid(&mut svg, &axis, bottom);
    for (n, (who, from, until)) in story.silences.iter().enumerate() {
        silence(&mut svg, &axis, TOP + ROW * n as f64, who, (*from, *until));
    }
    for (n, event) in story.events.iter().enumerate() {
        moment(&mut svg, &axis, bars + 22.0 + ROW * n as f64, event);
    }
    legend(&mut svg, bottom + 40.0);
    svg += "</svg>\n";
    svg
}

fn grid(svg: &mut String, axis: &Axis, bottom: f64) {
    for tick in axis.ticks() {
        let (x, label) = (axis.at(tick), bottom + 16.0);
        // -0 is 0.
        let tick = if tick == 0.0 { 0.0 } else { tick };
        let line = if tick == 0.0 { "#c62828" } else { "#dddddd" };
        let _ = write!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\" stroke=\"{line}\"/>\n\
             <text x=\"{x:.1}\" y=\"{label:.1}\" text-anchor=\"middle\" fill=\"#444444\">{tick}</text>\n",
            TOP - 8.0
        );
    }
    let middle = bottom + 16.0;
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{middle:.1}\" text-anchor=\"end\" fill=\"#444444\">ms after the \
         death</text>",
        LEFT - 14.0
    );
}

fn silence(svg: &mut String, axis: &Axis, y: f64, who: &str, (from, until): (f64, f64)) {
    let (x, end) = (axis.at(from), axis.at(until));
    let _ = write!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{who} hears</text>\n\
         <rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"#e0e0e0\"/>\n\
         <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">nothing for {:.1} ms</text>\n",
        LEFT - 14.0,
        y + 12.0,
        end - x,
        f64::midpoint(x, end),
        y + 12.0,
        until - from
    );
}

fn moment(svg: &mut String, axis: &Axis, y: f64, event: &Event) {
    let x = axis.at(event.ms);
    let text = format!("{:.1}  {}", event.ms, escaped(&event.what));
    // Where there is no room to the right of it, the text stands to the left.
    let fits = x + 10.0 + LETTER * text.len() as f64 <= WIDTH;
    let (at, anchor) = if fits {
        (x + 9.0, "start")
    } else {
        (x - 9.0, "end")
    };
    let colour = colour(event.who);
    let _ = write!(
        svg,
        "<circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"4.5\" fill=\"{colour}\"/>\n\
         <text x=\"{at:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\" \
         stroke=\"#ffffff\" stroke-width=\"3\" paint-order=\"stroke\">{text}</text>\n",
        y - 4.0
    );
}

fn legend(svg: &mut String, y: f64) {
    let entries = [
        (Who::Ear, "RTP at the listeners"),
        (Who::Wire, "SIP on the wire"),
        (Who::Agent, "the agent's own account"),
    ];
    let mut x = LEFT;
    for (who, text) in entries {
        let _ = write!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{:.1}\" r=\"4.5\" fill=\"{}\"/>\n\
             <text x=\"{:.1}\" y=\"{y:.1}\">{text}</text>\n",
            y - 4.0,
            colour(who),
            x + 9.0
        );
        x += 40.0 + LETTER * text.len() as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_round_ticks_around_all_moments() {
        let axis = Axis::over([-12.0, 3.0, 61.0].into_iter());
        let ticks: Vec<f64> = axis.ticks().collect();
        assert_eq!(
            (axis.step, ticks[0], ticks.last()),
            (10.0, -20.0, Some(&70.0))
        );
        assert!(axis.at(-20.0) < axis.at(0.0) && axis.at(70.0) <= WIDTH - RIGHT);
    }

    #[test]
    fn what_people_wrote_stays_text() {
        let event = Event {
            ms: 4.0,
            who: Who::Agent,
            what: "a < b & c".to_owned(),
        };
        let story = Story {
            events: vec![event],
            silences: vec![("caller", -5.0, 40.0)],
            moved: 1,
        };
        let svg = draw(&story);
        assert!(svg.contains("4.0  a &lt; b &amp; c") && svg.contains("nothing for 45.0 ms"));
    }
}
