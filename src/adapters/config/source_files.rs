//! Reads the files of a configuration into sources: the main file and those of `conf.d`, in chunks.

use std::{io, path::Path};

use super::{
    bounded::{self, SIZE_LIMIT, TIME_LIMIT},
    chunks,
    files::{ContentHash, conf_d, files_of},
    problem::Severity,
    reader::{Diagnostics, Source},
};

/// Minimum bytes of a chunk: its document is then a few MiB.
const CHUNK_BYTES: usize = 64 * 1024;

/// Maximum bytes of a chunk, that is of a table or of all before the first `[[schedule]]`: a parsed document takes a
/// hundred times as much.
const LARGEST_CHUNK: usize = 1 << 20;

/// The main file, or `file` in its place, and those of `conf.d`, as far as they are readable.
pub(super) fn read_files(path: &Path, file: &Path, out: &mut Diagnostics) -> (Vec<Source>, String) {
    let mut sources = Vec::new();
    let mut print = ContentHash::default();
    let mut left = SIZE_LIMIT;
    read_file(file, &mut left, &mut sources, &mut print, out);
    let folder = conf_d(path);
    let paths = files_of(&folder).unwrap_or_else(|error| {
        unreadable(sources.len(), &folder, &error, out);
        Vec::new()
    });
    for path in &paths {
        read_file(path, &mut left, &mut sources, &mut print, out);
    }
    (sources, print.finish())
}

/// Adds the chunks of a file, of at most `left` bytes.
fn read_file(path: &Path, left: &mut u64, sources: &mut Vec<Source>, print: &mut ContentHash, out: &mut Diagnostics) {
    let index = sources.len();
    let bytes = match bounded::read_up_to(path, *left) {
        Ok(bytes) => {
            print.add(path, Some(&bytes));
            *left = left.saturating_sub(bytes.len() as u64);
            bytes
        }
        Err(error) => {
            print.add(path, None);
            unreadable(index, path, &error, out);
            return;
        }
    };
    if is_utf16(&bytes) {
        out.broken = true;
        let hint = "save the file as UTF-8".to_owned();
        out.file(index, path, Severity::Error, "bad-utf8", "this is UTF-16, not UTF-8".to_owned(), Some(hint));
        return;
    }
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        out.broken = true;
        let message = format!("this is no text: byte {} is NUL", at + 1);
        let hint = "name a configuration file; an editor shows what this one is".to_owned();
        out.file(index, path, Severity::Error, "not-text", message, Some(hint));
        return;
    }
    let text = String::from_utf8(bytes).unwrap_or_else(|error| {
        // Up to the first invalid byte the lossy text equals the file, so that the place is right.
        let at = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
        let source = Source::new(index, path, text, false);
        let hint = Some("save the file as UTF-8".into());
        out.broken = true;
        out.error(source.mark(at..at), "bad-utf8", "this is not UTF-8", hint);
        source.text
    });
    // Some editors begin a file with a byte order mark, which is no column.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let mut lines = 0;
    for chunk in chunks::split_at_headers(text, CHUNK_BYTES) {
        let chunk = &text[chunk];
        if chunk.len() > LARGEST_CHUNK {
            let message = format!("{} bytes without a [[schedule]] header in between are too many", chunk.len());
            let hint = format!("one table may have {} KiB; divide it into several schedules", LARGEST_CHUNK >> 10);
            let mut source = Source::new(index, path, String::new(), false);
            source.lines_before = lines;
            out.broken = true;
            out.error(source.mark(0..0), "too-large", message, Some(hint));
            return;
        }
        let mut source = Source::new(sources.len(), path, chunk.to_owned(), false);
        source.lines_before = lines;
        lines += chunk.matches('\n').count();
        sources.push(source);
    }
}

fn unreadable(index: usize, path: &Path, error: &io::Error, out: &mut Diagnostics) {
    out.broken = true;
    let (code, message, hint) = match error.kind() {
        io::ErrorKind::NotFound if path.is_symlink() => (
            "no-file",
            "this link leads to a file that does not exist".to_owned(),
            "create that file, or remove the link",
        ),
        io::ErrorKind::NotFound => {
            let hint =
                "`imagebaked init` writes one; config/imagebaked.toml of the distribution is a commented example";
            ("no-file", "there is no such file".to_owned(), hint)
        }
        io::ErrorKind::IsADirectory => ("not-a-file", "this is a folder".to_owned(), "name the file in it"),
        io::ErrorKind::InvalidInput => ("not-a-file", "this is a socket".to_owned(), "name a file"),
        io::ErrorKind::NotADirectory if !path.exists() => {
            let file = path.ancestors().skip(1).find(|above| above.exists()).unwrap_or(path).display();
            ("not-a-folder", format!("{file} is a file, so there is nothing below it"), "name that file, or a folder")
        }
        io::ErrorKind::InvalidFilename => {
            ("no-file", "no file can have so long a name".to_owned(), "name a file that there is")
        }
        io::ErrorKind::NotADirectory => {
            ("not-a-folder", "this is not a folder".to_owned(), "conf.d holds *.toml files")
        }
        io::ErrorKind::PermissionDenied => (
            "unreadable",
            "this cannot be read: permission denied".to_owned(),
            "the daemon's user must be able to read it",
        ),
        io::ErrorKind::TimedOut => (
            "too-slow",
            format!("this pipe did not end within {} s", TIME_LIMIT.as_secs()),
            "the writer must close it; for a long wait, write a file first",
        ),
        io::ErrorKind::FileTooLarge => (
            "too-large",
            format!("with this the configuration is larger than {} MiB", SIZE_LIMIT >> 20),
            "shared keys belong into [defaults] or a profile",
        ),
        _ if path.is_symlink() => {
            ("unreadable", format!("this link cannot be read: {error}"), "name the file itself, or correct the link")
        }
        _ => ("unreadable", format!("this cannot be read: {error}"), "see whether the disk is sound"),
    };
    out.file(index, path, Severity::Error, code, message, Some(hint.into()));
}
/// Whether these bytes are UTF-16: by its mark, or by the NUL beside each letter of its beginning.
fn is_utf16(bytes: &[u8]) -> bool {
    let first: Vec<&[u8]> = bytes.chunks_exact(2).take(16).collect();
    let letters = |zero: usize| !first.is_empty() && first.iter().all(|pair| pair[zero] == 0 && pair[1 - zero] != 0);
    bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]) || letters(0) || letters(1)
}
