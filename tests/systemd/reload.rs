//! `systemctl reload` of the units that serve a file, and who may ask their daemon.

use crate::live::client;
use crate::live::clock::{secs, wait_for};
use crate::live::container::Container;
use crate::live::engine::{Engine, Kind};
use crate::systemd::machine::{Machine, Root};

const UNIT: &str = "ondemand-container.service";
const FILE: &str = "/etc/ondemand-container/config.toml";

/// What leads to a container of the fixture.
fn service(name: &str, container: &str, listen: u16) -> String {
    format!("[services.{name}]\ncontainer = \"{container}\"\nport = 3000\nlisten = \"{listen}\"\n")
}

fn names(status: &str) -> Vec<&str> {
    // The first line is the table's head.
    status.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect()
}

/// Adds a service and removes one under a client that stays connected.
#[test]
fn a_reload_changes_services_under_their_clients() {
    let engine = Engine::get(Kind::Docker);
    let [stays, goes, comes] = [(); 3].map(|()| Container::create(&engine, "http:3000"));
    let stays = service("stays", &stays.name, 3000);
    let earlier = format!("{stays}{}", service("goes", &goes.name, 81));
    let later = format!("{stays}{}", service("comes", &comes.name, 82));
    let root = Root::new();
    root.write(&FILE[1..], &earlier);
    let machine = Machine::boot(&engine, &root);
    machine.run(&format!("systemctl start {UNIT}"));
    let process = machine.show(UNIT, "MainPID");
    let mut client = client::connect(machine.at(3000)).unwrap();
    let first = client::ask_on(&mut client, "/").unwrap();
    assert_eq!(client::get(machine.at(81), "/").unwrap().status, 200);

    machine.write(FILE, &later);
    machine.run(&format!("systemctl reload {UNIT}"));
    assert_eq!(client::get(machine.at(82), "/").unwrap().status, 200);
    client::connect(machine.at(81)).unwrap_err();
    assert_eq!(names(&machine.run("ondemand-container status")), ["comes", "stays"]);

    // The signal does the same.
    machine.write(FILE, &earlier);
    machine.run(&format!("systemctl kill --kill-whom=main -s HUP {UNIT}"));
    wait_for("the first services", secs(20), || {
        names(&machine.run("ondemand-container status")) == ["goes", "stays"]
    });
    assert_eq!(client::get(machine.at(81), "/").unwrap().status, 200);
    client::connect(machine.at(82)).unwrap_err();

    let last = client::get_on(&mut client, "/").unwrap();
    assert_eq!(last.run(), first.run(), "the connection is the one of before");
    assert_eq!(machine.show(UNIT, "MainPID"), process);
    assert_eq!(machine.show(UNIT, "ActiveState"), "active");
}

/// It fails and says why; everything stays as it is.
#[test]
fn a_reload_of_a_broken_file_fails_and_changes_nothing() {
    let engine = Engine::get(Kind::Docker);
    let container = Container::create(&engine, "http:3000");
    let root = Root::new();
    root.write(&FILE[1..], &service("web", &container.name, 3000));
    let machine = Machine::boot(&engine, &root);
    machine.run(&format!("systemctl start {UNIT}"));
    let process = machine.show(UNIT, "MainPID");
    let mut client = client::connect(machine.at(3000)).unwrap();
    let first = client::ask_on(&mut client, "/").unwrap();

    let broken = format!("{}[services.other]\nport = \"many\"\n", service("web", "elsewhere", 81));
    machine.write(FILE, &broken);
    let said = machine.try_run(&format!("systemctl reload {UNIT}")).unwrap_err();
    assert!(said.contains("failed"), "{said}");
    let why = "config.toml:6: ";
    // Once from the daemon, once from the command that systemd has run.
    let told = || machine.journal(UNIT).matches(why).count();
    wait_for("both have said why", secs(20), || told() == 2);
    assert!(machine.run(&format!("systemctl status -n 20 {UNIT}")).contains(why));

    machine.run(&format!("systemctl kill --kill-whom=main -s HUP {UNIT}"));
    wait_for("the signal is answered", secs(20), || told() == 3);
    machine.wait_show(UNIT, "ActiveState", "active", secs(20));
    assert_eq!(machine.show(UNIT, "MainPID"), process);
    assert_eq!(names(&machine.run("ondemand-container status")), ["web"]);
    client::connect(machine.at(81)).unwrap_err();
    assert_eq!(machine.get().status, 200);
    assert_eq!(client::get_on(&mut client, "/").unwrap().run(), first.run());
}

/// Root and the members of Docker's group, which may use the engine anyway.
#[test]
fn the_control_socket_is_for_root_and_dockers_group() {
    let engine = Engine::get(Kind::Docker);
    let container = Container::create(&engine, "http:3000");
    let root = Root::new();
    root.append("etc/passwd", "member:x:1001:1001::/:/bin/sh\nother:x:1002:1002::/:/bin/sh\n");
    root.append("etc/group", "member:x:1001:\nother:x:1002:\n");
    root.write(&FILE[1..], &service("web", &container.name, 3000));
    let machine = Machine::boot(&engine, &root);
    let docker = machine.run("stat -c %g /var/run/docker.sock");
    machine.run(&format!("systemctl start {UNIT}"));
    let socket = "/run/ondemand-container/control.sock";
    assert_eq!(machine.run(&format!("stat -c '%a %g' {socket}")), format!("660 {docker}"));

    let member = |words: &str| {
        machine.run(&format!(
            "setpriv --reuid 1001 --regid 1001 --groups {docker} ondemand-container {words}"
        ))
    };
    assert_eq!(names(&machine.run("ondemand-container status")), ["web"]);
    assert_eq!(names(&member("status")), ["web"]);
    assert!(member("wake web --wait").contains("awake"));
    assert!(member("reload").contains("unchanged: 1"));
    assert!(container.runs());

    for words in ["status", "sleep web --force", "hold web", "reload"] {
        let said = machine.run(&format!(
            "setpriv --reuid 1002 --regid 1002 --clear-groups ondemand-container {words}; \
             echo exit status $?"
        ));
        assert!(said.ends_with("exit status 77"), "{words}: {said}");
        assert!(said.contains(socket) && said.contains("group"), "{words}: {said}");
    }
    let status = machine.run("ondemand-container status web --json");
    assert!(status.contains("\"state\":\"awake\"") && !status.contains("held"), "{status}");
    assert!(container.runs());
}

/// The same in a user's own manager, whose control socket is the user's usual one.
#[test]
fn a_user_reloads_a_daemon_without_root() {
    const FILE: &str = "/home/odt/.config/ondemand-container/config.toml";
    let engine = Engine::get(Kind::Docker);
    let root = Root::with_user();
    let units = "home/odt/.config/systemd/user";
    root.install(&format!("deploy/systemd/user/{UNIT}"), units);
    let app = "[Service]\nEnvironment=FIXTURE_DIR=%t\n\
               ExecStart=/usr/local/bin/fixture serve http:13000 --bind 127.0.0.1\n";
    root.write(&format!("{units}/app.service"), app);
    let listen = |port: u16| {
        format!(
            "[services.app]\nunit = \"app\"\nengine = \"systemd-user\"\nport = 13000\n\
             listen = \"{port}\"\n"
        )
    };
    root.write(&FILE[1..], &listen(3000));
    let machine = Machine::boot(&engine, &root);
    machine.run("systemctl start user@1000.service");
    let user = |command: &str| machine.run_as_user(command);
    user(&format!("systemctl --user start {UNIT}"));
    let mut client = client::connect(machine.at(3000)).unwrap();
    let first = client::ask_on(&mut client, "/").unwrap();

    machine.write(FILE, &listen(81));
    user(&format!("systemctl --user reload {UNIT}"));
    assert_eq!(client::get(machine.at(81), "/").unwrap().run(), first.run());
    client::connect(machine.at(3000)).unwrap_err();
    assert_eq!(names(&user("ondemand-container status")), ["app"]);

    machine.write(FILE, "[services.app]\nport = \"many\"\n");
    let reload = format!("! systemctl --user reload {UNIT}");
    machine.run_as_user(&format!("sh -c '{reload}'"));
    // By its identifier: the command that systemd has run is gone, and journald may have found no unit for it.
    let told = || {
        let journal = machine.run("journalctl --no-pager -o cat -t ondemand-container");
        journal.matches("config.toml:2: ").count()
    };
    wait_for("both have said why", secs(20), || told() == 2);
    let state = || user(&format!("systemctl --user show -P ActiveState {UNIT}"));
    wait_for("the reload is over", secs(20), || state() == "active");
    assert_eq!(client::get(machine.at(81), "/").unwrap().run(), first.run());
    assert_eq!(client::get_on(&mut client, "/").unwrap().run(), first.run());
}
