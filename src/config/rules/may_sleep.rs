//! `--stop-condition`, `--busy-cpu`, `--busy-net`: what is asked before a sleep.

use std::time::Duration;

use crate::config::bytes::parse_bytes;
use crate::config::{Options, Ready, Wrong};

/// No machine has more processors than that.
const MOST_PERCENT: f64 = 1_000_000.0;

/// What is asked before the target is put to sleep; without any of them nothing is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MaySleep {
    /// Who has to say yes.
    pub condition: Option<Condition>,
    /// What is too much.
    pub busy: Busy,
}

impl MaySleep {
    /// Whether there is anything to ask.
    pub fn asks(&self) -> bool {
        self.condition.is_some() || self.busy.measures()
    }
}

/// Who is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// A command on the host, without a shell: the program and its arguments. Exit status 0 is yes.
    Command(Vec<String>),
    /// The same in the container.
    Exec(Vec<String>),
    /// A GET of this path of the application. 2xx is yes.
    Http(String),
}

/// Use without clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Busy {
    /// More processor time in a second than this: 50 ms are 5 % of one processor.
    pub cpu: Option<Duration>,
    /// More bytes a second, received and sent, than this.
    pub net: Option<u64>,
}

impl Busy {
    /// Whether there is anything to measure.
    pub fn measures(&self) -> bool {
        self.cpu.is_some() || self.net.is_some()
    }
}

/// What the options mean together.
pub fn may_sleep(options: &Options) -> Result<MaySleep, Vec<Wrong>> {
    let mut wrong = Vec::new();
    let mut tell = |key, text: String| wrong.push(Wrong::new(key, text));
    let condition = options
        .stop_condition
        .as_deref()
        .and_then(|words| condition(words).map_err(|error| tell("stop-condition", error)).ok());
    let in_a_unit = options.unit.is_some() && matches!(condition, Some(Condition::Exec(_)));
    if in_a_unit {
        let text = "a unit is no container to run it in: name a command of the host, or http:/path";
        tell("stop-condition", text.to_owned());
    }
    let cpu = options.busy_cpu.as_deref();
    let cpu = cpu.and_then(|text| share(text).map_err(|error| tell("busy-cpu", error)).ok());
    let net = options.busy_net.as_deref();
    let net = net.and_then(|text| bytes(text).map_err(|error| tell("busy-net", error)).ok());
    if net.is_some() && options.unit.is_some() {
        let text =
            "a unit has no network of its own to measure: use --busy-cpu or --stop-condition";
        tell("busy-net", text.to_owned());
    }
    let asks = options.stop_condition.is_some()
        || options.busy_cpu.is_some()
        || options.busy_net.is_some();
    if options.stop_condition_interval.is_some() && !asks {
        let text = "says how often is asked: add --stop-condition, --busy-cpu or --busy-net";
        tell("stop-condition-interval", text.to_owned());
    }
    if wrong.is_empty() { Ok(MaySleep { condition, busy: Busy { cpu, net } }) } else { Err(wrong) }
}

fn condition(words: &[String]) -> Result<Condition, String> {
    let allowed = "a command with its arguments, exec:COMMAND (in the container) or http:/path";
    let Some((first, rest)) = words.split_first() else {
        return Err(format!("is empty: it takes {allowed}"));
    };
    if let Some(path) = first.strip_prefix("http:") {
        return match Ready::parse(first) {
            Ok(Ready::Http(path)) if rest.is_empty() => Ok(Condition::Http(path)),
            Ok(_) => Err(format!("http:{path} takes nothing after it")),
            Err(error) => Err(error.replace("auto, health, tcp, http:/path, none", allowed)),
        };
    }
    match first.strip_prefix("exec:") {
        Some("") if rest.is_empty() => Err(format!("exec: runs nothing: it takes {allowed}")),
        Some("") => Ok(Condition::Exec(rest.to_vec())),
        Some(program) => Ok(Condition::Exec([&[program.to_owned()], rest].concat())),
        None if first.starts_with('/') => Ok(Condition::Command(words.to_vec())),
        None => Err(format!(
            "{first:?} is no absolute path, and no PATH is searched: it takes {allowed}, like \
             /usr/local/bin/in-use"
        )),
    }
}

/// `5%` of one processor, as its time in a second.
fn share(text: &str) -> Result<Duration, String> {
    let number = text.trim().strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    match number {
        Some(percent) if percent > 0.0 && percent <= MOST_PERCENT => {
            Ok(Duration::from_secs_f64(percent / 100.0))
        }
        _ => Err(format!("{text:?} is no share of one processor, like 5% or 0.5%")),
    }
}

/// `10KiB/s`, in bytes a second.
fn bytes(text: &str) -> Result<u64, String> {
    let amount = text.trim().strip_suffix("/s").and_then(parse_bytes);
    amount.ok_or_else(|| format!("{text:?} is no rate, like 10KiB/s, 500B/s or 1MB/s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        shell_words::split(text).unwrap()
    }

    #[test]
    fn conditions_are_commands_execs_or_requests() {
        let of = |text: &str| condition(&words(text));
        assert_eq!(
            of("/bin/in-use -n 'a b'"),
            Ok(Condition::Command(words("/bin/in-use -n 'a b'")))
        );
        assert_eq!(of("exec:check --users"), Ok(Condition::Exec(words("check --users"))));
        assert_eq!(of("exec: check"), Ok(Condition::Exec(words("check"))));
        assert_eq!(of("http:/idle?x=1"), Ok(Condition::Http("/idle?x=1".to_owned())));
        for bad in ["", "check", "./check", "exec:", "http:", "http:/a /b", "http:idle"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shares_and_rates_have_units() {
        assert_eq!(share("5%"), Ok(Duration::from_millis(50)));
        assert_eq!(share("150 %"), Ok(Duration::from_millis(1500)));
        for bad in ["5", "%", "-1%", "0%", "nan%", "inf%"] {
            assert!(share(bad).is_err(), "{bad}");
        }
        assert_eq!(bytes("10KiB/s"), Ok(10240));
        assert_eq!(bytes("1.5 MB/s"), Ok(1_500_000));
        for bad in ["10", "10KiB", "KiB/s", "0B/s", "1e3B/s", "10 Kib/s", "-1B/s"] {
            assert!(bytes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_does_not_fit_is_told() {
        let keys = |options: &Options| -> Vec<&str> {
            may_sleep(options).unwrap_err().iter().map(|wrong| wrong.key).collect()
        };
        let text = |text: &str| Some(text.to_owned());
        let unit = Options {
            unit: text("a"),
            busy_net: text("1B/s"),
            stop_condition: Some(words("exec:x")),
            ..Options::default()
        };
        assert_eq!(keys(&unit), ["stop-condition", "busy-net"]);
        let interval = Duration::from_secs(5);
        let alone = Options { stop_condition_interval: Some(interval), ..Options::default() };
        assert_eq!(keys(&alone), ["stop-condition-interval"]);
        assert!(!may_sleep(&Options::default()).unwrap().asks());
    }
}
