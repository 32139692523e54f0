//! A trunk document: taken whole or refused in few words.

use crate::memory;
use holdline_wire::trunk::{MAX_DOCUMENT, MAX_INSTANCES, TrunkDocument};
use std::collections::BTreeSet;

/// The longest reason that a log may be given, in bytes.
const MAX_REASON: usize = 512;

/// What reading may hold: the values of a document that is all commas, while their list grows.
fn tree_bytes(json: &[u8]) -> usize {
    64 * 1024 + 80 * json.len()
}

/// The properties of one document.
pub fn check(json: &[u8]) {
    match memory::within(tree_bytes(json), || TrunkDocument::parse(json)) {
        Ok(document) => {
            assert!(json.len() <= MAX_DOCUMENT && document.instances.len() <= MAX_INSTANCES);
            let addresses: BTreeSet<_> = document.instances.iter().map(|i| i.address).collect();
            assert_eq!(addresses.len(), document.instances.len());
            assert!(addresses.iter().all(|address| address.port() != 0));
            for text in [
                &document.name,
                &document.uri,
                &document.webhook_registration,
            ] {
                assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?}");
            }
            let written = document.to_json();
            assert_eq!(TrunkDocument::parse(written.as_bytes()), Ok(document));
        }
        Err(error) => {
            let reason = error.to_string();
            assert!(
                reason.len() <= MAX_REASON,
                "{} bytes of reason",
                reason.len()
            );
        }
    }
}
