//! What the numbers and durations of a configuration may be, and how two of them relate. One line a
//! key: it is checked where the file is read, and the simulated world draws from it (spec: X50).

use super::types::parse_duration;
use serde::de::DeserializeOwned;
use std::fmt;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A program's configuration, whose numbers have bounds.
pub trait Configuration: DeserializeOwned {
    /// What each number, duration and list may be: the tables that others have as well, and its own.
    const BOUNDS: &'static [&'static [Bound]];
    /// What must hold between two of them, likewise.
    const RELATIONS: &'static [&'static [Relation]];

    /// All of its bounds.
    fn bounds() -> Vec<Bound> {
        Self::BOUNDS.concat()
    }

    /// All of its relations.
    fn relations() -> Vec<Relation> {
        Self::RELATIONS.concat()
    }
}

/// What a value is, which says how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole number.
    Number,
    /// A duration; counted in milliseconds.
    Span,
    /// The length of a list.
    Items,
}

impl Kind {
    /// `value` as one writes it in the file, without quotation marks.
    pub fn shown(self, value: u64) -> String {
        match self {
            Kind::Number => value.to_string(),
            Kind::Span => {
                let units = [(3_600_000, "h"), (60_000, "m"), (1000, "s")];
                let whole = |(length, _): &(u64, &str)| value > 0 && value.is_multiple_of(*length);
                let (length, unit) = units.into_iter().find(whole).unwrap_or((1, "ms"));
                format!("{}{unit}", value / length)
            }
            Kind::Items if value == 1 => "1 entry".to_owned(),
            Kind::Items => format!("{value} entries"),
        }
    }

    /// What a value of the file counts; `None` where it is something else, which its type refuses.
    fn count(self, value: &DeValue<'_>) -> Option<i128> {
        match (self, value) {
            (Kind::Number, DeValue::Integer(number)) => {
                i128::from_str_radix(number.as_str(), number.radix()).ok()
            }
            (Kind::Span, DeValue::String(text)) => {
                i128::try_from(parse_duration(text)?.as_millis()).ok()
            }
            (Kind::Items, DeValue::Array(items)) => i128::try_from(items.len()).ok(),
            _ => None,
        }
    }
}

/// What a key may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The key with its tables: `health.silence`, `trunk[].poll`.
    pub key: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The least, inclusive.
    pub least: u64,
    /// The most, inclusive.
    pub most: u64,
    /// What counts where the key is left out; `None` where it cannot be, or nothing relates to it.
    pub default: Option<u64>,
}

impl Bound {
    /// A whole number from `least` to `most`.
    pub const fn number(key: &'static str, least: u64, most: u64) -> Bound {
        Bound::of(key, Kind::Number, least, most)
    }

    /// A duration from `least` to `most` milliseconds.
    pub const fn span(key: &'static str, least: u64, most: u64) -> Bound {
        Bound::of(key, Kind::Span, least, most)
    }

    /// A list of `least` to `most` entries.
    pub const fn items(key: &'static str, least: u64, most: u64) -> Bound {
        Bound::of(key, Kind::Items, least, most)
    }

    const fn of(key: &'static str, kind: Kind, least: u64, most: u64) -> Bound {
        Bound {
            key,
            kind,
            least,
            most,
            default: None,
        }
    }

    /// The same with what counts where the key is left out (a duration in milliseconds), for keys
    /// that relate to others.
    pub const fn by_default(self, default: u64) -> Bound {
        Bound {
            default: Some(default),
            ..self
        }
    }
}

/// The range as an error tells it: `500ms to 30s`.
impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value| self.kind.shown(value);
        match self.kind {
            _ if self.least == self.most => write!(f, "exactly {}", shown(self.most)),
            Kind::Items => write!(f, "{} to {}", self.least, shown(self.most)),
            _ => write!(f, "{} to {}", shown(self.least), shown(self.most)),
        }
    }
}

/// `more` is at least `times` times `less`, where both are set or have a default; they stand in
/// tables that are there once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relation {
    /// The key of the greater one.
    pub more: &'static str,
    /// How many times.
    pub times: u64,
    /// The key of the lesser one.
    pub less: &'static str,
}

impl Relation {
    /// `more` is at least `times` times `less`.
    pub const fn at_least(more: &'static str, times: u64, less: &'static str) -> Relation {
        Relation { more, times, less }
    }
}

/// Where in the file something is wrong, the key with its tables, and what.
pub(super) type Fault = (Option<Range<usize>>, Option<String>, String);

/// Checks a file's values one by one.
pub(super) fn check_bounds(table: &DeTable<'_>, bounds: &[Bound]) -> Result<(), Fault> {
    for bound in bounds {
        visit(table, bound.key, "", &mut |key, value| {
            let Some(count) = bound.kind.count(value.get_ref()) else {
                return Ok(());
            };
            if (i128::from(bound.least)..=i128::from(bound.most)).contains(&count) {
                return Ok(());
            }
            let got = match value.get_ref() {
                DeValue::Array(_) => count.to_string(),
                DeValue::String(text) => text.to_string(),
                _ => count.to_string(),
            };
            let message = format!("expected {bound}, got {got}");
            Err((Some(value.span()), Some(key), message))
        })?;
    }
    Ok(())
}

/// Checks values against each other, where each by itself holds.
pub(super) fn check_relations(
    table: &DeTable<'_>,
    bounds: &[Bound],
    relations: &[Relation],
) -> Result<(), Fault> {
    relations
        .iter()
        .try_for_each(|relation| relate(table, bounds, relation))
}

fn relate(table: &DeTable<'_>, bounds: &[Bound], relation: &Relation) -> Result<(), Fault> {
    let side = |key: &str| {
        let bound = bounds.iter().find(|bound| bound.key == key)?;
        let mut set = None;
        let _ = visit(table, key, "", &mut |_, value| {
            let count = bound.kind.count(value.get_ref());
            set = count.and_then(|count| Some((u64::try_from(count).ok()?, value.span())));
            Ok(())
        });
        let value = set.as_ref().map(|(value, _)| *value).or(bound.default)?;
        let origin = if set.is_some() { "" } else { " by default" };
        let told = format!("{} ({}{origin})", bound.key, bound.kind.shown(value));
        Some((value, told, set.map(|(_, span)| span)))
    };
    let (Some(more), Some(less)) = (side(relation.more), side(relation.less)) else {
        return Ok(());
    };
    if more.0 >= less.0.saturating_mul(relation.times) {
        return Ok(());
    }
    let times = match relation.times {
        1 => String::new(),
        times => format!("{times} times "),
    };
    let message = format!("{}: expected at least {times}{}", more.1, less.1);
    Err((more.2.or(less.2), None, message))
}

/// Every value of the file at `key`, with its key as a message names it: `trunk[0].poll`.
fn visit<'t, 'i>(
    table: &'t DeTable<'i>,
    key: &str,
    before: &str,
    found: &mut dyn FnMut(String, &'t Spanned<DeValue<'i>>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let (name, rest) = match key.split_once('.') {
        Some((name, rest)) => (name, Some(rest)),
        None => (key, None),
    };
    let (name, is_list) = match name.strip_suffix("[]") {
        Some(name) => (name, true),
        None => (name, false),
    };
    let Some(value) = table.get(name) else {
        return Ok(());
    };
    let path = format!("{before}{name}");
    match (value.get_ref(), rest) {
        (_, None) => found(path, value),
        (DeValue::Table(inner), Some(rest)) => visit(inner, rest, &format!("{path}."), found),
        (DeValue::Array(items), Some(rest)) if is_list => {
            items.iter().enumerate().try_for_each(|(index, item)| {
                let before = format!("{path}[{index}].");
                match item.get_ref() {
                    DeValue::Table(inner) => visit(inner, rest, &before, found),
                    _ => Ok(()),
                }
            })
        }
        _ => Ok(()),
    }
}
