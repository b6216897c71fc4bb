//! What is in the units; that systemd takes them, and that they work, the live tests show.

use std::fs;

use clap::Parser;

use super::template::{CLOSED, FILE, INSTANCE, SOCKET};
use super::*;
use crate::cli::args::{Cli, Command, Generate};

fn generate(words: &[&str]) -> anyhow::Result<Vec<Generated>> {
    let line = ["ondemand-container", "generate", "systemd"].iter().chain(words);
    let Ok(Cli { command: Some(Command::Generate(Generate::Systemd(args))), .. }) =
        Cli::try_parse_from(line)
    else {
        panic!("{words:?}")
    };
    units(&args)
}

fn written(line: &str) -> Vec<Generated> {
    generate(&line.split(' ').collect::<Vec<_>>()).unwrap()
}

fn refused(line: &str) -> String {
    format!("{:#}", generate(&line.split(' ').collect::<Vec<_>>()).unwrap_err())
}

/// A configuration file that goes with its test.
struct Config(PathBuf);

impl Config {
    fn new(name: &str, text: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("odt-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("config.toml"), text).unwrap();
        Config(dir)
    }

    /// The units of a user, who sees the folder of tests.
    fn units(&self, words: &str) -> anyhow::Result<Vec<Generated>> {
        let path = self.0.join("config.toml");
        let mut line = vec!["--user", "--config", path.to_str().unwrap()];
        line.extend(words.split_whitespace());
        generate(&line)
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        _ = fs::remove_dir_all(&self.0);
    }
}

fn text<'a>(units: &'a [Generated], name: &str) -> &'a str {
    let names: Vec<_> = units.iter().map(|unit| &unit.name).collect();
    let found = units.iter().find(|unit| unit.name == name);
    &found.unwrap_or_else(|| panic!("no {name} in {names:?}")).text
}

/// Whatever a shipped unit sets is set in what is made of it, but for what it leaves to its instance.
#[test]
fn nothing_that_is_shipped_is_lost() {
    let lost = |units: &[Generated], name: &str, shipped: &str| {
        let text = text(units, name);
        let lines = shipped.lines().filter(|line| !line.starts_with('#'));
        let lost = lines.filter(|line| !text.lines().any(|found| found == *line));
        lost.map(|line| line.split('=').next().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let config = Config::new("shipped", "[services.web]\nport = 80\n");
    for (place, user) in [(0, ""), (1, " --user")] {
        let one = written(&format!("-c web -p 80 -l unix:/run/web.sock{user}"));
        assert_eq!(
            lost(&one, "ondemand-web.service", INSTANCE[place]),
            [
                "Description",
                "OnFailure",
                "Environment",
                "EnvironmentFile",
                "StateDirectory",
                "ExecStart"
            ]
        );
        assert_eq!(
            lost(&one, "ondemand-web.socket", SOCKET[place]),
            ["Description", "ListenStream"]
        );
        assert_eq!(
            lost(&one, "ondemand-web-closed.target", CLOSED[place]),
            ["Description", "Conflicts"]
        );
    }
    let path = config.0.join("config.toml");
    let plan = Cli::parse_from(["ondemand-container", "--config", path.to_str().unwrap()]).run;
    for (place, manager) in [(0, Manager::System), (1, Manager::User)] {
        // Where a service of the system would look for it, too.
        let run = RunArgs { config: Some("/srv/config.toml".into()), ..plan.clone() };
        let plan = plan.plan().unwrap();
        let service = service::service(&of_file(&plan, run, manager).unwrap()).unwrap();
        assert_eq!(
            lost(&[service], "ondemand-container.service", FILE[place]),
            ["ConditionPathExists", "ExecStart"]
        );
    }
}

#[test]
fn one_port_of_a_protocol_needs_no_name() {
    let units = written(
        "-c dns -p 53,53/udp -l 127.0.0.1:53 -l 53->53 -l udp:[::1]:53 --exit-idle-time 5m",
    );
    let socket = text(&units, "ondemand-dns.socket");
    let listens = "[Socket]\nListenStream=127.0.0.1:53\nListenStream=53\nListenDatagram=[::1]:53\n\
                   FileDescriptorName=dns\nService=ondemand-dns.service\n";
    assert!(socket.contains(listens), "{socket}");
    let service = text(&units, "ondemand-dns.service");
    let command = "\nSockets=ondemand-dns.socket\nExecStart=ondemand-container --container dns \
                   --port 53 --port 53/udp --exit-idle-time 5m\n";
    assert!(service.contains(command), "{service}");
    assert!(service.contains("\nOnFailure=ondemand-dns-closed.target\n"));
    assert!(text(&units, "ondemand-dns-closed.target").contains("Conflicts=ondemand-dns.socket\n"));
}

#[test]
fn several_ports_are_told_by_names() {
    let units =
        written("-c web -p 80,443 -p 443/udp -l 8443->443 -l 8080->80 -l unix:/w->80 -l udp:8443");
    let service = text(&units, "ondemand-web.service");
    assert!(
        service.contains(
            "--port 443/udp --map web-443=443 --map web-80=80 --map web-443-udp=443/udp\n"
        )
    );
    let first = text(&units, "ondemand-web-443.socket");
    assert!(first.contains("ListenStream=8443\nFileDescriptorName=web-443\n"), "{first}");
    let second = text(&units, "ondemand-web-80.socket");
    assert!(second.contains("ListenStream=8080\nListenStream=/w\nFileDescriptorName=web-80\n"));
    let third = text(&units, "ondemand-web-443-udp.socket");
    assert!(third.contains("ListenDatagram=8443\nFileDescriptorName=web-443-udp\n"));
    assert_eq!(units.len(), 5);
    // Names that were said are used.
    let units = written("-c web --map http=80 --map tls=443 -l 1->443 -l 2->80");
    assert!(
        text(&units, "ondemand-web-443.socket")
            .contains("ListenStream=1\nFileDescriptorName=tls\n")
    );
    assert!(text(&units, "ondemand-web.service").contains("--map http=80 --map tls=443\n"));
}

#[test]
fn the_services_of_a_file_get_their_sockets_by_their_names() {
    let config = Config::new(
        "names",
        "[services.dns]\nport = [53, \"53/udp\", 853]\n\
         [services.git]\nport = [3000, 22]\nmap = \"ssh=22\"\n\
         [services.own]\nport = 80\nlisten = \"81\"\n",
    );
    let units = config.units("--threads 2").unwrap();
    let dns = text(&units, "ondemand-container-dns.socket");
    let listens = "ListenStream=53\nListenDatagram=53\nListenStream=853\nFileDescriptorName=dns\n\
                   Service=ondemand-container.service\n";
    assert!(dns.contains(listens), "{dns}");
    assert!(
        text(&units, "ondemand-container-git.socket").contains("=3000\nFileDescriptorName=git\n")
    );
    assert!(
        text(&units, "ondemand-container-git-22.socket").contains("=22\nFileDescriptorName=ssh\n")
    );
    let service = text(&units, "ondemand-container.service");
    assert!(service.contains(
        "\nSockets=ondemand-container-dns.socket ondemand-container-git.socket \
         ondemand-container-git-22.socket\nExecStart=ondemand-container --config /"
    ));
    assert!(service.contains("/config.toml --threads 2\n"));
    assert!(service.contains("\n# own\n"), "who holds its own port is told: {service}");
    assert_eq!(units.len(), 5);
    let wrong = config.units("--exit-idle-time 5m").unwrap_err().to_string();
    assert!(wrong.starts_with("services.own: says listen"), "{wrong}");
}

/// Without a socket of systemd there is nothing to close.
#[test]
fn services_that_hold_their_own_ports_need_the_service_alone() {
    let config = Config::new("own", "[services.own]\nport = 80\nlisten = \"81\"\n");
    let units = config.units("--control /x/control.sock").unwrap();
    let [service] = &units[..] else { panic!("{units:?}") };
    assert!(!service.text.contains("OnFailure="));
    assert!(!service.text.contains("ONDEMAND_CONTROL"), "{}", service.text);
    assert!(
        service.text.contains("#   systemctl --user enable --now ondemand-container.service\n")
    );
    assert!(
        service.text.contains("\nExecReload=ondemand-container reload --control /x/control.sock\n")
    );
    let [service] = &config.units("--control none").unwrap()[..] else { panic!() };
    assert!(service.text.contains("\nExecReload=kill -HUP $MAINPID\n"), "{}", service.text);
}

/// Those whose containers tell by labels count, too.
#[test]
fn the_engines_of_a_file_decide_who_its_service_is() {
    for (text, who) in [
        ("[daemon]\nlabels = [\"docker\"]\n", "DynamicUser=yes\nSupplementaryGroups=docker\n"),
        ("[daemon]\nlabels = [\"podman\"]\n", "User=root\n"),
        (
            "[services.a]\nunit = \"a\"\nport = 80\n[services.b]\nport = 81\nengine = \"docker\"\n",
            "User=ondemand-unit\nSupplementaryGroups=systemd-journal docker\n",
        ),
    ] {
        let config = Config::new("engines", text);
        let path = config.0.join("config.toml");
        let run = Cli::parse_from(["ondemand-container", "--config", path.to_str().unwrap()]).run;
        let plan = run.plan().unwrap();
        let run = RunArgs { config: Some("/srv/config.toml".into()), ..run };
        let service = service::service(&of_file(&plan, run, Manager::System).unwrap()).unwrap();
        assert!(service.text.contains(who), "{text}: {}", service.text);
    }
}

/// The group of the control socket is one that the daemon is in.
#[test]
fn dockers_group_may_ask_a_daemon_that_is_in_it() {
    const GROUP: &str = "\nEnvironment=ONDEMAND_CONTROL_GROUP=docker\n";
    for (engine, words, there) in [
        ("docker", "", true),
        ("docker", "--control /run/a/c.sock", true),
        ("docker", "--control /run/a/c.sock --control-group ops", false),
        ("docker", "--control none", false),
        ("podman", "", false),
        ("tcp://10.0.0.1:2375", "", false),
    ] {
        let config =
            Config::new("group", &format!("[services.a]\nport = 80\nengine = \"{engine}\"\n"));
        let path = config.0.join("config.toml");
        let line = ["ondemand-container", "--config", path.to_str().unwrap()];
        let run = Cli::parse_from(line.into_iter().chain(words.split_whitespace())).run;
        let plan = run.plan().unwrap();
        let run = RunArgs { config: Some("/srv/config.toml".into()), ..run };
        let service = service::service(&of_file(&plan, run, Manager::System).unwrap()).unwrap();
        assert_eq!(service.text.contains(GROUP), there, "{engine} {words}: {}", service.text);
        let chown = service.text.matches("\nSystemCallFilter=@chown\n").count();
        let asked = there || words.contains("control-group");
        assert_eq!(chown, usize::from(asked), "{engine} {words}: {}", service.text);
    }
}

#[test]
fn what_is_said_decides_who_the_service_is() {
    let service = |line: &str| text(&written(line), "ondemand-a.service").to_owned();
    let docker = service("-c a -p 1");
    assert!(docker.contains("DynamicUser=yes\nSupplementaryGroups=docker\n"));
    let podman = service("-c a -p 1 --engine podman");
    assert!(podman.contains("User=root\n") && !podman.contains("DynamicUser="), "{podman}");
    let remote = service("-c a -p 1 --engine tcp://10.0.0.1:2375");
    assert!(remote.contains("DynamicUser=yes\n") && !remote.contains("SupplementaryGroups="));
    let unit = text(&written("--unit a -p 1 -l 2"), "ondemand-a.service.service").to_owned();
    let who = "\nUser=ondemand-unit\nSupplementaryGroups=systemd-journal\n";
    assert!(unit.contains(who) && !unit.contains("DynamicUser="), "{unit}");
    assert!(docker.contains("\nTimeoutStopSec=2min\n"));
    assert!(service("-c a -p 1 --drain-timeout 10m").contains("\nTimeoutStopSec=690s\n"));
    assert!(service("-c a -p 1 --control /run/a/c.sock").contains("\nRuntimeDirectory=a\n"));
    assert!(docker.contains("\nStateDirectory=ondemand-a\n"), "{docker}");
    assert!(!service("-c a -p 1 --history none").contains("StateDirectory="));
    let kept = service("-c a -p 1 --history /var/lib/b/c/h.json");
    assert!(kept.contains("\nStateDirectory=b/c\n"), "{kept}");
    let ops = service("-c a -p 1 --control /run/a/c.sock --control-group ops");
    assert!(ops.contains("\nSupplementaryGroups=ops\nSystemCallFilter=@chown\n"), "{ops}");
    assert!(!docker.contains("@chown"), "{docker}");
}

#[test]
fn what_units_cannot_say_is_refused() {
    assert!(refused("-c a -p 1 --control /srv/c.sock").contains("/run/ondemand-a/control.sock"));
    assert!(refused("-c a -p 1 --history /srv/h").contains("/var/lib/ondemand-a/history.json"));
    assert!(refused("-c a -p 1 -l unix:/run/a\\").contains("no backslash"));
    for path in ["/home/ada/config.toml", "/tmp/config.toml"].map(Path::new) {
        assert!(readable(path, Manager::System).unwrap_err().to_string().contains("--user"));
        assert!(readable(path, Manager::User).is_ok());
    }
    let config =
        Config::new("twice", "[services.a]\nmap = \"x=80\"\n[services.b]\nmap = \"x=81\"\n");
    assert!(config.units("").unwrap_err().to_string().contains("both take the sockets named x"));
}

#[test]
fn wrong_options_are_told_as_at_run() {
    for line in ["-c a/b -l nowhere", "-c a -p 80,443 -l 80", "-p 80 --ready perhaps"] {
        let run = Cli::parse_from(["ondemand-container"].into_iter().chain(line.split(' '))).run;
        assert_eq!(refused(line), run.plan().unwrap_err().to_string());
    }
}
