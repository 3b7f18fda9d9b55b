//! A line of a file or of a command, with its words and quotes.

use std::ops::Range;

/// Longest name that is looked for before a sign, in bytes.
const LONGEST_NAME: usize = 100;

/// A line.
pub(super) struct Line<'l> {
    pub bytes: &'l [u8],
    /// The quote that is open at each byte; 0 for none.
    open: Vec<u8>,
    /// A quote is open at its end: where words end is doubtful.
    is_unbalanced: bool,
}

impl<'l> Line<'l> {
    pub(super) fn new(bytes: &'l [u8]) -> Self {
        let mut open = Vec::with_capacity(bytes.len());
        let mut quote = 0;
        let is_letter = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_alphabetic);
        let mut is_escaped = false;
        for (at, byte) in bytes.iter().enumerate() {
            open.push(quote);
            if is_escaped {
                is_escaped = false;
            } else if *byte == b'\\' {
                is_escaped = true;
            } else if quote == *byte {
                quote = 0;
            } else if quote == 0 && matches!(byte, b'"' | b'\'') {
                let is_apostrophe = *byte == b'\'' && is_letter(at.checked_sub(1)) && is_letter(Some(at + 1));
                quote = if is_apostrophe { 0 } else { *byte };
            }
        }
        Self { bytes, open, is_unbalanced: quote != 0 }
    }

    /// Whether the byte is inside of quotes.
    pub(super) fn is_quoted(&self, at: usize) -> bool {
        self.open.get(at).is_some_and(|quote| *quote != 0)
    }

    /// Whether this byte stands inside of quotes of this kind, so that such a one closes them.
    pub(super) fn is_quoted_by(&self, at: usize, quote: u8) -> bool {
        quote != 0 && self.open.get(at) == Some(&quote)
    }

    /// The name before a sign; blanks and quotes may stand between.
    pub(super) fn name_before(&self, sign: usize) -> Range<usize> {
        let is_between = |byte: &u8| byte.is_ascii_whitespace() || b"\"'\\".contains(byte);
        let gap = self.bytes[..sign].iter().rev().take_while(|byte| is_between(byte)).count();
        let end = sign - gap;
        let length = self.bytes[..end].iter().rev().take(LONGEST_NAME).take_while(|byte| is_of_name(**byte)).count();
        end - length..end
    }

    /// Whether a name at this byte begins the line, a command of the shell, or a member of a list or table.
    pub(super) fn begins_at(&self, at: usize) -> bool {
        let before = &self.bytes[..at];
        let blanks = before.iter().rev().take_while(|byte| byte.is_ascii_whitespace()).count();
        match before[..before.len() - blanks].last() {
            None => true,
            Some(byte) => b"\"'{[,(-#:=;&|".contains(byte),
        }
    }

    /// The value that begins here. `has_blanks`: it may have some, so that only the end of the line or a quote ends it.
    pub(super) fn value(&self, at: usize, has_blanks: bool) -> Range<usize> {
        let bytes = self.bytes;
        let at = at.min(bytes.len());
        let blanks =
            if has_blanks { bytes[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count() } else { 0 };
        let first = at + blanks;
        let around = self.open.get(first).copied().unwrap_or_default();
        let own = bytes.get(first).copied().filter(|byte| matches!(byte, b'"' | b'\'') && *byte != around);
        if let Some(quote) = own {
            let Some(end) = self.closing(first + 1, quote) else { return at..bytes.len() };
            // A member of a list or a table; else the rest is as doubtful as the value.
            let follows = bytes[end..].iter().find(|byte| !byte.is_ascii_whitespace());
            let is_member = follows.is_none_or(|byte| b",}])".contains(byte));
            let is_word = !has_blanks && bytes.get(end).is_none_or(u8::is_ascii_whitespace);
            if is_member || is_word {
                return at..end;
            }
        }
        let end_of_around = if around == 0 { None } else { self.closing(first, around).map(|end| end - 1) };
        let limit = end_of_around.unwrap_or(bytes.len());
        if has_blanks || around != 0 || own.is_some() && self.is_unbalanced {
            return at..limit;
        }
        at..self.end_of_shell_word(first, limit)
    }

    /// The value of an option that ends at `end`: the next word, quoted or not.
    pub(super) fn next_value(&self, end: usize) -> Option<Range<usize>> {
        // The sign is a matter of the name.
        let gap = self.bytes.get(end..)?;
        if gap.first().is_some_and(|byte| b"=:".contains(byte)) {
            return None;
        }
        let between = gap.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == b',').count();
        let closes = gap.first().is_some_and(|byte| matches!(byte, b'"' | b'\''));
        let start = if closes {
            // `"-u", "x"`: the next member of a list.
            let rest = &gap[1..];
            end + 1 + rest.iter().take_while(|byte| byte.is_ascii_whitespace() || **byte == b',').count()
        } else {
            end + between
        };
        let first = *self.bytes.get(start)?;
        let is_option = self.bytes[start..].starts_with(b"--") || first == b'-' && between == 0;
        if is_option || start == end || b"`)]}=:".contains(&first) {
            return None;
        }
        if self.is_quoted(start) && !matches!(first, b'"' | b'\'') {
            // A command inside of quotes: the word ends at a blank, and the rest of it is shown.
            let limit = self.closing(start, self.open[start]).map_or(self.bytes.len(), |end| end - 1);
            return Some(start..self.end_of_shell_word(start, limit));
        }
        Some(self.value(start, false))
    }

    fn end_of_shell_word(&self, start: usize, limit: usize) -> usize {
        let mut at = start;
        while at < limit {
            match self.bytes[at] {
                b'\\' => at += 2,
                quote @ (b'"' | b'\'') => match self.closing(at + 1, quote) {
                    Some(end) => at = end,
                    None => return limit,
                },
                byte if byte.is_ascii_whitespace() || byte == 0 => break,
                _ => at += 1,
            }
        }
        at.min(limit)
    }

    /// The byte after the quote that closes.
    fn closing(&self, from: usize, quote: u8) -> Option<usize> {
        let mut at = from;
        while let Some(byte) = self.bytes.get(at) {
            match byte {
                b'\\' if quote == b'"' => at += 2,
                byte if *byte == quote => return Some(at + 1),
                _ => at += 1,
            }
        }
        None
    }

    /// Where words begin: after a blank, a quote or a sign of the shell.
    pub(super) fn words(&self) -> impl Iterator<Item = usize> + use<'_, 'l> {
        let is_before = |byte: u8| byte.is_ascii_whitespace() || b"\"'`[](){},;|&<>=".contains(&byte) || byte == 0;
        let begins = move |at: &usize| !is_before(self.bytes[*at]) && (*at == 0 || is_before(self.bytes[*at - 1]));
        (0..self.bytes.len()).filter(begins)
    }

    /// The word at this byte, up to a blank, a quote or the end of a member.
    pub(super) fn whole_word(&self, at: usize) -> &'l [u8] {
        let is_end = |byte: &u8| byte.is_ascii_whitespace() || b"\"'`,])}".contains(byte);
        self.bytes[at..].split(is_end).next().unwrap_or_default()
    }

    /// The word at this byte, without a sign and its value.
    pub(super) fn word(&self, at: usize) -> Range<usize> {
        at..at + self.bytes[at..].iter().take_while(|byte| is_of_name(**byte)).count()
    }
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)
}
