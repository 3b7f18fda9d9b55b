//! Whether a database file is as long as its head says. SQLite reads a cut last page as if it ended in zeros.
//!
//! <https://sqlite.org/fileformat2.html#the_database_header>

use std::{
    fs::File,
    io::{self, Read as _},
    path::Path,
};

/// Bytes of the head.
const HEAD: usize = 100;
/// The first bytes of each database.
const MAGIC: &[u8] = b"SQLite format 3\0";

/// What is wrong with the length of a file; nothing if it is no database, which others report, or if a log belongs to it,
/// which may have pages that the file does not have yet.
pub(super) fn fault(path: &Path) -> io::Result<Option<String>> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    if std::fs::metadata(log).is_ok_and(|log| log.len() > 0) {
        return Ok(None);
    }
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut head = Vec::with_capacity(HEAD);
    file.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(fault_of(&head, length))
}

fn fault_of(head: &[u8], length: u64) -> Option<String> {
    if !head.starts_with(MAGIC) {
        return None;
    }
    let number = |at: usize| {
        let bytes = head.get(at..at.checked_add(4)?)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?))
    };
    let (Some(sizes), Some(changes), Some(pages), Some(valid_for)) = (number(16), number(24), number(28), number(92))
    else {
        return Some(format!("it ends within its head, after {length} bytes"));
    };
    // The first two bytes; 1 means 65536.
    let page = match sizes >> 16 {
        1 => 65_536,
        size => u64::from(size),
    };
    // A number of pages that an old SQLite did not keep is not valid; the file has whole pages in any case.
    let is_known = pages > 0 && changes == valid_for;
    let wanted = if is_known { page.saturating_mul(u64::from(pages)) } else { length.next_multiple_of(page.max(1)) };
    (length != wanted).then(|| {
        let how = if length < wanted { "cut off" } else { "too long" };
        format!("it is {how}: it has {length} bytes, and its head says {wanted}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(page: u16, changes: u32, pages: u32, valid_for: u32) -> Vec<u8> {
        let mut head = vec![0; HEAD];
        head[..16].copy_from_slice(MAGIC);
        head[16..18].copy_from_slice(&page.to_be_bytes());
        head[24..28].copy_from_slice(&changes.to_be_bytes());
        head[28..32].copy_from_slice(&pages.to_be_bytes());
        head[92..96].copy_from_slice(&valid_for.to_be_bytes());
        head
    }

    #[test]
    fn a_file_has_as_many_bytes_as_its_head_says() {
        for (head, length, wanted) in [
            (head(4096, 7, 3, 7), 12_288, None),
            (head(4096, 7, 3, 7), 12_188, Some("it is cut off: it has 12188 bytes, and its head says 12288")),
            (head(4096, 7, 3, 7), 8192, Some("cut off")),
            (head(4096, 7, 3, 7), 16_384, Some("too long")),
            (head(1, 7, 2, 7), 131_072, None),
            (head(4096, 7, 3, 6), 16_384, None),
            (head(4096, 7, 3, 6), 16_383, Some("cut off")),
            (head(0, 7, 3, 7), 12_288, Some("too long")),
            (MAGIC.to_vec(), 16, Some("it ends within its head, after 16 bytes")),
            (b"{}".to_vec(), 2, None),
        ] {
            let found = fault_of(&head, length);
            assert!(found.is_some() == wanted.is_some(), "{length}: {found:?}");
            assert!(wanted.is_none_or(|wanted| found.is_some_and(|found| found.contains(wanted))), "{length}");
        }
    }
}
