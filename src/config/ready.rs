//! `--ready`: when a started target counts as ready.

use hyper::http::uri::PathAndQuery;

/// What is asked before the first client is let through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ready {
    /// The port accepts and, if the container declares a health check, it passes.
    Auto,
    /// The declared health check passes.
    Health,
    /// The port accepts.
    Tcp,
    /// A GET of this path answers 2xx or 3xx.
    Http(String),
    /// Nothing.
    None,
}

impl Ready {
    /// Understands the flag's value.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "health" => Ok(Self::Health),
            "tcp" => Ok(Self::Tcp),
            "none" => Ok(Self::None),
            _ => match text.strip_prefix("http:") {
                Some(path) if path.starts_with('/') => {
                    if is_request_target(path) {
                        Ok(Self::Http(path.to_owned()))
                    } else {
                        Err(format!(
                            "{text:?} is no path of a URL, whose blanks, quotes and # are escaped, \
                             like %20"
                        ))
                    }
                }
                _ => Err(format!("{text:?} is none of auto, health, tcp, http:/path, none")),
            },
        }
    }
}

/// What can be asked for (RFC 9112, section 3.2.1): what hyper refuses at the first probe, or cuts off,
/// is told at the start.
fn is_request_target(path: &str) -> bool {
    let target = path.parse::<PathAndQuery>();
    path.is_ascii() && target.is_ok_and(|target| target.as_str() == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_five_words_and_nothing_else() {
        assert_eq!(Ready::parse("http:/healthz?x=1"), Ok(Ready::Http("/healthz?x=1".to_owned())));
        for bad in ["http:healthz", "https:/x", ""] {
            assert!(Ready::parse(bad).unwrap_err().contains("none of auto, health"), "{bad}");
        }
        for odd in ["http:/a b", "http:/a\r\nx", "http:/a?\"x\"", "http:/a#x", "http:/ä"] {
            assert!(Ready::parse(odd).unwrap_err().contains("escaped"), "{odd}");
        }
    }
}
