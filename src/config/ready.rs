//! `--ready`: when a started target counts as ready.

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
                // What may stand in a request target (RFC 9112, section 3.2.1).
                Some(path)
                    if path.starts_with('/') && path.chars().all(|c| c.is_ascii_graphic()) =>
                {
                    Ok(Self::Http(path.to_owned()))
                }
                _ => Err(format!("{text:?} is none of auto, health, tcp, http:/path, none")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_five_words_and_nothing_else() {
        assert_eq!(Ready::parse("http:/healthz?x=1"), Ok(Ready::Http("/healthz?x=1".to_owned())));
        for bad in ["http:healthz", "http:/a b", "http:/a\r\nx", "https:/x", ""] {
            assert!(Ready::parse(bad).is_err(), "{bad}");
        }
    }
}
