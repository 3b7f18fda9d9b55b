//! What a text of a crontab names: instances, and secrets that must not be shown.

use crate::adapters::{
    config::problem::mask,
    secrets::{Parts, shapes},
};

/// Maximum length of an id in a configuration.
const LONGEST_ID: usize = 64;

/// Instances that a command names, without duplicates.
pub(super) fn instances(command: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    for run in command.split(|c: char| !word(c)) {
        let id = run.trim_start_matches('-').trim_end_matches(['-', '_']);
        let Some((kind, rest)) = id.split_once('-') else { continue };
        let plain = !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        // Words such as `ws-proxy` are no ids; ids have digits.
        let known = kind == "ecd" || (kind == "ws" && rest.bytes().any(|byte| byte.is_ascii_digit()));
        if plain && known && id.len() <= LONGEST_ID && !found.iter().any(|other| other == id) {
            found.push(id.to_owned());
        }
    }
    found
}

/// The text without what looks like a secret.
pub(super) fn without_secrets(text: &str) -> String {
    without(&Parts::of(text), text)
}

/// A part of a line without the secrets of the line.
pub(super) fn without(secrets: &Parts, part: &str) -> String {
    mask(&secrets.hide(shapes::mask(part)))
}
