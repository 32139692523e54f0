//! Downstream dialogs that are replaced by a failover call. Most UAs end them by themselves; where
//! that was not seen, this node says BYE there, since some leave them up, and others say BYE to the
//! dead node for half a minute and send it RTP meanwhile. But not at once: Asterisk answers the
//! INVITE with Replaces before it has moved its channel, and a BYE in the old dialog then ends the
//! call in both (spec: X28).
//!
//! The BYE is owed for as long as that, whatever becomes of the call itself.

use holdline_wire::dialog::DialogId;
use holdline_wire::record::DialogRecord;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What is known of such a dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// An INVITE that replaces it is on its way.
    Asked,
    /// Its UA has said BYE in it.
    Ended,
    /// It was replaced: the BYE with this number leaves soon.
    Owed(u64),
}

/// The dialogs that are being replaced, and those whose BYE waits.
#[derive(Debug, Default)]
pub(super) struct Replaced {
    /// By their names as the node that had set them up knew them.
    known: BTreeMap<DialogId, Known>,
    owed: BTreeMap<u64, Arc<DialogRecord>>,
    next: u64,
}

impl Replaced {
    /// How many dialogs are known.
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether this is one of them.
    pub fn knows(&self, dialog: &DialogId) -> bool {
        self.known.contains_key(dialog)
    }

    /// An INVITE that replaces this dialog leaves.
    pub fn asked(&mut self, dialog: &DialogId) {
        self.known.entry(dialog.clone()).or_insert(Known::Asked);
    }

    /// Nothing came of that.
    pub fn forget(&mut self, dialog: &DialogId) {
        if !matches!(self.known.get(dialog), Some(Known::Owed(_))) {
            self.known.remove(dialog);
        }
    }

    /// Its UA says BYE in it: nobody else needs to. The number of the BYE that waited, if one did.
    pub fn ended(&mut self, dialog: &DialogId) -> Option<u64> {
        let known = self.known.get_mut(dialog)?;
        match *known {
            Known::Owed(number) => {
                self.known.remove(dialog);
                self.owed.remove(&number);
                Some(number)
            }
            Known::Asked | Known::Ended => {
                *known = Known::Ended;
                None
            }
        }
    }

    /// The dialog was replaced. The number of the BYE that is owed; `None` where its UA has said
    /// BYE, or one waits already.
    pub fn owe(&mut self, record: Arc<DialogRecord>) -> Option<u64> {
        match self.known.get(&record.downstream) {
            Some(Known::Ended) => {
                self.known.remove(&record.downstream);
                None
            }
            Some(Known::Owed(_)) => None,
            Some(Known::Asked) | None => {
                self.next += 1;
                let number = self.next;
                self.known
                    .insert(record.downstream.clone(), Known::Owed(number));
                self.owed.insert(number, record);
                Some(number)
            }
        }
    }

    /// The BYE with this number leaves.
    pub fn take(&mut self, number: u64) -> Option<Arc<DialogRecord>> {
        let record = self.owed.remove(&number)?;
        self.known.remove(&record.downstream);
        Some(record)
    }

    /// The oldest of more than `most`.
    pub fn excess(&self, most: usize) -> Option<u64> {
        let oldest = self.owed.keys().next().copied();
        oldest.filter(|_| self.owed.len() > most)
    }
}
