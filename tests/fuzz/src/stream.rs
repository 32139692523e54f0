//! A stream of SIP messages: where each ends may not depend on how the bytes arrive.

use crate::memory;
use holdline_wire::message::{MAX_MESSAGE, frame};

/// How many bytes come a piece has at most.
const PIECE: usize = 61;

/// Cuts the stream as it comes in whole and as it comes in pieces, and compares.
pub fn check(data: &[u8]) {
    let whole = cut(data, data.len().max(1));
    // Every length is tried, by inputs of all lengths.
    let pieces = cut(data, 1 + data.len() % PIECE);
    assert_eq!(whole, pieces);
}

#[derive(Debug, PartialEq, Eq)]
struct Cut {
    lengths: Vec<usize>,
    closed: bool,
}

fn cut(data: &[u8], piece: usize) -> Cut {
    let mut buffer = Vec::new();
    let mut lengths = Vec::new();
    for piece in data.chunks(piece) {
        buffer.extend_from_slice(piece);
        loop {
            // Framing is positions only: it allocates nothing.
            match memory::within(0, || frame(&buffer)) {
                Ok(Some(length)) => {
                    assert!((1..=MAX_MESSAGE.min(buffer.len())).contains(&length));
                    buffer.drain(..length);
                    lengths.push(length);
                }
                Ok(None) => break,
                Err(_) => {
                    return Cut {
                        lengths,
                        closed: true,
                    };
                }
            }
        }
        assert!(buffer.len() <= MAX_MESSAGE + piece.len());
    }
    Cut {
        lengths,
        closed: false,
    }
}
