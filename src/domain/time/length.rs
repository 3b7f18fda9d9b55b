//! Lengths of time as people write them: one parser for the configuration, the command line and the plans of the simulator.

use std::time::Duration;

/// Maximum length anywhere: nobody waits longer for anything here.
pub const LONGEST: Duration = Duration::from_hours(10 * 365 * 24);

/// Why a text is no length of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LengthError {
    /// It is none of the known forms.
    #[error("this is no length of time; give one such as 30s, 5m or 2h")]
    Unknown,
    /// Its last unit would be months, which differ from minutes in one letter.
    #[error("the `M` would be months; write `m` for minutes, or days")]
    Months,
    /// More than [`LONGEST`].
    #[error("that is too long; at most 10 years")]
    TooLong,
}

/// Reads `90s`, `15m` or `2h 30m`.
///
/// ```
/// use std::time::Duration;
/// use imagebaked::domain::time::length::{LengthError, length};
///
/// assert_eq!(length("2h 30m"), Ok(Duration::from_mins(150)));
/// assert_eq!(length("999999999d"), Err(LengthError::TooLong));
/// ```
///
/// # Errors
///
/// `LengthError` if the text is none, or one that nobody means.
pub fn length(text: &str) -> Result<Duration, LengthError> {
    match humantime::parse_duration(text) {
        Ok(_) if text.trim().ends_with('M') => Err(LengthError::Months),
        Ok(length) if length > LONGEST => Err(LengthError::TooLong),
        Ok(length) => Ok(length),
        Err(humantime::DurationError::NumberOverflow) => Err(LengthError::TooLong),
        Err(_) => Err(LengthError::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absurd_lengths_are_refused_by_name() {
        for (text, want) in [
            ("3650d", Ok(LONGEST)),
            ("0s", Ok(Duration::ZERO)),
            ("3651d", Err(LengthError::TooLong)),
            ("999999999d", Err(LengthError::TooLong)),
            ("99999999999999999999999d", Err(LengthError::TooLong)),
            ("500years", Err(LengthError::TooLong)),
            ("5M", Err(LengthError::Months)),
            ("5weeks", Ok(Duration::from_hours(5 * 7 * 24))),
            ("5", Err(LengthError::Unknown)),
            ("-5m", Err(LengthError::Unknown)),
            ("", Err(LengthError::Unknown)),
        ] {
            assert_eq!(length(text), want, "{text}");
        }
    }
}
