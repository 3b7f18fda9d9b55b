//! What it means that a configuration has another owner, another history or another image service than the one before: keys
//! by which images and open bakes are found.

use std::{collections::BTreeSet, path::Path};

use crate::{
    adapters::{
        config::Config,
        store::{Reader, StoreError, WorkInCloud},
    },
    domain::text::counted,
};

/// Effect of an edit on images and open bakes: a sentence for each of the keys that changed, none if there is nothing to
/// lose.
///
/// # Errors
///
/// `StoreError` if the history cannot be read.
pub async fn identity_changes(reader: &Reader, old: &Config, new: &Config) -> Result<Vec<String>, StoreError> {
    Ok(sentences(old, new, reader.work_in_cloud().await?))
}

/// The same where only the history shows what was before: of another owner than that of the last start.
///
/// # Errors
///
/// `StoreError` if the history cannot be read.
pub async fn changed_owner(reader: &Reader, config: &Config) -> Result<Option<String>, StoreError> {
    let former = reader.owner().await?;
    let Some(former) = former.filter(|former| former != config.written_owner()) else { return Ok(None) };
    Ok(of_owner(&former, config.written_owner(), reader.work_in_cloud().await?))
}

fn sentences(old: &Config, new: &Config, work: WorkInCloud) -> Vec<String> {
    let keys: BTreeSet<String> = new.restart_keys(old).into_iter().collect();
    let mut sentences = Vec::new();
    if keys.contains("daemon.owner") {
        sentences.extend(of_owner(old.written_owner(), new.written_owner(), work));
    }
    if work == WorkInCloud::default() {
        return sentences;
    }
    if keys.contains("daemon.state_dir") {
        sentences.push(of_state_dir(&old.daemon.state_dir, &new.daemon.state_dir, work));
    }
    if let Some(key) = ["cloud.endpoint", "cloud.region"].into_iter().find(|key| keys.contains(*key)) {
        let what = in_numbers(work);
        sentences.push(format!(
            "{key}: from the next start on {what} of this history are looked for at another image service. If that is of \
             another region or account, they count as gone there; give it a state_dir of its own"
        ));
    }
    sentences
}

fn of_owner(former: &str, owner: &str, work: WorkInCloud) -> Option<String> {
    if work == WorkInCloud::default() {
        return None;
    }
    let images = match work.images {
        0 => String::new(),
        n => format!(
            ": {} not ours any more, neither counted nor deleted, and no good image",
            counted(n, "image of the former owner is", "images of the former owner are")
        ),
    };
    let open = match work.open {
        0 => String::new(),
        n => format!("; {} under the former one", counted(n, "open bake ends", "open bakes end")),
    };
    Some(format!("daemon.owner is {owner:?}, before it was {former:?}{images}{open}"))
}

fn of_state_dir(old: &Path, new: &Path, work: WorkInCloud) -> String {
    format!(
        "daemon.state_dir: from the next start on the history is the one in {}; {} of the one in {} are not known there unless it \
         is moved",
        new.display(),
        in_numbers(work),
        old.display()
    )
}

fn in_numbers(work: WorkInCloud) -> String {
    format!("{} and {}", counted(work.images, "image", "images"), counted(work.open, "open bake", "open bakes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::config;

    fn config(keys: &str) -> Config {
        let text = format!("{keys}\n[[schedule]]\nname = \"golden\"\ninstance_id = \"ecd-1\"\ncron = \"0 3 * * *\"\n");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("imagebaked.toml");
        std::fs::write(&path, text).unwrap();
        config::load(&path, &std::collections::BTreeMap::new()).unwrap().config
    }

    #[test]
    fn another_owner_history_or_image_service_says_what_it_means() {
        let work = WorkInCloud { images: 7, open: 1 };
        let old = config("");
        let said = |keys: &str| sentences(&old, &config(keys), work);
        assert_eq!(
            said("[daemon]\nowner = \"other\""),
            [
                "daemon.owner is \"other\", before it was \"imagebaked\": 7 images of the former owner are not ours any more, \
              neither counted nor deleted, and no good image; 1 open bake ends under the former one"
            ]
        );
        assert!(said("[daemon]\nstate_dir = \"/elsewhere\"")[0].contains("7 images and 1 open bake"));
        assert!(said("[cloud]\nregion = \"cn-hangzhou\"")[0].starts_with("cloud.region: "));
        assert_eq!(said("[daemon]\nmax_builders = 2"), [""; 0]);
        let nothing = sentences(&old, &config("[daemon]\nowner = \"other\""), WorkInCloud::default());
        assert_eq!(nothing, [""; 0], "nothing is lost before the first image");
    }

    #[test]
    fn a_reloaded_owner_waits_for_the_next_start() {
        let old = config("");
        let kept = config("[daemon]\nowner = \"other\"").keeping_owner(&old.daemon.owner);
        assert_eq!((kept.daemon.owner.as_str(), kept.written_owner()), ("imagebaked", "other"));
        assert_eq!(kept.restart_keys(&old), ["daemon.owner"]);
        // The same files read once more change nothing.
        let now = chrono::DateTime::UNIX_EPOCH;
        assert!(config("[daemon]\nowner = \"other\"").diff(&kept, now, now).is_empty());
    }
}
