//! Paths: from the root on, because the daemon has no home, and other working folders than the commands.

use std::path::Path;

use super::reader::{Diagnostics, Item};

/// Pattern of [`absolute`].
pub(super) const ABSOLUTE: &str = "^/";
/// Maximum bytes of a socket's path: the kernel has room for 108 with the final NUL.
const LONGEST_SOCKET: usize = 107;

/// Reads a path from the root.
pub(super) fn absolute(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<String> {
    let text = item.text(out)?;
    if Path::new(text).is_absolute() {
        if text.contains("${") || text.contains("/$") {
            let message = format!("`{text}` has a variable in it, which is taken literally");
            out.warning(item.mark, "literal-variable", message, Some("write the whole path".into()));
        }
        return Some(text.to_owned());
    }
    let message = if text.trim().is_empty() {
        "this path is empty".to_owned()
    } else {
        format!("`{text}` is not an absolute path")
    };
    let hint = if text.starts_with('~') {
        "`~` means nothing to a service: write the path from `/` on"
    } else if text.contains(['$', '%']) {
        "variables mean nothing here: write the path from `/` on"
    } else {
        "daemon and commands run in different folders: write the path from `/` on, like \"/var/lib/imagebaked\""
    };
    out.error(item.mark, "bad-path", message, Some(hint.into()));
    None
}

/// Reads the path of a socket.
pub(super) fn socket(item: Item<'_, '_>, out: &mut Diagnostics) -> Option<String> {
    let path = absolute(item, out)?;
    if path.len() > LONGEST_SOCKET {
        let message = format!("a path of {} bytes is too long for a socket", path.len());
        out.error(item.mark, "bad-path", message, Some(format!("at most {LONGEST_SOCKET}")));
        return None;
    }
    if path.ends_with('/') {
        let hint = Some(format!("name the socket in it, like \"{path}control.sock\""));
        out.error(item.mark, "bad-path", format!("`{path}` is a folder, not a socket"), hint);
        return None;
    }
    Some(path)
}
