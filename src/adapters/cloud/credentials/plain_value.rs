//! A part of the credentials as people and editors store it: its value without what surrounds it, or what is wrong with
//! it. No message quotes the value.

/// Why a stored text is not a key.
type Fault = &'static str;

/// The value in a text, without a byte order mark and the blanks and line ends around it. Empty if there is nothing
/// else.
pub(super) fn of_text(text: &str) -> Result<String, Fault> {
    let value = text.trim_start_matches('\u{feff}').trim();
    let quoted = value.len() > 1 && (value.starts_with(['"', '\'']) || value.ends_with(['"', '\'']));
    let label = value.split_once(['=', ':']).map(|(label, _)| label.to_ascii_lowercase().replace(['_', ' ', '-'], ""));
    let labels = ["accesskey", "securitytoken", "ststoken", "alibabacloud"];
    if label.is_some_and(|label| labels.iter().any(|name| label.contains(name))) {
        Err("has a name before the value; write the value alone")
    } else if value.contains(['\n', '\r']) {
        Err("has several lines; write the value alone, on one line")
    } else if quoted {
        Err("has quotes around the value; leave them out")
    } else if value.contains(char::is_whitespace) {
        Err("has a blank inside the value")
    } else if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
        Err("has a character that no key has; copy the value again")
    } else {
        Ok(value.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_editors_add_is_left_out() {
        for text in ["key", "key\n", "key\r\n", "\u{feff}key\n", " key ", "\u{feff}\n\tkey\u{a0}\n\n"] {
            assert_eq!(of_text(text), Ok("key".to_owned()), "{text:?}");
        }
        assert_eq!(of_text("\u{feff}\n"), Ok(String::new()));
        // A token may end with signs of equality.
        assert_eq!(of_text("CAIS+/a=="), Ok("CAIS+/a==".to_owned()));
    }

    #[test]
    fn what_is_no_key_is_named_without_its_value() {
        for (text, fault) in [
            ("hush hush", "has a blank"),
            ("hush\nhush", "has several lines"),
            ("\"hush\"\n", "has quotes"),
            ("access_key_id = hush", "has a name"),
            ("ALIBABA_CLOUD_ACCESS_KEY_SECRET=hush", "has a name"),
            ("hu\u{200b}sh", "has a character"),
        ] {
            let found = of_text(text).unwrap_err();
            assert!(found.starts_with(fault) && !found.contains("hush"), "{found}");
        }
    }
}
