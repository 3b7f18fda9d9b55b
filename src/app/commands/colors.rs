//! Colours in the texts of commands: escape sequences that take no room.

/// The text without the colours that the program uses.
pub(super) fn without_colors(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let color = color(rest);
        if color == 0 {
            plain.push(c);
        }
        rest = &rest[color.max(c.len_utf8())..];
    }
    plain
}

/// Length of the colour at the beginning of a text: `ESC [`, numbers and semicolons, `m`. Only what the program uses itself:
/// others hide text or make it blink.
pub(super) fn color(text: &str) -> usize {
    let Some(rest) = text.strip_prefix("\u{1b}[") else { return 0 };
    let length = rest.bytes().take_while(|byte| byte.is_ascii_digit() || *byte == b';').count();
    let is_own =
        |number: &str| number.is_empty() || matches!(number.parse(), Ok(0u8..=4 | 22 | 30..=37 | 39 | 90..=97));
    let is_color = rest[length..].starts_with('m') && rest[..length].split(';').all(is_own);
    if is_color { 2 + length + 1 } else { 0 }
}
