//! Types of values: each reads a value, and describes itself for editors and the reference.

use std::time::Duration;

use super::{
    key::Kind,
    reader::{Diagnostics, Item},
};
use crate::domain::time::length::LONGEST;

/// Type of the values of a key.
#[diagnostic::on_unimplemented(
    message = "a key needs a value type, which describes it to editors and the reference",
    note = "such as `OneOf(&[…])`, `Integer(1, 1000)`, `Period(least)`, `Bool` or `Custom(function, || Kind::…)`"
)]
pub(super) trait ValueType<'s, T> {
    /// Reads a value; reports a problem and returns `None` if it is invalid.
    fn read(&self, item: Item<'_, 's>, out: &mut Diagnostics) -> Option<T>;

    /// Accepted values.
    fn kind(&self) -> Kind;
}

/// One of a few words.
pub(super) struct OneOf<T: 'static>(pub &'static [(&'static str, T)]);

impl<T: Copy> ValueType<'_, T> for OneOf<T> {
    fn read(&self, item: Item<'_, '_>, out: &mut Diagnostics) -> Option<T> {
        item.one_of(self.0, out)
    }

    fn kind(&self) -> Kind {
        Kind::OneOf(self.0.iter().map(|(word, _)| *word).collect())
    }
}

/// An integer, from the first to the second number.
pub(super) struct Integer(pub i64, pub i64);

impl<T: TryFrom<i64>> ValueType<'_, T> for Integer {
    fn read(&self, item: Item<'_, '_>, out: &mut Diagnostics) -> Option<T> {
        item.integer(self.0, self.1, out)
    }

    fn kind(&self) -> Kind {
        Kind::Integer { min: self.0, max: self.1 }
    }
}

/// A number, whole or not, from the first to the second.
pub(super) struct Number(pub f64, pub f64);

impl ValueType<'_, f64> for Number {
    fn read(&self, item: Item<'_, '_>, out: &mut Diagnostics) -> Option<f64> {
        item.number(self.0, self.1, out)
    }

    fn kind(&self) -> Kind {
        Kind::Number { min: self.0, max: self.1 }
    }
}

/// A duration, at least this.
pub(super) struct Period(pub Duration);

impl ValueType<'_, Duration> for Period {
    fn read(&self, item: Item<'_, '_>, out: &mut Diagnostics) -> Option<Duration> {
        item.duration(self.0, LONGEST, false, out)
    }

    fn kind(&self) -> Kind {
        Kind::Period { min: self.0, max: LONGEST }
    }
}

/// A duration from the first to the second: for what nothing else bounds.
pub(super) struct Within(pub Duration, pub Duration);

impl ValueType<'_, Duration> for Within {
    fn read(&self, item: Item<'_, '_>, out: &mut Diagnostics) -> Option<Duration> {
        item.duration(self.0, self.1, false, out)
    }

    fn kind(&self) -> Kind {
        Kind::Period { min: self.0, max: self.1 }
    }
}

/// A duration, at least this, or `"never"`, which removes the value of a wider layer.
pub(super) struct PeriodOrNever(pub Duration);

impl ValueType<'_, Option<Duration>> for PeriodOrNever {
    fn read(&self, item: Item<'_, '_>, out: &mut Diagnostics) -> Option<Option<Duration>> {
        if item.is_word("never") { Some(None) } else { item.duration(self.0, LONGEST, true, out).map(Some) }
    }

    fn kind(&self) -> Kind {
        Kind::PeriodOrNever { min: self.0 }
    }
}

/// A boolean.
pub(super) struct Bool;

impl ValueType<'_, bool> for Bool {
    fn read(&self, item: Item<'_, '_>, out: &mut Diagnostics) -> Option<bool> {
        item.bool(out)
    }

    fn kind(&self) -> Kind {
        Kind::Bool
    }
}

/// Any value that this function reads; the kind must accept all of them.
pub(super) struct Custom<R>(pub R, pub fn() -> Kind);

impl<'s, T, R: Fn(Item<'_, 's>, &mut Diagnostics) -> Option<T>> ValueType<'s, T> for Custom<R> {
    fn read(&self, item: Item<'_, 's>, out: &mut Diagnostics) -> Option<T> {
        self.0(item, out)
    }

    fn kind(&self) -> Kind {
        self.1()
    }
}
