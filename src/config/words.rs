//! Options as text again: what their flags, their keys and their labels are given.

use std::time::Duration;

use clap::ValueEnum;

use super::Options;
use super::duration::{IdleTimeout, Window};

/// The keys that say something, in the order of [`KEYS`](super::keys::KEYS), each with its values;
/// only lists have several.
pub fn words(options: &Options) -> Vec<(&'static str, Vec<String>)> {
    // Named one by one, so that none is forgotten.
    let Options {
        container,
        compose,
        unit,
        port,
        map,
        listen,
        depends_on,
        with,
        upstream,
        network,
        engine,
        idle_timeout,
        start_timeout,
        stop_timeout,
        ready,
        max_connections,
        on_exit,
        keepalive,
        half_closed_timeout,
        udp_idle,
        proxy_protocol,
        accept_proxy_protocol,
        activity,
        silent_after,
        silent,
        stop_condition,
        stop_condition_interval,
        busy_cpu,
        busy_net,
        min_awake,
        sleep,
        reclaim,
        on_waiting_stop,
        awake,
        asleep,
        asleep_clients,
        wake_on,
        wake_from,
        allow_from,
        wake_rate,
        wake_rate_total,
        http_rule,
        idle_min,
        idle_max,
        cold_start_worth,
        dry_run,
    } = options;
    let text = |value: &Option<String>| value.iter().cloned().collect();
    let time = |value: &Option<Duration>| value.iter().copied().map(duration).collect();
    let all = [
        ("container", text(container)),
        ("compose", text(compose)),
        ("unit", text(unit)),
        ("port", port.iter().map(ToString::to_string).collect()),
        ("map", map.clone()),
        ("listen", listen.clone()),
        ("depends-on", depends_on.as_deref().map(none_is_said).unwrap_or_default()),
        ("with", with.clone()),
        ("upstream", text(upstream)),
        ("network", text(network)),
        ("engine", text(engine)),
        ("idle-timeout", idle_timeout.iter().copied().map(window).collect()),
        ("start-timeout", time(start_timeout)),
        ("stop-timeout", time(stop_timeout)),
        ("ready", text(ready)),
        ("max-connections", max_connections.iter().map(ToString::to_string).collect()),
        ("on-exit", on_exit.iter().map(word).collect()),
        ("keepalive", time(keepalive)),
        ("half-closed-timeout", time(half_closed_timeout)),
        ("udp-idle", time(udp_idle)),
        ("proxy-protocol", proxy_protocol.iter().map(word).collect()),
        ("accept-proxy-protocol", accept_proxy_protocol.clone()),
        ("activity", activity.iter().map(word).collect()),
        ("silent-after", time(silent_after)),
        ("silent", silent.iter().map(word).collect()),
        ("stop-condition", stop_condition.iter().map(shell_words::join).collect()),
        ("stop-condition-interval", time(stop_condition_interval)),
        ("busy-cpu", text(busy_cpu)),
        ("busy-net", text(busy_net)),
        ("min-awake", time(min_awake)),
        ("sleep", text(sleep)),
        ("reclaim", reclaim.iter().map(word).collect()),
        ("on-waiting-stop", text(on_waiting_stop)),
        ("awake", awake.clone()),
        ("asleep", asleep.clone()),
        ("asleep-clients", asleep_clients.iter().map(word).collect()),
        ("wake-on", text(wake_on)),
        ("wake-from", wake_from.clone()),
        ("allow-from", allow_from.clone()),
        ("wake-rate", text(wake_rate)),
        ("wake-rate-total", text(wake_rate_total)),
        ("http-rule", http_rule.clone()),
        ("idle-min", time(idle_min)),
        ("idle-max", time(idle_max)),
        ("cold-start-worth", time(cold_start_worth)),
        ("dry-run", dry_run.iter().map(word).collect()),
    ];
    all.into_iter().filter(|(_, values): &(_, Vec<String>)| !values.is_empty()).collect()
}

/// A list that may be said to be empty.
fn none_is_said(list: &[String]) -> Vec<String> {
    if list.is_empty() { vec![String::new()] } else { list.to_vec() }
}

/// A duration as it is read again.
pub fn duration(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace(' ', "")
}

fn window(window: IdleTimeout) -> String {
    match window {
        IdleTimeout::Fixed(Window::After(time)) => duration(time),
        IdleTimeout::Fixed(Window::Never) => "infinity".to_owned(),
        IdleTimeout::Auto => "auto".to_owned(),
    }
}

/// A word of an option that knows its words.
pub fn word(value: &impl ValueEnum) -> String {
    let value = value.to_possible_value();
    value.map(|value| value.get_name().to_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::{KEYS, Key, Takes, Value};

    #[test]
    fn what_is_written_is_read_again() {
        for key in KEYS {
            let samples: &[&str] = match key.takes {
                Takes::Text(_) => &["text"],
                Takes::Texts(_) => &["one", "one,two"],
                Takes::Ports => &["53", "53,53/udp"],
                Takes::Count => &["7"],
                Takes::Duration => &["90s", "1h 30m 5s", "4000ms"],
                Takes::Window => &["250ms", "0s", "infinity", "auto", "2days"],
                Takes::Phrases(_) => &["one", "one;two, three"],
                Takes::Command => &["/bin/check", "/bin/check -v 'a b'"],
                Takes::Switch => &["yes", "no"],
                Takes::Words(words) => words,
            };
            for sample in samples {
                let said = set(key, sample);
                let [(name, values)] = &words(&said)[..] else { panic!("{}", key.name) };
                assert_eq!(*name, key.name);
                let mark = if let Takes::Phrases(_) = key.takes { ";" } else { "," };
                assert_eq!(set(key, &values.join(mark)), said, "{name}");
            }
        }
        let all = KEYS.iter().map(|key| key.name);
        let mut options = Options::default();
        for key in KEYS {
            let sample = match key.takes {
                Takes::Words(words) => words[0],
                Takes::Switch => "yes",
                Takes::Text(_)
                | Takes::Texts(_)
                | Takes::Phrases(_)
                | Takes::Command
                | Takes::Ports
                | Takes::Count => "5",
                Takes::Duration | Takes::Window => "5s",
            };
            key.set(&mut options, &Value::Text(sample.to_owned())).unwrap();
        }
        assert!(words(&options).iter().map(|(name, _)| *name).eq(all), "in the order of the keys");
    }

    fn set(key: &Key, text: &str) -> Options {
        let mut options = Options::default();
        key.set(&mut options, &Value::Text(text.to_owned())).unwrap();
        options
    }
}
