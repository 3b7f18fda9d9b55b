//! Kinds of credentials that are not supported, each with the one to use instead.

use super::types::NoKey;

/// Word of a profile or a section, the reason, and what to use instead.
const INSTEAD: &[(&str, &str, &str)] = &[
    ("External", "a command of the operator prints the key", "CredentialsURI, or StsToken written by that command"),
    ("CloudSSO", "a person signs in", "RamRoleArn, OIDC or EcsRamRole"),
    ("OAuth", "a person signs in", "RamRoleArn, OIDC or EcsRamRole"),
    ("RsaKeyPair", "the cloud gave key pairs of this kind up", "RamRoleArn or AK"),
    ("RamRoleArnWithEcs", "it is two in one", "ChainableRamRoleArn with a source_profile of mode EcsRamRole"),
    ("rsa_key_pair", "the cloud gave key pairs of this kind up", "ram_role_arn or access_key"),
];

/// The error for a word that no recipe is made of. `place` names the profile or section, `what` the key.
pub(super) fn unsupported(place: &str, what: &str, word: &str) -> NoKey {
    if word.is_empty() {
        return NoKey::unusable(format!("{place} has no {what}"));
    }
    let (reason, instead) = match INSTEAD.iter().find(|(known, ..)| *known == word) {
        Some((_, reason, instead)) => (*reason, *instead),
        None if what == "mode" => ("it is unknown", "AK, StsToken, RamRoleArn, EcsRamRole, OIDC or CredentialsURI"),
        None => ("it is unknown", "access_key, ram_role_arn, oidc_role_arn or ecs_ram_role"),
    };
    let word: String = word.chars().filter(|c| !c.is_control()).take(40).collect();
    NoKey::unusable(format!("{place} is of {what} {word}, which is not supported ({reason}): use {instead}"))
}
