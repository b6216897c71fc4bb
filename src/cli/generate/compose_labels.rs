//! `generate compose-labels`: what a compose service says so that the daemon serves it.

use anyhow::Context;

use super::quote::yaml;
use crate::cli::args::RunArgs;
use crate::config::keys::{Key, Takes};
use crate::config::words::words;
use crate::config::{ConfigErrors, Options, Role, file};

/// What a labelled container says by being there: who it is, and which engine runs it.
const OF_THE_CONTAINER: &[&str] = &["container", "engine"];

/// A block of labels for each service, or what is wrong with the options.
pub(super) fn labels(run: &RunArgs) -> anyhow::Result<String> {
    let options = run.options();
    let Some(path) = &run.config else {
        anyhow::ensure!(
            options.unit.is_none(),
            "--unit: a unit has no labels; they are for containers"
        );
        // The container that will bear the labels.
        let named = options.container.is_some() || options.compose.is_some();
        let container = if named { run.container.clone() } else { Some("it".to_owned()) };
        RunArgs { container, ..run.clone() }.plan()?;
        return block(options.container.as_deref(), &options);
    };
    let plan = run.plan()?;
    let file = file::read(path).map_err(|problems| ConfigErrors::of(&problems))?;
    let mut blocks = Vec::new();
    for (name, written) in &file.services {
        let role = plan.services.iter().find(|service| service.name == *name).map(|of| of.role);
        if written.options.unit.is_some() {
            blocks.push(format!("# {name}: is a unit, which has no labels\n"));
            continue;
        }
        if role != Some(Role::Clients) {
            blocks.push(format!("# {name}: is woken by those that need it, and needs no label\n"));
            continue;
        }
        let container = written.options.container.as_deref().unwrap_or(name);
        let head = format!("# {name}: for the service whose container is {container}\n");
        let block = block(Some(name), &written.options);
        blocks.push(head + &block.with_context(|| format!("services.{name}"))?);
    }
    Ok(blocks.join("\n"))
}

fn block(name: Option<&str>, options: &Options) -> anyhow::Result<String> {
    let mut lines = vec!["labels:".to_owned(), label("enable", "true")];
    lines.extend(name.map(|name| label("name", name)));
    for (key, values) in words(options) {
        if OF_THE_CONTAINER.contains(&key) {
            continue;
        }
        let phrases = Key::find(key).is_some_and(|key| matches!(key.takes, Takes::Phrases(_)));
        let (mark, what) = if phrases { (";", "semicolon") } else { (",", "comma") };
        if let [_, _, ..] = values[..]
            && let Some(odd) = values.iter().find(|value| value.contains(mark))
        {
            anyhow::bail!("{key}: {odd:?} has a {what}, which ends a value in a label");
        }
        // The container says by itself which service of the project it is.
        if key == "compose" && values.iter().any(|of| of.contains('/')) {
            continue;
        }
        lines.push(label(key, &values.join(mark)));
    }
    Ok(lines.join("\n") + "\n")
}

fn label(key: &str, value: &str) -> String {
    format!("  ondemand.{key}: {}", yaml(value))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::Cli;

    fn run(line: &str) -> RunArgs {
        Cli::parse_from(["ondemand-container"].into_iter().chain(line.split(' '))).run
    }

    #[test]
    fn a_block_says_what_was_said() {
        let line = "-c gitea -p 3000,22 -l 0.0.0.0:3000->3000 -l 2222->22 --idle-timeout 1h30m \
                    --ready http:/$x --engine podman";
        assert_eq!(
            labels(&run(line)).unwrap(),
            "labels:\n  ondemand.enable: \"true\"\n  ondemand.name: \"gitea\"\n  \
             ondemand.port: \"3000,22\"\n  ondemand.listen: \"0.0.0.0:3000->3000,2222->22\"\n  \
             ondemand.idle-timeout: \"1h30m\"\n  ondemand.ready: \"http:/$$x\"\n"
        );
        assert_eq!(
            labels(&run("--port 53/udp")).unwrap(),
            "labels:\n  ondemand.enable: \"true\"\n  ondemand.port: \"53/udp\"\n"
        );
    }

    #[test]
    fn a_file_has_a_block_for_each_of_its_services() {
        let path = std::env::temp_dir().join(format!("odt-{}-labels.toml", std::process::id()));
        let text = "[defaults]\nidle-timeout = \"20m\"\n[services.dns]\ncontainer = \"coredns\"\n\
                    port = [53, \"53/udp\"]\n[services.web]\nport = 80\nidle-timeout = \"infinity\"\n";
        std::fs::write(&path, text).unwrap();
        let labels = labels(&run(&format!("--config {}", path.display())));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(
            labels.unwrap(),
            "# dns: for the service whose container is coredns\nlabels:\n  ondemand.enable: \"true\"\n  \
             ondemand.name: \"dns\"\n  ondemand.port: \"53,53/udp\"\n  \
             ondemand.idle-timeout: \"20m\"\n\n\
             # web: for the service whose container is web\nlabels:\n  ondemand.enable: \"true\"\n  \
             ondemand.name: \"web\"\n  ondemand.port: \"80\"\n  ondemand.idle-timeout: \"infinity\"\n"
        );
    }

    #[test]
    fn what_has_no_labels_is_told() {
        let path = std::env::temp_dir().join(format!("odt-{}-units.toml", std::process::id()));
        let text = "[services.web]\nport = 80\ndepends-on = [\"db\"]\n[services.db]\n\
                    [services.wiki]\nunit = \"wiki.service\"\nport = 81\nupstream = \"127.0.0.1\"\n";
        std::fs::write(&path, text).unwrap();
        let labels = labels(&run(&format!("--config {}", path.display())));
        std::fs::remove_file(&path).unwrap();
        let labels = labels.unwrap();
        assert!(labels.starts_with("# db: is woken by those that need it, and needs no label\n"));
        assert!(labels.ends_with("# wiki: is a unit, which has no labels\n"), "{labels}");
        assert_eq!(labels.matches("ondemand.enable").count(), 1, "{labels}");
        let unit = run("--unit wiki.service --port 80 --upstream 127.0.0.1");
        let refused = super::labels(&unit).unwrap_err().to_string();
        assert!(refused.starts_with("--unit: a unit has no labels"), "{refused}");
    }

    /// The container itself says which of the project it is.
    #[test]
    fn a_service_of_a_project_is_not_named_again() {
        let labels = labels(&run("--compose shop/web --port 3000")).unwrap();
        assert!(labels.contains("ondemand.port: \"3000\""), "{labels}");
        assert!(!labels.contains("ondemand.compose"), "{labels}");
    }

    #[test]
    fn what_is_wrong_is_told_as_at_run() {
        let wrong = run("-c a/b -p 80 -l nowhere");
        let told = labels(&wrong).unwrap_err().to_string();
        assert_eq!(told, wrong.plan().unwrap_err().to_string());
    }

    #[test]
    fn a_value_with_a_comma_is_refused_in_a_list() {
        let listen = vec!["unix:/a,b".to_owned(), "3000".to_owned()];
        let options = Options { listen, ..Options::default() };
        assert!(block(None, &options).unwrap_err().to_string().contains("has a comma"));
    }
}
