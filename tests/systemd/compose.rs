//! A compose file of the repository, run under a name of its own with the test image.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::live::engine::IMAGE;
use crate::live::scratch::{self, Dir};
use crate::systemd::machine::REPOSITORY;

pub(crate) struct Project {
    file: PathBuf,
    name: String,
    variables: Vec<(String, String)>,
    dir: Dir,
}

impl Project {
    /// `file` with `service` being the fixture, in a container named `container`; `more` is YAML
    /// for further services.
    pub(crate) fn new(
        file: &str,
        service: &str,
        container: &str,
        variables: &[(&str, &str)],
        more: &str,
    ) -> Self {
        let dir = Dir::new();
        let instead = format!(
            "services:\n  {service}:\n    image: {IMAGE}\n    container_name: {container}\n    \
             command: serve http:3000 --boot 300\n    labels:\n      ondemand-test: {container}\n\
             {more}"
        );
        std::fs::write(dir.join("test.yaml"), instead).unwrap();
        let name = format!("odt{}x{}", std::process::id(), scratch::number());
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        let file = PathBuf::from(REPOSITORY).join(file);
        Project { file, name, variables: variables.collect(), dir }
    }

    /// Runs `compose WORDS` and has it succeed.
    #[track_caller]
    pub(crate) fn run(&self, words: &[&str]) {
        if let Err(error) = self.try_run(words) {
            panic!("compose {words:?}: {error}");
        }
    }

    fn try_run(&self, words: &[&str]) -> Result<(), String> {
        let output = compose()
            .args(["-p", &self.name, "-f"])
            .arg(&self.file)
            .arg("-f")
            .arg(self.dir.join("test.yaml"))
            .args(words)
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        if output.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        if let Err(error) = self.try_run(&["down", "-v", "-t", "1"]) {
            eprintln!("compose down: {error}");
        }
    }
}

/// The plugin, or the older program of its own.
fn compose() -> Command {
    let works = |command: &mut Command| {
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    };
    if works(Command::new("docker").args(["compose", "version"])) {
        let mut command = Command::new("docker");
        command.arg("compose");
        return command;
    }
    assert!(
        works(Command::new("docker-compose").arg("version")),
        "neither `docker compose` nor docker-compose is here: install the package docker-compose"
    );
    Command::new("docker-compose")
}
