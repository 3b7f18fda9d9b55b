//! Mutations of JSON that stay JSON: they reach what a parser lets through.

#![allow(dead_code, reason = "not every fuzz target uses it")]

use fastrand::Rng;
use serde_json::{Value, json};

/// Texts that are special somewhere.
const TEXTS: &[&str] = &[
    "",
    "\u{1b}[2J",
    "\u{202e}",
    "a\nb",
    "null",
    "0",
    "-1",
    "18446744073709551616",
    "2026-11-28T00:00:00Z",
    "+262142-12-31T00:00:00Z",
    "2026-03-29 02:30:00",
    "1h",
    "99999999999999d",
    "AVAILABLE",
    "CREATE_FAILED",
    "building",
    "succeeded",
    "true",
    "200",
    "{}",
    "中文",
];

/// The document with one to four mutations; `None` if it is no JSON.
pub fn mutated(text: &[u8], random: &mut Rng) -> Option<Vec<u8>> {
    let mut document: Value = serde_json::from_slice(text).ok()?;
    for _ in 0..random.usize(1..5) {
        mutate(&mut document, random);
    }
    Some(document.to_string().into_bytes())
}

/// For the fuzzer: mutates the JSON after the first `prefix` bytes and returns the new size. `None` every second time, or
/// if it is no JSON or becomes too long: then the bytes are mutated.
pub fn mutate_in_place(data: &mut [u8], size: usize, most: usize, seed: u32, prefix: usize) -> Option<usize> {
    let mut random = Rng::with_seed(seed.into());
    let text = data.get(prefix..size).filter(|_| random.bool())?;
    let mutated = mutated(text, &mut random)?;
    let end = prefix + mutated.len();
    data.get_mut(prefix..end.min(most)).filter(|place| place.len() == mutated.len())?.copy_from_slice(&mutated);
    Some(end)
}

/// Mutates one value anywhere in it.
fn mutate(document: &mut Value, random: &mut Rng) {
    let count = count(document);
    let other = nth(document, &mut random.usize(..count)).map(|value| value.clone());
    let Some(value) = nth(document, &mut random.usize(..count)) else { return };
    match value {
        Value::Array(values) if !values.is_empty() && random.bool() => {
            let at = random.usize(..values.len());
            match random.u8(..3) {
                0 => drop(values.remove(at)),
                1 => values.push(values[at].clone()),
                _ => values.swap(at, 0),
            }
        }
        Value::Object(fields) if !fields.is_empty() && random.bool() => {
            let Some(name) = fields.keys().nth(random.usize(..fields.len())).cloned() else { return };
            let removed = fields.remove(&name).unwrap_or_default();
            if random.bool() {
                let name = if random.bool() { name.to_lowercase() } else { text(random).to_owned() };
                fields.insert(name, removed);
            }
        }
        // Some texts are documents themselves.
        Value::String(inside) if inside.starts_with('{') && random.u8(..4) > 0 => {
            if let Some(mutated) = mutated(inside.as_bytes(), random) {
                *inside = String::from_utf8_lossy(&mutated).into_owned();
            }
        }
        Value::Number(number) if random.bool() => {
            let number = number.as_i64().unwrap_or_default();
            *value = match random.u8(..4) {
                0 => number.saturating_add(1).into(),
                1 => number.saturating_neg().into(),
                2 => number.saturating_mul(1000).into(),
                _ => number.to_string().into(),
            };
        }
        value => *value = other.filter(|_| random.bool()).unwrap_or_else(|| special(random)),
    }
}

fn text(random: &mut Rng) -> &'static str {
    TEXTS[random.usize(..TEXTS.len())]
}

fn special(random: &mut Rng) -> Value {
    match random.u8(..9) {
        0 => Value::Null,
        1 => random.bool().into(),
        2 => random.i64(-2..12).into(),
        3 => i64::MAX.into(),
        4 => i64::MIN.into(),
        5 => json!(1e300),
        6 => json!([]),
        7 => json!({}),
        _ => text(random).into(),
    }
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(values) => values.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// The value with this number, counted from the outside.
fn nth<'a>(value: &'a mut Value, number: &mut usize) -> Option<&'a mut Value> {
    if *number == 0 {
        return Some(value);
    }
    *number -= 1;
    match value {
        Value::Array(values) => values.iter_mut().find_map(|value| nth(value, number)),
        Value::Object(fields) => fields.values_mut().find_map(|value| nth(value, number)),
        _ => None,
    }
}
