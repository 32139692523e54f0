//! Configuration files drawn from what the programs say that their keys may be.

use crate::sim::draw::Draw;
use holdline_host::config::{Bound, Configuration, Kind, Relation, parse};
use std::collections::BTreeMap;
use std::path::Path;

/// How often files are drawn until one is accepted.
const TRIES: u32 = 2000;

/// The lines of a table that are not drawn: the table, and `key = value`.
pub(super) type Fixed = (&'static str, String);

/// A drawn file, and what it is as the program reads it.
pub(super) struct Drawn<C> {
    pub config: C,
    /// What was drawn, in a line.
    pub told: String,
}

/// Values by key, in the order of the file.
type Values = BTreeMap<&'static str, u64>;

/// Draws files until `read` takes one; what it should not have taken, or should have, goes to
/// `faults`.
pub(super) fn draw_file<C: Configuration>(
    draw: &mut Draw,
    fixed: &[Fixed],
    validate: fn(&C) -> Result<(), String>,
    faults: &mut Vec<String>,
) -> Option<Drawn<C>> {
    let (bounds, relations) = (C::bounds(), C::relations());
    let read = |values: &Values| -> Result<C, String> {
        let text = written(&bounds, values, fixed);
        let config: C =
            parse(Path::new("drawn.toml"), &text, &|_| None).map_err(|error| error.to_string())?;
        validate(&config).map(|()| config)
    };
    for _ in 0..TRIES {
        let values = draw_values(draw, &bounds, &relations);
        let broken = relations.iter().find(|r| !holds(r, &bounds, &values));
        match (read(&values), broken) {
            (Ok(config), None) => {
                refuse_outside(draw, &values, &read, faults);
                let told = told(&bounds, &values);
                return Some(Drawn { config, told });
            }
            (Err(error), Some(_)) => {
                let named = relations
                    .iter()
                    .any(|r| error.contains(r.more) && error.contains(r.less));
                if !named {
                    faults.push(format!("the refusal names no two keys: {error}"));
                }
            }
            (Ok(_), Some(broken)) => faults.push(format!("accepted against {broken:?}")),
            (Err(error), None) => faults.push(format!("refused within all bounds: {error}")),
        }
    }
    faults.push(format!("no configuration was accepted in {TRIES}"));
    None
}

/// A value just outside of its range is refused, and its key is named.
fn refuse_outside<C: Configuration>(
    draw: &mut Draw,
    values: &Values,
    read: &dyn Fn(&Values) -> Result<C, String>,
    faults: &mut Vec<String>,
) {
    let bounds: Vec<Bound> = C::bounds().into_iter().filter(is_drawn).collect();
    let bound = bounds[draw.below(bounds.len() as u64) as usize];
    let outside = match draw.below(4) {
        0 | 1 if bound.least > 0 => bound.least - 1,
        2 => bound.most.saturating_mul(1000),
        _ => bound.most.saturating_add(1),
    };
    let mut values = values.clone();
    values.insert(bound.key, outside);
    let key = bound.key.replace("[]", "[0]");
    match read(&values) {
        Ok(_) => faults.push(format!("accepted {key} = {outside}")),
        Err(error) if !error.contains(&key) => {
            faults.push(format!("the refusal of {key} = {outside} says: {error}"));
        }
        Err(_) => {}
    }
}

fn is_drawn(bound: &Bound) -> bool {
    bound.kind != Kind::Items
}

/// Some keys are set: to an end of their range, to their default, or anywhere between; and where two
/// relate, often so that it just holds, or just does not.
fn draw_values(draw: &mut Draw, bounds: &[Bound], relations: &[Relation]) -> Values {
    let mut values = Values::new();
    for bound in bounds.iter().filter(|bound| is_drawn(bound)) {
        if draw.chance(500) {
            values.insert(bound.key, draw_value(draw, bound));
        }
    }
    for relation in relations {
        let Some(less) = value(relation.less, bounds, &values) else {
            continue;
        };
        let edge = less * relation.times;
        let edge = match draw.below(10) {
            0..=2 => edge,
            3 => edge.saturating_sub(1),
            _ => continue,
        };
        let bound = bounds.iter().find(|bound| bound.key == relation.more);
        if let Some(bound) = bound.filter(|bound| (bound.least..=bound.most).contains(&edge)) {
            values.insert(bound.key, edge);
        }
    }
    values
}

fn draw_value(draw: &mut Draw, bound: &Bound) -> u64 {
    let span = bound.most - bound.least;
    match draw.below(6) {
        0 => bound.least,
        1 => bound.most,
        2 => bound.default.unwrap_or(bound.least),
        _ => {
            // Small steps above the least as often as great ones.
            let bits = u64::from(64 - span.leading_zeros());
            let top = 1u64 << draw.below(bits.min(62) + 1);
            bound.least + draw.below(top.min(span) + 1)
        }
    }
}

fn value(key: &str, bounds: &[Bound], values: &Values) -> Option<u64> {
    let bound = bounds.iter().find(|bound| bound.key == key)?;
    values.get(key).copied().or(bound.default)
}

fn holds(relation: &Relation, bounds: &[Bound], values: &Values) -> bool {
    let value = |key| value(key, bounds, values);
    match (value(relation.more), value(relation.less)) {
        (Some(more), Some(less)) => more >= less * relation.times,
        // What is left out and has no default of its own follows the other one.
        _ => true,
    }
}

/// The file's text.
fn written(bounds: &[Bound], values: &Values, fixed: &[Fixed]) -> String {
    let mut tables: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (table, line) in fixed {
        tables.entry(table).or_default().push(line.clone());
    }
    for bound in bounds {
        let Some(value) = values.get(bound.key) else {
            continue;
        };
        let (table, key) = bound
            .key
            .rsplit_once('.')
            .expect("every number has a table");
        let value = match bound.kind {
            Kind::Span => format!("\"{}\"", bound.kind.shown(*value)),
            _ => bound.kind.shown(*value),
        };
        tables
            .entry(table)
            .or_default()
            .push(format!("{key} = {value}"));
    }
    let table = |(name, lines): (&str, Vec<String>)| {
        let head = match name.strip_suffix("[]") {
            Some(name) => format!("[[{name}]]"),
            None => format!("[{name}]"),
        };
        format!("{head}\n{}\n", lines.join("\n"))
    };
    tables.into_iter().map(table).collect()
}

fn told(bounds: &[Bound], values: &Values) -> String {
    let line = |bound: &Bound| {
        let value = values.get(bound.key)?;
        Some(format!("{} = {}", bound.key, bound.kind.shown(*value)))
    };
    bounds
        .iter()
        .filter_map(line)
        .collect::<Vec<_>>()
        .join(", ")
}
