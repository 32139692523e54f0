//! Which tones are in a recording.

use super::{Error, python};
use serde::Deserialize;
use std::path::Path;
use std::process::Command;

/// The window of the analysis, seconds: two packets.
const WINDOW: f64 = 0.04;

/// What is in a part of a recording.
#[derive(Clone, Debug, Deserialize)]
pub struct Tones {
    /// The length of the whole recording so far.
    pub seconds: f64,
    /// Its stretches in order.
    pub runs: Vec<Run>,
}

/// A stretch that sounds the same.
#[derive(Clone, Debug, Deserialize)]
pub struct Run {
    /// Its begin in the file, seconds.
    pub from: f64,
    /// Its end.
    pub to: f64,
    /// A frequency in Hz as text, `silence` or `other`.
    pub tone: String,
}

impl Run {
    /// Its length, seconds.
    pub fn length(&self) -> f64 {
        self.to - self.from
    }
}

impl Tones {
    /// The share of the whole that is `tone`: 1 for all of it.
    pub fn share(&self, tone: &str) -> f64 {
        let whole: f64 = self.runs.iter().map(Run::length).sum();
        let own = self.runs.iter().filter(|run| run.tone == tone);
        let own: f64 = own.map(Run::length).sum();
        if whole > 0.0 { own / whole } else { 0.0 }
    }

    /// The longest stretch of `tone`, seconds.
    pub fn longest(&self, tone: &str) -> f64 {
        let own = self.runs.iter().filter(|run| run.tone == tone);
        own.map(Run::length).fold(0.0, f64::max)
    }
}

/// Looks for tones of `hertz` in a recording, from one of its seconds to another. An error if it
/// is not that long (yet).
pub fn tones(file: &Path, hertz: &[u32], from: f64, to: f64) -> Result<Tones, Error> {
    let output = Command::new(python()?)
        .arg(python::script("tone.py"))
        .arg(file)
        .arg("--hz")
        .args(hertz.iter().map(u32::to_string))
        .args(["--runs", "--window", &WINDOW.to_string()])
        .args([
            "--from",
            &from.max(0.0).to_string(),
            "--to",
            &to.to_string(),
        ])
        .output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    let tones: Tones = serde_json::from_slice(&output.stdout)?;
    if tones.seconds < to {
        let (file, seconds) = (file.display(), tones.seconds);
        return Err(format!("{file} has {seconds:.2} s and was asked about {to:.2} s").into());
    }
    Ok(tones)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_the_longest_run_are_of_that_tone() {
        let run = |from, to, tone: &str| Run {
            from,
            to,
            tone: tone.into(),
        };
        let heard = Tones {
            seconds: 5.0,
            runs: vec![
                run(1.0, 2.0, "440"),
                run(2.0, 2.5, "silence"),
                run(2.5, 5.0, "440"),
            ],
        };
        assert_eq!(heard.share("440"), 0.875);
        assert_eq!((heard.longest("440"), heard.longest("880")), (2.5, 0.0));
    }
}
