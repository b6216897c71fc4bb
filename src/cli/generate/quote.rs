//! Text in the files of systemd and of compose, so that it means itself.

use std::fmt::Write;

/// A word of a command line (`systemd.service(5)`, COMMAND LINES).
pub(super) fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@[]>%$".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.replace('%', "%%").replace('$', "$$");
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '%' | '$' => quoted.extend([c, c]),
            // \x would be a byte, where these are two of them.
            c if c.is_ascii_control() => escape(&mut quoted, c),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A command line.
pub(super) fn command(words: &[String]) -> String {
    words.iter().map(|text| word(text)).collect::<Vec<_>>().join(" ")
}

/// The value of a setting that is taken as it is but for specifiers, like a path (`systemd.unit(5)`).
/// `None` if no value can say it.
pub(super) fn value(text: &str) -> Option<String> {
    let sayable = !text.is_empty()
        && text.trim() == text
        && !text.ends_with('\\')
        && !text.chars().any(char::is_control);
    sayable.then(|| text.replace('%', "%%"))
}

/// A text of YAML in a compose file: double quotes (YAML 1.2.2, 7.3.1), and no variables.
pub(super) fn yaml(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '$' => quoted.push_str("$$"),
            c if c.is_control() => escape(&mut quoted, c),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A control character; the grammars have the same words for it.
fn escape(text: &mut String, c: char) {
    match c {
        '\n' => text.push_str("\\n"),
        '\t' => text.push_str("\\t"),
        // Writing to a String does not fail.
        c => _ = write!(text, "\\x{:02x}", u32::from(c)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_command_line() {
        for (text, quoted) in [
            ("gitea", "gitea"),
            ("127.0.0.1:80->3000", "127.0.0.1:80->3000"),
            ("", "\"\""),
            ("a b", "\"a b\""),
            ("100%", "100%%"),
            ("$HOME;", "\"$$HOME;\""),
            (";", "\";\""),
            ("it's \"so\"", "\"it's \\\"so\\\"\""),
            ("back\\slash", "\"back\\\\slash\""),
            ("two\nlines\u{1}", "\"two\\nlines\\x01\""),
            ("grün", "\"grün\""),
        ] {
            assert_eq!(word(text), quoted, "{text}");
        }
    }

    #[test]
    fn values_that_cannot_be_said_are_none() {
        assert_eq!(value("/run/a b%.sock").as_deref(), Some("/run/a b%%.sock"));
        for bad in ["", " /run/a", "/run/a\nExecStart=x", "/run/a\\"] {
            assert_eq!(value(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn texts_of_compose() {
        assert_eq!(yaml("5m"), "\"5m\"");
        assert_eq!(yaml("a\"b\\c${X}\n: #"), "\"a\\\"b\\\\c$${X}\\n: #\"");
    }
}
