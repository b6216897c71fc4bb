//! The daemon's command line, as it was said.

use anyhow::Context;

use crate::cli::args::RunArgs;
use crate::config::keys::{Key, Takes};
use crate::config::words::{duration, word, words};

/// The words after the program's name: what was said, and nothing else. The order is that of
/// `--help`, whatever came from the environment included.
pub(super) fn flags(run: &RunArgs) -> anyhow::Result<Vec<String>> {
    let mut flags = Vec::new();
    let mut flag = |name: &str, value: &str| {
        if value.starts_with('-') || takes_a_switch(name) {
            flags.push(format!("--{name}={value}"));
        } else {
            flags.extend([format!("--{name}"), value.to_owned()]);
        }
    };
    if let Some(path) = &run.config {
        flag("config", path.to_str().context("--config: the path is not UTF-8")?);
    }
    for (name, values) in words(&run.options()) {
        for value in &values {
            flag(name, value);
        }
    }
    if let Some(time) = run.drain_timeout {
        flag("drain-timeout", &duration(time));
    }
    if let Some(time) = run.exit_idle_time {
        flag("exit-idle-time", &duration(time));
    }
    if let Some(threads) = run.threads {
        flag("threads", &threads.to_string());
    }
    if let Some(format) = &run.log_format {
        flag("log-format", &word(format));
    }
    if let Some(path) = &run.control {
        flag("control", path.to_str().context("--control: the path is not UTF-8")?);
    }
    if let Some(group) = &run.control_group {
        flag("control-group", group);
    }
    if let Some(path) = &run.history {
        flag("history", path.to_str().context("--history: the path is not UTF-8")?);
    }
    for engine in &run.labels {
        flag("labels", engine);
    }
    if run.verbose > 0 {
        flags.push(format!("-{}", "v".repeat(run.verbose.into())));
    }
    Ok(flags)
}

/// Whether its value may be left out, and so has to be joined to it.
fn takes_a_switch(name: &str) -> bool {
    Key::find(name).is_some_and(|key| key.takes == Takes::Switch)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::cli::args::Cli;

    fn parse(words: &[&str]) -> RunArgs {
        Cli::parse_from(["ondemand-container"].iter().chain(words)).run
    }

    /// Every flag that there is survives being written and read.
    #[test]
    fn all_flags_are_written() {
        for argument in Cli::command().get_arguments() {
            let Some(name) =
                argument.get_long().filter(|name| !matches!(*name, "help" | "version"))
            else {
                continue;
            };
            let name = format!("--{name}");
            let tries = ["", "5s", "5", "v1", "stop", "json", "traffic", "close", "hold", "text"];
            let said = tries.iter().find_map(|value| {
                let words = [name.as_str(), value].into_iter().filter(|word| !word.is_empty());
                let all = ["ondemand-container"].into_iter().chain(words);
                Cli::try_parse_from(all).ok().map(|cli| cli.run)
            });
            let said = said.unwrap_or_else(|| panic!("no value for {name}"));
            let written = flags(&said).unwrap();
            assert!(!written.is_empty(), "{name} is forgotten");
            let words: Vec<&str> = written.iter().map(String::as_str).collect();
            assert_eq!(format!("{:?}", parse(&words)), format!("{said:?}"));
        }
    }

    #[test]
    fn lists_are_repeated_and_odd_values_kept_apart() {
        let line = ["-c", "gitea", "-p", "3000,22", "--network=-x", "-vv"];
        assert_eq!(
            flags(&parse(&line)).unwrap().join(" "),
            "--container gitea --port 3000 --port 22 --network=-x -vv"
        );
    }
}
