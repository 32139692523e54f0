//! Header names: canonical spellings, compact forms, and a lookup without a branch per name.

use std::hash::{Hash, Hasher};

macro_rules! names {
    ($($(#[$meta:meta])* $variant:ident $text:literal $($compact:literal)?;)*) => {
        /// A header name, compact forms resolved. Two names are equal whatever their case.
        #[derive(Clone, Copy, Debug)]
        #[allow(missing_docs)]
        pub enum Name<'a> {
            $($(#[$meta])* $variant,)*
            /// Any other name. Well-known ones (Subject, Event, Expires ...) come in their
            /// canonical spelling, the rest as written.
            Other(&'a str),
        }

        impl<'a> Name<'a> {
            /// The canonical spelling on the wire.
            pub fn as_str(&self) -> &'a str {
                match self {
                    $(Name::$variant => $text,)*
                    Name::Other(name) => name,
                }
            }

            /// The number that the index of a message knows this name by.
            pub(crate) fn kind(&self) -> u8 {
                match self {
                    $(Name::$variant => Kind::$variant as u8,)*
                    Name::Other(name) => kind_of(name.as_bytes()),
                }
            }
        }

        /// The numbers of the names that have a variant.
        #[repr(u8)]
        pub(crate) enum Kind { $($variant,)* }

        static VARIANTS: &[Known] = &[
            $(Known { name: Name::$variant, text: $text, compact: concat!($($compact)?) },)*
        ];
    };
}

names! {
    Via "Via" "v";
    From "From" "f";
    To "To" "t";
    CallId "Call-ID" "i";
    CSeq "CSeq";
    Contact "Contact" "m";
    MaxForwards "Max-Forwards";
    Route "Route";
    RecordRoute "Record-Route";
    ContentType "Content-Type" "c";
    ContentLength "Content-Length" "l";
    ContentDisposition "Content-Disposition";
    Supported "Supported" "k";
    Require "Require";
    ProxyRequire "Proxy-Require";
    Allow "Allow";
    Unsupported "Unsupported";
    Replaces "Replaces";
    ReferTo "Refer-To" "r";
    ReferredBy "Referred-By" "b";
    Reason "Reason";
    RetryAfter "Retry-After";
    SessionExpires "Session-Expires" "x";
    MinSe "Min-SE";
    RSeq "RSeq";
    RAck "RAck";
    Timestamp "Timestamp";
    Warning "Warning";
    Date "Date";
    Server "Server";
    UserAgent "User-Agent";
    PAssertedIdentity "P-Asserted-Identity";
    Privacy "Privacy";
    Diversion "Diversion";
    HistoryInfo "History-Info";
    SessionId "Session-ID";
    PChargingVector "P-Charging-Vector";
    Geolocation "Geolocation";
    ResourcePriority "Resource-Priority";
    Priority "Priority";
    Identity "Identity" "y";
    Authorization "Authorization";
    ProxyAuthorization "Proxy-Authorization";
    InstanceUtilization "Instance-Utilization";
    /// Our own: the incarnation that a node drew at its start (spec: X39).
    InstanceIncarnation "Instance-Incarnation";
    /// Our own: a dialog, in the form of Replaces, that has no caller any more; its to-tag is 0
    /// where it was never answered (spec: X26, X27).
    InstanceOrphan "Instance-Orphan";
    /// Our own: see [`super::InstanceBye`].
    InstanceBye "Instance-Bye";
    /// Our own: see [`super::InstanceState`].
    InstanceState "Instance-State";
    /// Our own: see [`super::InstanceRefusal`].
    InstanceRefusal "Instance-Refusal";
    /// Our own: see [`super::InstanceAgent`].
    InstanceAgent "Instance-Agent";
    /// Our own: see [`super::InstanceStore`].
    InstanceStore "Instance-Store";
    /// Our own: see [`super::InstanceFarEnd`].
    InstanceFarEnd "Instance-Far-End";
}

struct Known {
    name: Name<'static>,
    text: &'static str,
    /// The compact form; empty where there is none.
    compact: &'static str,
}

const fn other(text: &'static str, compact: &'static str) -> Known {
    Known {
        name: Name::Other(text),
        text,
        compact,
    }
}

/// Names without a variant whose spelling or compact form we still know.
static OTHERS: &[Known] = &[
    other("Subject", "s"),
    other("Event", "o"),
    other("Allow-Events", "u"),
    other("Content-Encoding", "e"),
    other("Accept-Contact", "a"),
    other("Request-Disposition", "d"),
    other("Reject-Contact", "j"),
    other("Identity-Info", "n"),
    other("Expires", ""),
    other("Min-Expires", ""),
    other("Subscription-State", ""),
    other("Accept", ""),
    other("Accept-Encoding", ""),
    other("Accept-Language", ""),
    other("Organization", ""),
    other("In-Reply-To", ""),
    other("Reply-To", ""),
    other("MIME-Version", ""),
    other("Alert-Info", ""),
    other("Call-Info", ""),
    other("Error-Info", ""),
    other("Path", ""),
    other("Service-Route", ""),
    other("WWW-Authenticate", ""),
    other("Proxy-Authenticate", ""),
    other("Authentication-Info", ""),
    other("P-Preferred-Identity", ""),
    other("P-Access-Network-Info", ""),
    other("Refer-Sub", ""),
    other("Target-Dialog", ""),
    other("Join", ""),
    other("SIP-ETag", ""),
    other("SIP-If-Match", ""),
];

/// The kind of a name that is in no table.
pub(crate) const UNKNOWN: u8 = u8::MAX;

const fn known(kind: usize) -> &'static Known {
    if kind < VARIANTS.len() {
        &VARIANTS[kind]
    } else {
        &OTHERS[kind - VARIANTS.len()]
    }
}

const SLOTS: usize = 512;

/// The factors are such that no two of our spellings meet.
const fn slot_of(name: &[u8]) -> usize {
    let (first, middle, last) = (name[0], name[name.len() / 2], name[name.len() - 1]);
    (name.len()
        + (first | 0x20) as usize * 109
        + (middle | 0x20) as usize * 49
        + (last | 0x20) as usize * 85)
        % SLOTS
}

/// Open addressing over all spellings, laid out by the compiler.
static TABLE: [u8; SLOTS] = {
    let mut table = [UNKNOWN; SLOTS];
    let mut kind = 0;
    while kind < VARIANTS.len() + OTHERS.len() {
        let texts = [known(kind).text.as_bytes(), known(kind).compact.as_bytes()];
        let mut which = 0;
        while which < 2 {
            if !texts[which].is_empty() {
                let mut slot = slot_of(texts[which]);
                while table[slot] != UNKNOWN {
                    slot = (slot + 1) % SLOTS;
                }
                table[slot] = kind as u8;
            }
            which += 1;
        }
        kind += 1;
    }
    table
};

/// The number of a name in any case or in its compact form.
pub(crate) fn kind_of(name: &[u8]) -> u8 {
    if name.is_empty() {
        return UNKNOWN;
    }
    let mut slot = slot_of(name);
    while TABLE[slot] != UNKNOWN {
        let known = known(usize::from(TABLE[slot]));
        let text = if name.len() == 1 {
            known.compact
        } else {
            known.text
        };
        if name.eq_ignore_ascii_case(text.as_bytes()) {
            return TABLE[slot];
        }
        slot = (slot + 1) % SLOTS;
    }
    UNKNOWN
}

/// The name that `kind` numbers; `None` for [`UNKNOWN`].
pub(crate) fn name_of(kind: u8) -> Option<Name<'static>> {
    (kind != UNKNOWN).then(|| known(usize::from(kind)).name)
}

impl<'a> Name<'a> {
    /// The name spelt `text`, in any case or compact.
    pub fn resolve(text: &'a str) -> Name<'a> {
        name_of(kind_of(text.as_bytes())).unwrap_or(Name::Other(text))
    }

    /// Whether values are addresses, in which parentheses are no comments.
    pub(crate) fn holds_addresses(&self) -> bool {
        matches!(
            self,
            Name::From
                | Name::To
                | Name::Contact
                | Name::Route
                | Name::RecordRoute
                | Name::ReferTo
                | Name::ReferredBy
                | Name::PAssertedIdentity
                | Name::Diversion
                | Name::HistoryInfo
                | Name::Geolocation
                | Name::Other(_)
        )
    }
}

impl PartialEq for Name<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.as_str().eq_ignore_ascii_case(other.as_str())
    }
}

impl Eq for Name<'_> {}

impl Hash for Name<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for byte in self.as_str().bytes() {
            state.write_u8(byte.to_ascii_lowercase());
        }
        state.write_u8(0xff);
    }
}

impl std::fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_name_is_found_in_any_case() {
        for kind in 0..VARIANTS.len() + OTHERS.len() {
            let known = known(kind);
            for text in [
                known.text.to_owned(),
                known.text.to_uppercase(),
                known.text.to_lowercase(),
            ] {
                assert_eq!(usize::from(kind_of(text.as_bytes())), kind, "{text}");
            }
            assert_eq!(usize::from(known.name.kind()), kind);
        }
    }

    #[test]
    fn compact_forms_are_resolved() {
        let pairs = [
            ("v", "Via"),
            ("F", "From"),
            ("t", "To"),
            ("i", "Call-ID"),
            ("m", "Contact"),
            ("c", "Content-Type"),
            ("L", "Content-Length"),
            ("s", "Subject"),
            ("k", "Supported"),
            ("r", "Refer-To"),
            ("b", "Referred-By"),
            ("x", "Session-Expires"),
            ("o", "Event"),
        ];
        for (compact, long) in pairs {
            assert_eq!(Name::resolve(compact).as_str(), long);
        }
        assert!(matches!(Name::resolve("q"), Name::Other("q")));
    }

    #[test]
    fn names_are_equal_whatever_their_case() {
        assert_eq!(Name::Other("x-FOO"), Name::Other("X-Foo"));
        assert_eq!(Name::resolve("vIA"), Name::Via);
        assert_ne!(Name::Via, Name::To);
    }
}
