//! Fits blocks of lines into the height of a terminal: each block has a line at least, and what is left out is named.

use std::collections::HashSet;

use unicode_width::UnicodeWidthStr as _;

use super::{super::colors::without_colors, shorten::message};

/// What a terminal has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// Lines.
    pub(super) lines: usize,
    /// Columns.
    pub(super) width: usize,
}

/// Lines of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// A line that stays as it is, such as a command to copy.
    Line(String),
    /// A text that is shortened to so many lines. An error in it that has been printed already is not repeated.
    Message {
        /// What stays, such as the number of a bake.
        lead: String,
        /// What is shortened.
        text: String,
        /// Maximum number of lines.
        lines: usize,
    },
}

/// What is shown or left out as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// Its lines.
    pub(super) parts: Vec<Part>,
    /// Number of the things in it.
    pub(super) count: usize,
}

/// A part of the output with a heading.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Block {
    /// Above the items; alone if there are none.
    pub(super) heading: Vec<Part>,
    /// What can be left out, the most important first.
    pub(super) items: Vec<Item>,
    /// Number of things that are in no item.
    pub(super) beyond: usize,
    /// Below the items.
    pub(super) footer: Vec<Part>,
    /// One thing, several things, and the command that shows all: `… and 3 more problems: imagebaked status --all`.
    pub(super) rest: [&'static str; 3],
    /// Whether the line of the heading names what is left out.
    pub(super) is_counted_above: bool,
    /// Whether an empty line before it helps.
    pub(super) has_gap: bool,
}

/// What is shown next, as long as there is room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// So many items of this block.
    Items(usize, usize),
    /// Empty lines between blocks.
    Gaps,
}

/// Lines that a block takes, measured once.
struct Measured {
    heading: usize,
    /// Of the first items: lines, and the number of things in them.
    items: Vec<(usize, usize)>,
    footer: usize,
}

impl Block {
    fn measure(&self, width: usize) -> Measured {
        let height = |parts: &[Part]| parts.iter().map(|part| part.height(width)).sum::<usize>();
        let mut items = vec![(0, 0)];
        let mut so_far = (0, 0);
        for item in &self.items {
            so_far = (so_far.0 + height(&item.parts), so_far.1 + item.count);
            items.push(so_far);
        }
        Measured { heading: height(&self.heading), items, footer: height(&self.footer) }
    }

    /// What is left out where so many items are shown.
    fn left_out(&self, shown: usize) -> usize {
        self.items[shown..].iter().map(|item| item.count).sum::<usize>() + self.beyond
    }

    fn is_empty(&self) -> bool {
        self.heading.is_empty() && self.items.is_empty()
    }

    /// Names what is left out.
    fn rest(&self, left_out: usize, is_all: bool) -> String {
        let [one, many, command] = self.rest;
        let things = if left_out == 1 { one } else { many };
        if is_all {
            format!("… {left_out} {things}: {command}")
        } else {
            format!("… and {left_out} more {things}: {command}")
        }
    }

    /// The parts with so many items.
    fn parts(&self, shown: usize) -> Vec<Part> {
        let left_out = self.left_out(shown);
        if shown == 0 && !self.items.is_empty() {
            return vec![Part::Line(self.rest(left_out, true))];
        }
        let mut parts = self.heading.clone();
        let mut rest = (left_out > 0).then(|| self.rest(left_out, false));
        if let (true, Some(Part::Line(heading))) = (self.is_counted_above, parts.last_mut()) {
            heading.extend(rest.take().map(|rest| format!(" {rest}")));
        }
        parts.extend(self.items[..shown].iter().flat_map(|item| item.parts.clone()));
        parts.extend(rest.map(Part::Line));
        parts.extend(self.footer.clone());
        parts
    }

    /// The lines of these parts.
    fn height(&self, measured: &Measured, shown: usize, width: usize) -> usize {
        let (lines, count) = measured.items[shown];
        let left_out = measured.items.last().map_or(0, |last| last.1) - count + self.beyond;
        if shown == 0 && !self.items.is_empty() {
            return height_of(&self.rest(left_out, true), width);
        }
        let rest = match (left_out, self.heading.last()) {
            (0, _) => 0,
            (_, Some(Part::Line(heading))) if self.is_counted_above => {
                let heading_with_rest = format!("{heading} {}", self.rest(left_out, false));
                height_of(&heading_with_rest, width) - height_of(heading, width)
            }
            _ => height_of(&self.rest(left_out, false), width),
        };
        measured.heading + lines + rest + measured.footer
    }
}

/// The lines that the terminal makes of one.
fn height_of(line: &str, width: usize) -> usize {
    without_colors(line).width().div_ceil(width).max(1)
}

impl Part {
    fn height(&self, width: usize) -> usize {
        match self {
            Self::Line(line) => height_of(line, width),
            Self::Message { lead, text, lines } => message(lead, text, *lines, width, None).len(),
        }
    }

    fn draw(self, width: usize, printed: &mut HashSet<String>) -> Vec<String> {
        match self {
            Self::Line(line) => vec![line],
            Self::Message { lead, text, lines } => message(&lead, &text, lines, width, Some(printed)),
        }
    }
}

/// The text of these blocks within this size. The goals are met in their order, as long as there is room.
pub(super) fn fit(blocks: &[Block], goals: &[Goal], size: Size) -> String {
    let measured: Vec<Measured> = blocks.iter().map(|block| block.measure(size.width)).collect();
    let (mut shown, mut has_gaps) = (vec![0; blocks.len()], false);
    let height = |shown: &[usize], has_gaps: bool| -> usize {
        let visible = blocks.iter().zip(&measured).zip(shown).filter(|((block, _), _)| !block.is_empty());
        let heights = visible.enumerate().map(|(place, ((block, measured), shown))| {
            usize::from(has_gaps && block.has_gap && place > 0) + block.height(measured, *shown, size.width)
        });
        heights.sum()
    };
    for goal in goals {
        match *goal {
            Goal::Gaps => has_gaps = height(&shown, true) <= size.lines,
            Goal::Items(block, wanted) => {
                let all = blocks[block].items.len();
                while shown[block] < wanted.min(all) {
                    let before = shown[block];
                    // The last one takes the line that names it as left out.
                    let next = [before + 1, before + 2].into_iter().filter(|next| *next <= all).find(|next| {
                        shown[block] = *next;
                        height(&shown, has_gaps) <= size.lines
                    });
                    let Some(next) = next else {
                        shown[block] = before;
                        break;
                    };
                    shown[block] = next;
                }
            }
        }
    }
    let (mut text, mut printed) = (String::new(), HashSet::new());
    for (block, shown) in blocks.iter().zip(shown).filter(|(block, _)| !block.is_empty()) {
        if has_gaps && block.has_gap && !text.is_empty() {
            text.push('\n');
        }
        for line in block.parts(shown).into_iter().flat_map(|part| part.draw(size.width, &mut printed)) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
