//! What a transfer names (RFC 3891, RFC 3515): a dialog of ours on one side, which goes on as the
//! dialog behind it (spec: D32).

use holdline_leg::{Passage, Referred};
use holdline_wire::dialog::{Dialog, DialogId};
use holdline_wire::header::{Name, Replaces};

/// Whether `named` is this dialog: in Replaces, the To tag is the receiver's own.
pub fn is_named(id: &DialogId, named: &Replaces) -> bool {
    (&id.call_id, &id.local_tag, &id.remote_tag) == (&named.call_id, &named.to_tag, &named.from_tag)
}

/// The dialog `there` in place of the one `here`, where that is named.
pub fn elsewhere(here: &DialogId, there: &Dialog, named: &Replaces) -> Option<Referred> {
    is_named(here, named).then(|| Referred {
        target: there.remote_target.clone(),
        replaces: Replaces {
            early_only: named.early_only,
            ..there.id.replaces_for_peer()
        },
    })
}

/// The headers of an INVITE that is to replace a dialog, in place of the Require of `passage`.
/// Replaces is required also where nobody asked for that: who does not know it would take the
/// INVITE for an ordinary call. What else may be required was looked at before (see
/// [`crate::served`]).
pub fn insist(replaces: &Replaces, passage: &mut Passage) -> Vec<(Name<'static>, String)> {
    let is_require = |name: &[u8]| name.eq_ignore_ascii_case(b"Require");
    let requires_timer = passage.headers.iter().any(|(name, value)| {
        is_require(name) && value.to_ascii_lowercase().windows(5).any(|w| w == b"timer")
    });
    passage.headers.retain(|(name, _)| !is_require(name));
    let required = if requires_timer {
        "replaces, timer"
    } else {
        "replaces"
    };
    vec![
        (Name::Replaces, replaces.to_value()),
        (Name::Require, required.to_owned()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    // spec: D32
    #[test]
    fn replaces_is_required_and_a_session_timer_stays_so() {
        let replaces = Replaces::parse(b"c;to-tag=1;from-tag=2").expect("Replaces");
        let header = |value: &'static str| ("rEQUIRE".into(), value.into());
        let mut passage = Passage::new(vec![header("Timer, replaces")], None);
        let headers = insist(&replaces, &mut passage);
        assert_eq!(headers[1], (Name::Require, "replaces, timer".to_owned()));
        assert!(passage.headers.is_empty());
        let headers = insist(&replaces, &mut passage);
        assert_eq!(headers[1], (Name::Require, "replaces".to_owned()));
        let id = DialogId {
            call_id: "c".into(),
            local_tag: "1".into(),
            remote_tag: "2".into(),
        };
        assert!(is_named(&id, &replaces));
        let swapped = DialogId {
            local_tag: "2".into(),
            remote_tag: "1".into(),
            ..id
        };
        assert!(!is_named(&swapped, &replaces));
    }
}
