//! `ondemand-container check`: whether it would work, and why not.

use std::process::{Command, Output};

use crate::live::container::{Container, HEALTH};
use crate::live::daemon::BINARY;
use crate::live::engine::Engine;
use crate::live::scratch;

/// Nothing to say against it: exit status 0. Nothing is started.
pub(crate) fn check_finds_nothing_wrong(engine: &Engine) {
    let container = Container::create_with(engine, HEALTH, "http:8080");
    let found = check(engine, &container.name, "");
    assert_eq!(found.code, Some(0), "{}", found.text);
    assert!(container.sleeps());
}

pub(crate) fn check_misses_the_container(engine: &Engine) {
    let found = check(engine, "odt-no-such-container", "");
    assert_eq!(found.code, Some(78), "{}", found.text);
    found.says("odt-no-such-container");
}

pub(crate) fn check_finds_no_engine(engine: &Engine) {
    let found = check_at("unix:///no/such/engine.sock", "any", "");
    assert_eq!(found.code, Some(78), "{}", found.text);
    found.says("/no/such/engine.sock");
    assert!(engine.answers());
}

/// A user without access to the engine is told so, with an exit status of its own.
pub(crate) fn check_finds_permission_missing(engine: &Engine) {
    // The build directory may be closed to that user.
    let binary = engine.dir.join("ondemand-container");
    std::fs::copy(BINARY, &binary).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(binary);
    let found = run(command, &engine.url(), "any", "");
    assert_eq!(found.code, Some(77), "{}", found.text);
    found.says("permission");
}

/// The container publishes the very port we hold.
pub(crate) fn check_finds_the_port_taken(engine: &Engine) {
    let address = format!("{}:{}", scratch::address(), 32_000 + scratch::number());
    let container =
        Container::create_with(engine, &["--publish", &format!("{address}:8080")], "http:8080");
    let found = check(engine, &container.name, &format!("--listen {address}"));
    assert_eq!(found.code, Some(78), "{}", found.text);
    found.says("publish");
}

/// A stop would delete the container.
pub(crate) fn check_finds_auto_remove(engine: &Engine) {
    let container = Container::create_with(engine, &["--rm"], "http:8080");
    let found = check(engine, &container.name, "");
    assert_eq!(found.code, Some(78), "{}", found.text);
    found.says("--rm");
}

/// A restart policy that starts it at boot is worth a word.
pub(crate) fn check_finds_a_restart_policy(engine: &Engine) {
    let container = Container::create_with(engine, &["--restart", "always"], "http:8080");
    let found = check(engine, &container.name, "");
    found.says("restart");
}

/// There is no address to reach.
pub(crate) fn check_finds_no_address(engine: &Engine) {
    let container = Container::create_with(engine, &["--network", "none"], "http:8080");
    let found = check(engine, &container.name, "");
    assert_eq!(found.code, Some(78), "{}", found.text);
    found.says("reached");
}

/// No health check: advice, not an obstacle.
pub(crate) fn check_advises_a_health_check(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let found = check(engine, &container.name, "");
    assert_eq!(found.code, Some(0), "{}", found.text);
    found.says("health");
}

/// Services from labels are shown with what they wake, and wrong labels with what is wrong.
pub(crate) fn check_shows_groups_and_labels(engine: &Engine) {
    let db = Container::create(engine, "http:8080");
    let labels = [
        "ondemand.enable=true".to_owned(),
        format!("ondemand.listen={}:9->8080", scratch::address()),
        format!("ondemand.depends-on={}:healthy", db.name),
    ];
    let words: Vec<&str> = labels.iter().flat_map(|label| ["--label", label]).collect();
    let web = Container::create_with(engine, &words, "http:8080");
    let wrong = ["--label", "ondemand.enable=true", "--label", "ondemand.idle_timeout=5m"];
    let odd = Container::create_with(engine, &wrong, "http:8080");
    let mut command = Command::new(BINARY);
    // Other containers of this engine may ask for something, too.
    let Output { stdout, .. } =
        command.args(["check", "--labels", &engine.url()]).output().unwrap();
    let text = String::from_utf8_lossy(&stdout).into_owned();
    let (web, db, odd) = (&web.name, &db.name, &odd.name);
    for words in [
        format!("ok       {web}: described by the labels of container {web}"),
        format!("ok       {web}: wakes in this order: {db}, {web}"),
        format!("ok       {web}: it can be reached once it runs"),
        format!("ok       {db}: container {db} is stopped"),
        format!("warning  {db}: it is to be healthy before others are woken"),
        format!("warning  {odd}: ondemand.idle_timeout: no such label; is ondemand.idle-timeout"),
        format!("warning  {odd}: ondemand.port: is missing"),
    ] {
        assert!(text.contains(&words), "no {words:?} in: {text}");
    }
    let ours = |line: &&str| [web, db, odd].iter().any(|name| line.contains(name.as_str()));
    assert!(!text.lines().filter(ours).any(|line| line.starts_with("PROBLEM")), "{text}");
}

struct Found {
    code: Option<i32>,
    text: String,
}

impl Found {
    #[track_caller]
    fn says(&self, word: &str) {
        assert!(self.text.to_lowercase().contains(word), "no {word:?} in: {}", self.text);
    }
}

fn check(engine: &Engine, container: &str, flags: &str) -> Found {
    check_at(&engine.url(), container, flags)
}

fn check_at(engine: &str, container: &str, flags: &str) -> Found {
    run(Command::new(BINARY), engine, container, flags)
}

fn run(mut command: Command, engine: &str, container: &str, flags: &str) -> Found {
    command.args(["check", "--port", "8080", "--engine", engine, "--container", container]);
    if !flags.contains("--listen") {
        command.args(["--listen", &format!("{}:9", scratch::address())]);
    }
    let Output { status, stdout, stderr } =
        command.args(flags.split_whitespace()).output().unwrap();
    let text = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    Found { code: status.code(), text }
}
