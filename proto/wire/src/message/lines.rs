//! Where a header line ends, with its folds.

use memchr::memchr2;

/// One logical line of a header section.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) start: usize,
    /// Where its text ends, before the line break.
    pub(super) end: usize,
    /// Where the next line starts.
    pub(super) next: usize,
}

/// Why there is no line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoLine {
    /// The data ends before the line does.
    Cut,
    /// A CR that no LF follows: printed again it could split a header.
    BareCr,
}

/// The line at `start`; CR LF or LF alone ends it, and where `folds`, lines that start with
/// white space belong to it.
pub(super) fn line(data: &[u8], start: usize, folds: bool) -> Result<Line, NoLine> {
    let mut at = start;
    loop {
        at += memchr2(b'\r', b'\n', data.get(at..).unwrap_or_default()).ok_or(NoLine::Cut)?;
        let end = at;
        if data[at] == b'\r' {
            at += 1;
            match data.get(at) {
                Some(b'\n') => {}
                Some(_) => return Err(NoLine::BareCr),
                None => return Err(NoLine::Cut),
            }
        }
        at += 1;
        let folded = folds && end > start && matches!(data.get(at), Some(b' ' | b'\t'));
        if !folded {
            return Ok(Line {
                start,
                end,
                next: at,
            });
        }
    }
}
