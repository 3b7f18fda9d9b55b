//! Lists the files of `migrations` for `adapters::store::schema`.

use std::{env, error::Error, fmt::Write as _, fs, path::Path};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=migrations");
    let folder = Path::new(&env::var("CARGO_MANIFEST_DIR")?).join("migrations");
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder)? {
        names.push(entry?.file_name().into_string().map_err(|name| format!("{} is no name", name.display()))?);
    }
    names.sort();
    let mut list = "[\n".to_owned();
    for name in names {
        let Some(stem) = name.strip_suffix(".sql") else { continue };
        let (version, rest) = stem.split_once('_').ok_or_else(|| format!("{name} has no version"))?;
        let version: i64 = version.parse()?;
        let description = rest.replace('_', " ");
        let path = folder.join(&name).display().to_string();
        writeln!(list, "({version}, {description:?}, include_str!({path:?})),")?;
    }
    list.push(']');
    fs::write(Path::new(&env::var("OUT_DIR")?).join("migrations.rs"), list)?;
    Ok(())
}
