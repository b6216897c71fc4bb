//! `--http-rule`: requests that never wake, and what they are answered while the target sleeps.

use std::fmt::Write;

use hyper::StatusCode;

use super::http::Asked;

/// So long may one word of a rule be; the longest user agents have some 300 letters.
const WORD: usize = 1024;

/// So long may a body be: it is a line for a monitor, not a page.
const BODY: usize = 8 * 1024;

/// A monitor that heeds it asks again then, in seconds. Nothing tells when somebody else wakes the
/// target.
const RETRY_AFTER: u32 = 60;

/// Requests that never wake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpRule {
    method: Option<String>,
    path: Option<String>,
    /// Names in lower case, and values.
    headers: Vec<(String, String)>,
    status: StatusCode,
    body: String,
}

impl HttpRule {
    /// Understands words like `method=HEAD`, `path=/health*`, `agent=*Robot*`, `header=NAME:VALUE`,
    /// `status=200` and `body="asleep"`, quoted as a shell would have them.
    pub fn parse(text: &str) -> Result<Self, String> {
        let words = shell_words::split(text).map_err(|error| format!("{text:?}: {error}"))?;
        let mut rule = Self {
            method: None,
            path: None,
            headers: Vec::new(),
            status: StatusCode::SERVICE_UNAVAILABLE,
            body: String::new(),
        };
        let mut said = Vec::new();
        for word in &words {
            let Some((name, value)) = word.split_once('=') else {
                return Err(format!("{word:?} is none of {WORDS}"));
            };
            if name != "body" && value.len() > WORD {
                return Err(format!("{name}= is longer than {WORD} bytes"));
            }
            if name != "header" && said.contains(&name) {
                return Err(format!("{name}= is there twice in {text:?}"));
            }
            said.push(name);
            rule.take(name, value)?;
        }
        if rule.method.is_none() && rule.path.is_none() && rule.headers.is_empty() {
            return Err(format!(
                "{text:?} would fit every request: say which with method=, path=, agent= or header="
            ));
        }
        if !rule.body.is_empty() && !rule.may_have_a_body() {
            return Err(format!("an answer with status {} has no body", rule.status.as_u16()));
        }
        Ok(rule)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        let value = value.to_owned();
        match name {
            "method" | "path" | "agent" if value.is_empty() => {
                return Err(format!("{name}= is empty, and * is anything"));
            }
            "method" => self.method = Some(value),
            "path" if !value.starts_with(['/', '*']) => {
                return Err(format!("path={value} does not begin with / or *"));
            }
            "path" if value.contains('?') => {
                return Err(format!("path={value}: what follows the ? is none of the path"));
            }
            "path" => self.path = Some(value),
            "agent" => self.headers.push(("user-agent".to_owned(), value)),
            "header" => {
                let (name, value) = header(&value)?;
                self.headers.push((name, value));
            }
            "status" => self.status = status(&value)?,
            "body" if value.len() > BODY => {
                return Err(format!("the body is longer than {BODY} bytes"));
            }
            "body" => self.body = value,
            _ => return Err(format!("{name:?} is none of {WORDS}")),
        }
        Ok(())
    }

    /// Whether it is meant by the rule: all that the rule says is so.
    pub fn fits(&self, asked: &Asked<'_>) -> bool {
        let is = |pattern: &Option<String>, text: &str| {
            pattern.as_ref().is_none_or(|pattern| like(pattern.as_bytes(), text.as_bytes()))
        };
        is(&self.method, asked.method)
            && is(&self.path, asked.path)
            && self.headers.iter().all(|(name, pattern)| {
                asked.headers.iter().any(|(known, value)| {
                    known.eq_ignore_ascii_case(name) && like(pattern.as_bytes(), value)
                })
            })
    }

    /// What it is answered while the target is in that `state`; `method` is the request's.
    pub fn answer(&self, method: &str, state: &str) -> Vec<u8> {
        let reason = self.status.canonical_reason().unwrap_or("Asleep");
        let mut head = format!("HTTP/1.1 {} {reason}\r\n", self.status.as_u16());
        let mut line = |name: &str, value: &dyn std::fmt::Display| {
            // Nothing that is written to a string fails.
            let _written = write!(head, "{name}: {value}\r\n");
        };
        line("Ondemand-State", &state);
        line("Cache-Control", &"no-store");
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            line("Retry-After", &RETRY_AFTER);
        }
        if self.may_have_a_body() {
            if !self.body.is_empty() {
                line("Content-Type", &"text/plain; charset=utf-8");
            }
            line("Content-Length", &self.body.len());
        }
        line("Connection", &"close");
        head.push_str("\r\n");
        if method != "HEAD" {
            head.push_str(&self.body);
        }
        head.into_bytes()
    }

    /// RFC 9110, 15.3.5 and 15.4.5.
    fn may_have_a_body(&self) -> bool {
        self.status != StatusCode::NO_CONTENT && self.status != StatusCode::NOT_MODIFIED
    }
}

const WORDS: &str = "method=, path=, agent=, header=NAME:VALUE, status= and body=";

fn header(text: &str) -> Result<(String, String), String> {
    let of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    match text.split_once(':') {
        Some((name, value)) if !name.is_empty() && name.bytes().all(of_a_name) => {
            Ok((name.to_ascii_lowercase(), value.trim().to_owned()))
        }
        Some(_) | None => Err(format!("header={text} is no NAME:VALUE, like header=X-Probe:yes")),
    }
}

fn status(text: &str) -> Result<StatusCode, String> {
    let number = text.parse().ok().filter(|number| (200..=599).contains(number));
    number
        .and_then(|number: u16| StatusCode::from_u16(number).ok())
        .ok_or_else(|| format!("status={text} is no number from 200 to 599"))
}

/// Whether the text is like the pattern, in which `*` is anything, nothing included. It takes as many
/// steps at most as one has bytes times the other.
fn like(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut next) = (0, 0);
    // Behind the last *, and how much of the text that has taken.
    let mut star: Option<(usize, usize)> = None;
    while next < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                at += 1;
                star = Some((at, next));
            }
            Some(byte) if *byte == text[next] => {
                at += 1;
                next += 1;
            }
            Some(_) | None => match &mut star {
                None => return false,
                Some((after, taken)) => {
                    *taken += 1;
                    (at, next) = (*after, *taken);
                }
            },
        }
    }
    pattern[at.min(pattern.len())..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::super::http::{Head, head};
    use super::super::{Parsed, http};
    use super::*;

    const REQUEST: &[u8] = b"HEAD /health/deep?x=1 HTTP/1.1\r\nHost: a\r\n\
        User-Agent: Mozilla/5.0 (compatible; UptimeRobot/2.0)\r\nX-Probe: yes\r\n\r\n";

    fn asked() -> http::Asked<'static> {
        let Parsed::Whole(Head::One(asked)) = head(REQUEST) else { panic!("{REQUEST:?}") };
        asked
    }

    #[test]
    fn a_rule_fits_if_all_of_it_does() {
        for fits in [
            "method=HEAD",
            "path=/health*",
            "path=*deep",
            "path=*",
            "agent=*UptimeRobot*",
            "header=x-PROBE:yes",
            "header=X-Probe:*",
            "method=HEAD path=/health/deep agent=*Robot* header=x-probe:y*s header=host:a",
            "'agent=Mozilla/5.0 (compatible; *'",
        ] {
            assert!(HttpRule::parse(fits).unwrap().fits(&asked()), "{fits}");
        }
        for not in [
            "method=GET",
            "method=head",
            "path=/health",
            "path=/Health*",
            "path=*x=1",
            "agent=UptimeRobot",
            "header=x-probe:no",
            "header=x-other:*",
            "method=HEAD path=/other",
        ] {
            assert!(!HttpRule::parse(not).unwrap().fits(&asked()), "{not}");
        }
    }

    #[test]
    fn a_wrong_rule_says_what_is_wrong() {
        for (bad, why) in [
            ("", "every request"),
            ("?", "none of method="),
            ("status=200", "every request"),
            ("verb=GET", "none of method="),
            ("method=", "empty"),
            ("method=GET method=HEAD", "twice"),
            ("path=health", "begin with /"),
            ("path=/a?b", "none of the path"),
            ("header=probe", "NAME:VALUE"),
            ("'header=a b:c'", "NAME:VALUE"),
            ("method=GET status=ok", "200 to 599"),
            ("method=GET status=101", "200 to 599"),
            ("method=GET status=204 body=x", "no body"),
            ("method=GET body=\"x", "quote"),
        ] {
            let error = HttpRule::parse(bad).unwrap_err();
            assert!(error.contains(why), "{bad}: {error}");
        }
        let long = |name: &str| HttpRule::parse(&format!("method=GET {name}={}", "x".repeat(9000)));
        assert!(long("agent").is_err() && long("body").is_err());
    }

    #[test]
    fn an_answer_says_that_it_is_ours() {
        let rule = HttpRule::parse("path=/health body='sleeping, thank you'").unwrap();
        let text = |method| String::from_utf8(rule.answer(method, "asleep")).unwrap();
        let head = "HTTP/1.1 503 Service Unavailable\r\nOndemand-State: asleep\r\n\
            Cache-Control: no-store\r\nRetry-After: 60\r\n\
            Content-Type: text/plain; charset=utf-8\r\nContent-Length: 19\r\n\
            Connection: close\r\n\r\n";
        assert_eq!(text("GET"), format!("{head}sleeping, thank you"));
        assert_eq!(text("HEAD"), head);
        let plain = HttpRule::parse("path=/ status=204").unwrap().answer("GET", "starting");
        let expected = "HTTP/1.1 204 No Content\r\nOndemand-State: starting\r\n\
            Cache-Control: no-store\r\nConnection: close\r\n\r\n";
        assert_eq!(String::from_utf8(plain).unwrap(), expected);
    }

    #[test]
    fn a_star_is_anything() {
        for (pattern, text) in
            [("", ""), ("*", ""), ("a*", "a"), ("*b*c", "abbc"), ("a**c", "abc"), ("*aab", "aaaab")]
        {
            assert!(like(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
        for (pattern, text) in [("", "a"), ("a", ""), ("a*", "b"), ("*b", "bc"), ("a*a", "a")] {
            assert!(!like(pattern.as_bytes(), text.as_bytes()), "{pattern} {text}");
        }
    }
}
