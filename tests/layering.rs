//! The shape of the sources: imports point inwards, in one order inside the domain and in no circle, and each outside world is
//! behind one module.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not recognised as tests")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use syn::visit::{self, Visit};

/// `["domain", "bake", "state"]`; the crate itself is empty.
type ModulePath = Vec<String>;

/// The modules of the domain in the order in which they are built: each imports only from itself and from those before it.
const DOMAIN_ORDER: &[&[&str]] = &[
    &["similar", "suggestion", "text"],
    &["clock", "error", "ids"],
    &["calendar"],
    &["time"],
    &["catch_up"],
    &["hooks"],
    &["api"],
    &["bake"],
    &["schedule"],
    &["pause"],
    &["image"],
    &["plan"],
    &["history"],
    &["health"],
    &["event"],
    &["status"],
    &["schedule_rows"],
    &["page"],
];

/// What adapters may import of each other: the folder of files, where tests let the daemon die, and the secrets to mask.
const SHARED_ADAPTERS: &[&str] = &["files", "failpoint", "secrets"];

/// Crates of one outside world, and the only modules that use them.
const WORLDS: &[(&str, &[&str])] = &[
    ("tokio_cron_scheduler", &["app::daemon::housekeeping::scheduler"]),
    ("reqwest", &["adapters::cloud::http"]),
    ("sqlx", &["adapters::store"]),
    ("figment", &["adapters::config"]),
    ("sd_notify", &["adapters::systemd"]),
    ("signal_hook", &["app::daemon::signals", "adapters::failpoint"]),
    ("signal_hook_tokio", &["app::daemon::signals"]),
    ("axum", &["adapters::web", "sim"]),
    ("hyper", &["adapters::web", "sim"]),
    ("maud", &["adapters::web"]),
    ("clap", &["app", "adapters::telemetry"]),
];

/// What the domain may not use: it is pure.
const IMPURE: &[&str] = &[
    "tokio",
    "sqlx",
    "reqwest",
    "figment",
    "hyper",
    "axum",
    "tracing",
    "std::fs",
    "std::env",
    "std::net",
    "std::process",
];

struct Module {
    path: ModulePath,
    file: PathBuf,
    syntax: syn::File,
}

/// Every module that is compiled into the product, with its syntax.
fn modules() -> Vec<Module> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    walk(&root, &mut files);
    files.sort();
    let is_test = |file: &PathBuf| {
        let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
        stem.ends_with("tests") || stem.ends_with("_model") || stem == "main"
    };
    let modules: Vec<Module> = files
        .into_iter()
        .filter(|file| !is_test(file))
        .map(|file| {
            let inside = file.strip_prefix(&root).unwrap().with_extension("");
            let mut path: ModulePath = inside.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            if path.last().is_some_and(|last| last == "mod" || last == "lib") {
                path.pop();
            }
            let syntax = syn::parse_file(&fs::read_to_string(&file).unwrap()).unwrap();
            Module { path, file: inside, syntax }
        })
        .collect();
    assert!(modules.len() > 150, "the walk lost its way");
    modules
}

/// The paths that a module names, as they are written; what is only for tests is left out.
#[derive(Default)]
struct Paths {
    /// Each with whether it is re-exported.
    found: Vec<(Vec<String>, bool)>,
    has_async: bool,
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Path>().is_ok_and(|path| path.is_ident("test"))
    })
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        let attributes = match item {
            syn::Item::Mod(item) => &item.attrs,
            syn::Item::Use(item) => &item.attrs,
            syn::Item::Fn(item) => &item.attrs,
            syn::Item::Impl(item) => &item.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !is_for_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        let is_public = !matches!(item.vis, syn::Visibility::Inherited);
        let mut flat = Vec::new();
        flatten(&mut Vec::new(), &item.tree, &mut flat);
        self.found.extend(flat.into_iter().map(|path| (path, is_public)));
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.segments.len() > 1 {
            self.found.push((path.segments.iter().map(|segment| segment.ident.to_string()).collect(), false));
        }
        visit::visit_path(self, path);
    }

    fn visit_signature(&mut self, signature: &'ast syn::Signature) {
        self.has_async |= signature.asyncness.is_some();
        visit::visit_signature(self, signature);
    }
}

fn flatten(before: &mut Vec<String>, tree: &syn::UseTree, found: &mut Vec<Vec<String>>) {
    match tree {
        syn::UseTree::Path(path) => {
            before.push(path.ident.to_string());
            flatten(before, &path.tree, found);
            before.pop();
        }
        syn::UseTree::Name(name) if name.ident == "self" => found.push(before.clone()),
        syn::UseTree::Name(name) => found.push([before.as_slice(), &[name.ident.to_string()]].concat()),
        syn::UseTree::Rename(name) => found.push([before.as_slice(), &[name.ident.to_string()]].concat()),
        syn::UseTree::Glob(_) => found.push(before.clone()),
        syn::UseTree::Group(group) => group.items.iter().for_each(|tree| flatten(before, tree, found)),
    }
}

/// What each module imports: other modules of ours, and paths of other crates.
struct Imports {
    of: BTreeMap<ModulePath, BTreeSet<ModulePath>>,
    foreign: BTreeMap<ModulePath, BTreeSet<String>>,
    is_async: BTreeSet<ModulePath>,
}

fn imports() -> Imports {
    let modules = modules();
    let known: BTreeSet<ModulePath> = modules.iter().map(|module| module.path.clone()).collect();
    let mut imports = Imports { of: BTreeMap::new(), foreign: BTreeMap::new(), is_async: BTreeSet::new() };
    for Module { path, syntax, .. } in &modules {
        let mut paths = Paths::default();
        paths.visit_file(syntax);
        if paths.has_async {
            imports.is_async.insert(path.clone());
        }
        let of = imports.of.entry(path.clone()).or_default();
        for (written, is_public) in paths.found {
            let Some(absolute) = resolve(path, &written, &known) else {
                imports.foreign.entry(path.clone()).or_default().insert(written.join("::"));
                continue;
            };
            let target = (0..=absolute.len()).rev().map(|n| absolute[..n].to_vec()).find(|path| known.contains(path));
            let target = target.unwrap_or_default();
            // A facade shows what its children have; that is no use of it.
            let is_facade = is_public && target.len() > path.len() && target.starts_with(path);
            if target != *path && !target.is_empty() && !is_facade {
                of.insert(target);
            }
        }
    }
    imports
}

/// The path from the root of the crate; `None` for one of another crate.
fn resolve(module: &[String], written: &[String], known: &BTreeSet<ModulePath>) -> Option<ModulePath> {
    match written.first()?.as_str() {
        "crate" => Some(written[1..].to_vec()),
        "self" => Some([module, &written[1..]].concat()),
        "super" => {
            let ups = written.iter().take_while(|part| *part == "super").count();
            Some([&module[..module.len().checked_sub(ups)?], &written[ups..]].concat())
        }
        first => {
            let child = [module, &[first.to_owned()]].concat();
            known.contains(&child).then(|| [module, written].concat())
        }
    }
}

#[test]
fn every_module_is_in_a_ring() {
    for Module { path, file, .. } in modules() {
        let ring = path.first().map(String::as_str);
        let is_there = matches!(ring, None | Some("domain" | "adapters" | "app" | "sim"));
        assert!(is_there, "src/{} belongs to no ring", file.display());
    }
}

#[test]
fn imports_point_inwards() {
    let mut wrong = Vec::new();
    for (from, targets) in imports().of {
        for to in targets {
            let allowed = match (from.first().map(String::as_str), to[0].as_str()) {
                (None, _) | (_, "domain") | (Some("app"), "adapters" | "app") | (Some("sim"), "sim") => true,
                (Some("adapters"), "adapters") => {
                    to.get(1) == from.get(1) || from.len() == 1 || SHARED_ADAPTERS.contains(&to[1].as_str())
                }
                (Some("app"), "sim") => from.get(1).is_some_and(|room| room == "commands"),
                _ => false,
            };
            if !allowed {
                wrong.push(format!("{} -> {}", from.join("::"), to.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "imports point outwards:\n{}", wrong.join("\n"));
}

#[test]
fn the_domain_is_built_in_order() {
    let rank = |module: &ModulePath| {
        let room = module.get(1)?.as_str();
        Some(
            DOMAIN_ORDER
                .iter()
                .position(|rooms| rooms.contains(&room))
                .unwrap_or_else(|| panic!("{room} has no place")),
        )
    };
    let mut wrong = Vec::new();
    for (from, targets) in imports().of {
        for to in targets.iter().filter(|to| from.first().is_some_and(|ring| ring == "domain") && to[0] == "domain") {
            let (Some(own), Some(other)) = (rank(&from), rank(to)) else { continue };
            if other > own {
                wrong.push(format!("{} -> {}", from.join("::"), to.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "the domain imports what is built later:\n{}", wrong.join("\n"));
}

#[test]
fn the_domain_is_pure() {
    let imports = imports();
    for (module, paths) in &imports.foreign {
        // `domain::clock` is where the system is asked for the time.
        if module.first().is_none_or(|ring| ring != "domain") || module == &["domain", "clock"] {
            continue;
        }
        for path in paths {
            let is_impure = IMPURE.iter().any(|world| path == world || path.starts_with(&format!("{world}::")));
            assert!(!is_impure, "{} uses {path}", module.join("::"));
        }
    }
    let is_async: Vec<_> =
        imports.is_async.iter().filter(|module| module.first().is_some_and(|ring| ring == "domain")).collect();
    assert!(is_async.is_empty(), "{is_async:?}");
}

#[test]
fn no_modules_form_a_circle() {
    let circles: Vec<String> = circles(&imports().of).iter().map(|circle| circle.join(", ")).collect();
    assert!(circles.is_empty(), "these modules import each other:\n{}", circles.join("\n"));
}

/// Sets of modules of which each can be reached from each.
fn circles(of: &BTreeMap<ModulePath, BTreeSet<ModulePath>>) -> BTreeSet<Vec<String>> {
    let reach: BTreeMap<&ModulePath, BTreeSet<&ModulePath>> = of
        .keys()
        .map(|from| {
            let (mut seen, mut open) = (BTreeSet::new(), vec![from]);
            while let Some(next) = open.pop() {
                for to in of.get(next).into_iter().flatten() {
                    if seen.insert(to) {
                        open.push(to);
                    }
                }
            }
            (from, seen)
        })
        .collect();
    of.keys()
        .filter(|module| reach[module].contains(module))
        .map(|module| {
            let with = reach[module].iter().filter(|other| reach.get(*other).is_some_and(|back| back.contains(module)));
            with.map(|module| module.join("::")).collect()
        })
        .collect()
}

#[test]
fn circles_are_found() {
    let module = |name: &str| vec![name.to_owned()];
    let of: BTreeMap<ModulePath, BTreeSet<ModulePath>> =
        [("a", vec!["b"]), ("b", vec!["c"]), ("c", vec!["b"]), ("d", vec!["a"])]
            .into_iter()
            .map(|(from, to)| (module(from), to.into_iter().map(module).collect()))
            .collect();
    assert_eq!(circles(&of), BTreeSet::from([vec!["b".to_owned(), "c".to_owned()]]));
}

#[test]
fn each_outside_world_is_behind_one_module() {
    for (module, paths) in imports().foreign {
        let module = module.join("::");
        for (world, users) in WORLDS {
            let uses = paths.iter().any(|path| path == world || path.starts_with(&format!("{world}::")));
            let allowed = users.iter().any(|user| module == *user || module.starts_with(&format!("{user}::")));
            assert!(!uses || allowed, "{module} uses {world}");
        }
    }
}
