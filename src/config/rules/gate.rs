//! `--wake-on`, `--wake-from`, `--allow-from`, `--wake-rate`, `--http-rule`: what may wake.

use std::sync::Arc;

use super::Rate;
use crate::config::{Options, Trusted, Wrong};
use crate::gate::HttpRule;

/// What a client has to be, and to do, to wake a service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gate {
    /// What it has to do.
    pub on: WakeOn,
    /// Who may wake; `None` is everybody.
    pub wake_from: Option<Trusted>,
    /// Who is served at all; `None` is everybody.
    pub allow_from: Option<Trusted>,
    /// How often one address may.
    pub rate: Option<Rate>,
    /// How often all of them together may.
    pub rate_total: Option<Rate>,
    /// Requests that never wake, and are no use.
    pub rules: Arc<[HttpRule]>,
}

impl Gate {
    /// Whether anything is asked of a client at all.
    pub fn any(&self) -> bool {
        *self != Self::default()
    }
}

/// What a client has to do before it wakes a service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum WakeOn {
    /// To connect.
    #[default]
    Connect,
    /// To send a byte.
    Data,
    /// To send a whole and plausible `ClientHello` of TLS, for one of these hosts if there are any:
    /// in lower case, `*.example.org` for any one label.
    Tls(Vec<String>),
    /// To send a whole and plausible head of an HTTP request.
    Http,
}

impl WakeOn {
    /// `connect`, `data`, `tls`, `tls:git.example.org,*.example.net` or `http`.
    pub fn parse(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("tls:")) {
            ("connect", _) => Ok(Self::Connect),
            ("data", _) => Ok(Self::Data),
            ("tls", _) => Ok(Self::Tls(Vec::new())),
            ("http", _) => Ok(Self::Http),
            (_, Some(hosts)) => hosts
                .split(',')
                .map(|host| name(host.trim()))
                .collect::<Result<_, _>>()
                .map(Self::Tls),
            _ => Err(format!("{text:?} is none of connect, data, tls, tls:HOST,HOST and http")),
        }
    }
}

fn name(host: &str) -> Result<String, String> {
    let plain = host.strip_prefix("*.").unwrap_or(host);
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if plain.len() <= 253 && plain.split('.').all(label) {
        Ok(host.to_ascii_lowercase())
    } else {
        Err(format!("{host:?} is no host, like git.example.org or *.example.org"))
    }
}

/// What the options mean together.
pub fn gate(options: &Options) -> Result<Gate, Vec<Wrong>> {
    let mut wrong = Vec::new();
    let mut tell = |key, text: String| wrong.push(Wrong::new(key, text));
    let on = options.wake_on.as_deref().map(WakeOn::parse).transpose();
    let on = on.unwrap_or_else(|error| {
        tell("wake-on", error);
        None
    });
    let mut networks = |key, texts: &[String]| {
        let mut list = Trusted::default();
        for text in texts {
            if let Err(error) = list.add(text) {
                tell(key, error);
            }
        }
        (!texts.is_empty()).then_some(list)
    };
    let wake_from = networks("wake-from", &options.wake_from);
    let allow_from = networks("allow-from", &options.allow_from);
    let mut rate = |key, text: &Option<String>| {
        let parsed = text.as_deref().map(Rate::parse).transpose();
        parsed.unwrap_or_else(|error| {
            tell(key, error);
            None
        })
    };
    let one = rate("wake-rate", &options.wake_rate);
    let total = rate("wake-rate-total", &options.wake_rate_total);
    let mut rules = Vec::new();
    for text in &options.http_rule {
        match HttpRule::parse(text) {
            Ok(rule) => rules.push(rule),
            Err(error) => tell("http-rule", error),
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    Ok(Gate {
        on: on.unwrap_or_default(),
        wake_from,
        allow_from,
        rate: one,
        rate_total: total,
        rules: rules.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_is_open_unless_something_is_asked() {
        assert!(!gate(&Options::default()).unwrap().any());
        let hosts = vec!["git.example.org".to_owned(), "*.example.net".to_owned()];
        assert_eq!(WakeOn::parse("tls:Git.example.org, *.example.net"), Ok(WakeOn::Tls(hosts)));
        for bad in ["", "tcp", "tls:", "tls:a b", "tls:*.", "tls:a..b", "http:/x"] {
            assert!(WakeOn::parse(bad).is_err(), "{bad}");
        }
        let text = |text: &str| Some(text.to_owned());
        let options = Options {
            wake_on: text("perhaps"),
            wake_from: vec!["everywhere".to_owned()],
            allow_from: vec!["10.0.0.0/33".to_owned()],
            wake_rate: text("often"),
            wake_rate_total: text("0/s"),
            http_rule: vec!["?".to_owned()],
            ..Options::default()
        };
        let keys: Vec<&str> = gate(&options).unwrap_err().iter().map(|wrong| wrong.key).collect();
        let all =
            ["wake-on", "wake-from", "allow-from", "wake-rate", "wake-rate-total", "http-rule"];
        assert_eq!(keys, all);
    }
}
