//! What is kept of a message beside its bytes: where everything stands in them.

use crate::header::CSeq;
use crate::method::Method;

/// A range of the buffer; [`super::MAX_MESSAGE`] is what lets 16 bits suffice.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Span {
    start: u16,
    end: u16,
}

impl Span {
    pub(super) fn of(self, data: &[u8]) -> &[u8] {
        data.get(usize::from(self.start)..usize::from(self.end))
            .unwrap_or_default()
    }

    /// Where `part`, a piece of `data`, stands in it.
    pub(super) fn locate(data: &[u8], part: &[u8]) -> Span {
        let start = part.as_ptr().addr().saturating_sub(data.as_ptr().addr());
        Span {
            start: position(start),
            end: position(start + part.len()),
        }
    }
}

/// An offset as it is kept.
pub(super) fn position(at: usize) -> u16 {
    u16::try_from(at).unwrap_or(u16::MAX)
}

/// One header field.
#[derive(Clone, Copy, Debug)]
pub(super) struct Slot {
    pub(super) kind: u8,
    pub(super) name: Span,
    pub(super) value: Span,
}

/// The start line.
#[derive(Debug)]
pub(super) enum Start {
    /// `method` is empty where it is the CSeq's: the common case is stored once.
    Request {
        method: Option<Method>,
        uri: Span,
    },
    Response {
        status: u16,
        reason: Span,
    },
}

/// All positions in a message's buffer.
#[derive(Debug)]
pub(super) struct Index {
    pub(super) start: Start,
    pub(super) slots: Vec<Slot>,
    pub(super) cseq: CSeq,
    /// The slots of the mandatory headers.
    pub(super) via: u16,
    pub(super) from: u16,
    pub(super) to: u16,
    pub(super) call_id: u16,
    /// Where the body starts; it ends with the buffer.
    pub(super) body: u16,
}
