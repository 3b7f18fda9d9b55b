//! The way to a file: the folders of its path, and those to which links on it lead.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs,
    path::{Component, Path, PathBuf},
};

/// Links that are followed, as the kernel does.
const MOST_LINKS: usize = 40;

/// Whoever can change one of these folders or links decides what the path leads to.
#[derive(Debug, Default)]
pub(super) struct Way {
    /// Each once, from the root.
    pub(super) folders: Vec<PathBuf>,
    /// Links, each with the folder that it is in.
    pub(super) links: Vec<(PathBuf, PathBuf)>,
    /// Where it ends.
    pub(super) end: PathBuf,
}

impl Way {
    /// Follows the path. What is not there ends it.
    pub(super) fn to(path: &Path) -> Self {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let mut names: VecDeque<OsString> = VecDeque::new();
        put_before(&mut names, &path);
        let mut way = Self { end: PathBuf::from("/"), ..Self::default() };
        while let Some(name) = names.pop_front() {
            if name == ".." {
                way.end.pop();
                continue;
            }
            let folder = way.end.clone();
            let next = folder.join(&name);
            if !way.folders.contains(&folder) {
                way.folders.push(folder.clone());
            }
            match fs::read_link(&next) {
                Ok(target) if way.links.len() < MOST_LINKS => {
                    way.links.push((next, folder));
                    if target.is_absolute() {
                        way.end = PathBuf::from("/");
                    }
                    put_before(&mut names, &target);
                }
                _ => way.end = next,
            }
        }
        way
    }
}

fn put_before(names: &mut VecDeque<OsString>, path: &Path) {
    let parts: Vec<OsString> = path
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_owned()),
            Component::ParentDir => Some("..".into()),
            _ => None,
        })
        .collect();
    for part in parts.into_iter().rev() {
        names.push_front(part);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_folder_on_the_way_is_named_once() {
        let place = tempfile::tempdir().unwrap();
        let root = fs::canonicalize(place.path()).unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::create_dir_all(root.join("c/d")).unwrap();
        fs::write(root.join("c/d/file"), "").unwrap();
        symlink("../../c/x", root.join("a/b/link")).unwrap();
        symlink(root.join("c/d/../d"), root.join("c/x")).unwrap();
        let way = Way::to(&root.join("a/b/link/file"));
        let below = |folder: &PathBuf| folder.strip_prefix(&root).ok().map(|rest| rest.display().to_string());
        let folders: Vec<String> = way.folders.iter().filter_map(below).collect();
        assert_eq!(folders, ["", "a", "a/b", "c", "c/d"]);
        assert_eq!(way.links.len(), 2);
        assert_eq!(way.end, root.join("c/d/file"));
        symlink("loop", root.join("loop")).unwrap();
        assert_eq!(Way::to(&root.join("loop")).links.len(), MOST_LINKS, "a circle ends");
        assert_eq!(Way::to(&root.join("none/x")).end, root.join("none/x"));
    }
}
