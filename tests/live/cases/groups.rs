//! Services of several containers: woken in their order, asleep in its reverse.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;

use crate::live::client::{self, Answer};
use crate::live::clock::{secs, wait_for};
use crate::live::container::{Container, HEALTH};
use crate::live::daemon::{BINARY, Daemon};
use crate::live::engine::Engine;
use crate::live::scratch::{self, Dir};

/// The database of two containers is healthy before the other starts, and stops after it.
pub(crate) fn a_group_wakes_in_its_order_and_sleeps_in_reverse(engine: &Engine) {
    let db = Container::create_with(engine, HEALTH, "http:8080 --healthy-after 2000");
    let web = Container::create(engine, "http:8080");
    let host =
        Host::new(engine, &[("web", &web, &format!("depends-on = \"{}:healthy\"", db.name))]);
    assert_eq!(host.get("web").boot(), 1);
    let waited = moment(&web, "StartedAt") - moment(&db, "StartedAt");
    assert!(waited >= 1.0, "it was started {waited} s after its database");
    web.wait_asleep();
    db.wait_asleep();
    assert!(moment(&db, "FinishedAt") >= moment(&web, "FinishedAt"));
    assert_eq!(host.get("web").boot(), 2);
    host.daemon.wait_log("awake after");
}

/// It sleeps when the last of those that need it does.
pub(crate) fn a_shared_database_is_counted(engine: &Engine) {
    let db = Container::create_with(engine, HEALTH, "http:8080");
    let (one, two) =
        (Container::create(engine, "echo:8080"), Container::create(engine, "http:8080"));
    let needs = format!("depends-on = \"{}:healthy\"", db.name);
    let host = Host::new(engine, &[("one", &one, &needs), ("two", &two, &needs)]);
    let mut used = client::connect(host.address("one")).unwrap();
    super::engine_gone::exchange(&mut used);
    assert_eq!(host.get("two").boot(), 1);
    two.wait_asleep();
    assert!(db.runs(), "the other still needs it");
    super::engine_gone::exchange(&mut used);
    drop(used);
    one.wait_asleep();
    db.wait_asleep();
    // Found stopped, as any member is, and one start for both.
    assert_eq!(host.get("two").boot(), 2);
}

/// The wake fails with its name, and the other is not even started.
pub(crate) fn a_member_that_fails_is_named(engine: &Engine) {
    let db = Container::create_with(engine, HEALTH, "http:8080 --exit 3");
    let web = Container::create(engine, "http:8080");
    let host =
        Host::new(engine, &[("web", &web, &format!("depends-on = \"{}:healthy\"", db.name))]);
    client::assert_reset(client::get(host.address("web"), "/"));
    let name = format!("container={}", web.name);
    wait_for("the failure names it", secs(30), || {
        let log = host.daemon.log();
        log.lines().any(|line| line.contains(&name) && line.contains(&db.name))
    });
    assert!(web.sleeps());
}

/// What compose has written on its containers: who needs whom, and what has to have run before.
/// Made anew, as compose does it, with other addresses.
pub(crate) fn compose_labels_tell_the_order(engine: &Engine) {
    let project = format!("odt{}x{}", std::process::id(), scratch::number());
    let made = |service: &str, needs: &str, more: &[&str], app: &str| {
        let labels = compose(&project, service, needs);
        let mut options: Vec<&str> = labels.iter().flat_map(|label| ["--label", label]).collect();
        options.extend(more);
        Container::create_with(engine, &options, app)
    };
    let db = made("db", "", HEALTH, "http:8080 --healthy-after 300");
    let seed = made("seed", "db:service_healthy:false", &[], "--exit 0 --say seeded");
    let needs = "db:service_healthy:false,seed:service_completed_successfully:false";
    let web = made("web", needs, &[], "http:8080");
    let lines = format!("compose = \"{project}/web\"");
    let host = Host::described(engine, &[("web", &lines)]);
    host.daemon.wait_listens(host.address("web"), &web.name);
    assert_eq!(host.get("web").boot(), 1);
    assert!(moment(&seed, "StartedAt") > moment(&db, "StartedAt"));
    assert!(moment(&web, "StartedAt") >= moment(&seed, "FinishedAt"));
    web.wait_asleep();
    db.wait_asleep();
    assert_eq!(host.get("web").boot(), 2);
    assert_eq!(seed.output().matches("seeded").count(), 1, "it was done");
    web.wait_asleep();

    // Somebody else takes its address meanwhile.
    web.remove();
    let other = Container::create(engine, "mute:8080");
    other.told("start");
    let labels = compose(&project, "web", needs);
    let options: Vec<&str> = labels.iter().flat_map(|label| ["--label", label]).collect();
    let renewed = Container::create_with(engine, &options, "http:8080");
    host.daemon.wait_listens(host.address("web"), &renewed.name);
    assert_eq!(host.get("web").boot(), 1);
    assert!(renewed.runs());
}

/// Those that ask for it are served, those that come while the daemon runs, too, and those that go are
/// not. A wrong one is told and disturbs nobody.
pub(crate) fn labels_are_obeyed_while_they_change(engine: &Engine) {
    let [first, second, third] =
        [(); 3].map(|()| SocketAddr::from((scratch::address(), 1024 + scratch::number())));
    let labelled = |more: &[String], app: &str| {
        let window = "ondemand.idle-timeout=300ms".to_owned();
        let all =
            ["ondemand.enable=true".to_owned(), window].into_iter().chain(more.iter().cloned());
        let words: Vec<String> = all.flat_map(|label| ["--label".to_owned(), label]).collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        Container::create_with(engine, &words, app)
    };
    let listen = |at: SocketAddr| format!("ondemand.listen={at}->8080");
    let early = labelled(&[listen(first)], "http:8080");
    let mut command = Command::new(BINARY);
    command.args(["--control", "none", "--labels", &engine.url()]);
    let daemon = Daemon::spawn(command, first);
    daemon.wait_listens(first, &early.name);
    assert_eq!(daemon.get("/").boot(), 1);
    early.wait_asleep();

    let late = labelled(&[listen(second), "ondemand.ready=tcp".to_owned()], "http:8080");
    let served = |at| client::get(at, "/").map(|answer: Answer| answer.boot()).ok();
    wait_for("the new one is served", secs(20), || served(second) == Some(1));
    let wrong = labelled(&[listen(third), "ondemand.ready=perhaps".to_owned()], "http:8080");
    daemon.wait_log("ondemand.ready: \"perhaps\"");
    let log = daemon.log();
    assert!(log.lines().any(|line| line.contains(&wrong.name) && line.contains("WARN")), "{log}");
    assert!(client::connect(third).is_err());

    // Made anew with another address, by whoever made it.
    late.wait_asleep();
    late.remove();
    wait_for("its port is given up", secs(20), || client::connect(second).is_err());
    let late = labelled(&[listen(third)], "http:8080");
    wait_for("it is served elsewhere", secs(20), || served(third) == Some(1));
    late.wait_asleep();
    early.wait_asleep();
    assert_eq!(daemon.get("/").boot(), 2);
}

/// A daemon of a file, whose services sleep soon.
struct Host {
    daemon: Daemon,
    addresses: Vec<(String, SocketAddr)>,
    _dir: Dir,
}

impl Host {
    fn new(engine: &Engine, services: &[(&str, &Container<'_>, &str)]) -> Self {
        let lines: Vec<(&str, String)> = services
            .iter()
            .map(|(name, of, more)| (*name, format!("container = \"{}\"\n{more}", of.name)))
            .collect();
        let lines: Vec<(&str, &str)> =
            lines.iter().map(|(name, of)| (*name, of.as_str())).collect();
        Self::described(engine, &lines)
    }

    fn described(engine: &Engine, services: &[(&str, &str)]) -> Self {
        let dir = Dir::new();
        let mut text =
            format!("[defaults]\nengine = \"{}\"\nidle-timeout = \"400ms\"\n", engine.url());
        let mut addresses = Vec::new();
        for (name, lines) in services {
            let address = SocketAddr::from((scratch::address(), 1024 + scratch::number()));
            writeln!(text, "[services.{name}]\nport = 8080\nlisten = \"{address}\"\n{lines}")
                .unwrap();
            addresses.push(((*name).to_owned(), address));
        }
        let file = dir.join("config.toml");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(BINARY);
        command.args(["--control", "none", "--config"]).arg(file);
        let daemon = Daemon::spawn(command, addresses[0].1);
        Self { daemon, addresses, _dir: dir }
    }

    fn address(&self, name: &str) -> SocketAddr {
        self.addresses.iter().find(|(known, _)| known == name).unwrap().1
    }

    #[track_caller]
    fn get(&self, name: &str) -> Answer {
        client::get(self.address(name), "/")
            .unwrap_or_else(|error| panic!("{name}: {error}\n{}", self.daemon.log()))
    }
}

/// The labels that compose v2 writes.
fn compose(project: &str, service: &str, needs: &str) -> Vec<String> {
    [
        ("project", project),
        ("service", service),
        ("container-number", "1"),
        ("oneoff", "False"),
        ("depends_on", needs),
    ]
    .map(|(key, value)| format!("com.docker.compose.{key}={value}"))
    .into()
}

/// Seconds since 1970 at a moment of the container's state.
fn moment(container: &Container<'_>, field: &str) -> f64 {
    let format = format!("{{{{.State.{field}}}}}");
    let text = container.inspect(&format);
    // Docker writes RFC 3339, Podman Go's own form of the same moment.
    let text = text.split(" +").next().unwrap().replace(' ', "T");
    let output = Command::new("date")
        .args(["-u", "-d", text.trim_end_matches('Z'), "+%s.%N"])
        .output()
        .unwrap();
    let seconds = String::from_utf8(output.stdout).unwrap();
    seconds.trim().parse().unwrap_or_else(|_| panic!("{text} is no moment"))
}
