//! The units as they are shipped.

use std::fmt::Write;

use crate::live::client;
use crate::live::clock::{secs, wait_for};
use crate::live::container::Container;
use crate::live::engine::{Engine, Kind};
use crate::systemd::machine::{Machine, Root, UNITS, service, socket};

/// The port is open, nothing runs; the first byte starts the service and is served; the sandbox and
/// the watchdog are in force.
#[test]
fn the_first_client_starts_the_service_and_is_served() {
    let engine = Engine::get(Kind::Docker);
    let container = Container::create(&engine, "http:3000 --boot 300");
    let root = Root::new();
    root.instance(&container.name, &[]);
    let machine = Machine::boot(&engine, &root);
    let (socket, service) = (socket(&container.name), service(&container.name));
    machine.enable(&socket);
    assert_eq!(machine.show(&socket, "ActiveState"), "active");
    assert_eq!(machine.show(&service, "ActiveState"), "inactive");
    assert!(!container.runs());

    assert_eq!(machine.get().boot(), 1);
    for (property, value) in [
        ("Type", "notify"),
        ("ActiveState", "active"),
        ("SubState", "running"),
        ("WatchdogUSec", "30s"),
        ("DynamicUser", "yes"),
        ("NRestarts", "0"),
    ] {
        assert_eq!(machine.show(&service, property), value, "{property}");
    }
    wait_for("the status tells the state", secs(10), || {
        machine.show(&service, "StatusText")
            == format!("{}: awake, 0 connections, 0 waiting", container.name)
    });

    let process = machine.run(&format!("cat /proc/{}/status", machine.show(&service, "MainPID")));
    let field = |name: &str| {
        let line = process.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().to_owned()
    };
    let user: u32 = field("Uid:").parse().unwrap();
    assert!((61_184..=65_519).contains(&user), "{user} is not in the range of dynamic users");
    assert_eq!(field("CapEff:"), "0000000000000000");
    assert_eq!(field("CapBnd:"), "0000000000000000");
    assert_eq!(field("NoNewPrivs:"), "1");
    assert_eq!(field("Seccomp:"), "2");
    let journal = machine.journal(&socket);
    assert!(
        !journal.contains("failed"),
        "the socket unit asks for what is not to be had: {journal}"
    );
}

/// Every instance has a Unix socket for a reverse proxy, with no port at all.
#[test]
fn an_instance_without_a_port_is_served_on_its_unix_socket() {
    let engine = Engine::get(Kind::Docker);
    let container = Container::create(&engine, "http:3000");
    let root = Root::new();
    root.write(&format!("etc/ondemand-container/{}.env", container.name), "ONDEMAND_PORT=3000\n");
    let machine = Machine::boot(&engine, &root);
    machine.enable(&socket(&container.name));
    let path = format!("/run/ondemand-container/{}.sock", container.name);
    assert_eq!(machine.run(&format!("stat -c '%a %U' '{path}'")), "660 root");
    let answer = machine.run(&format!(
        "perl -MIO::Socket::UNIX -e 'my $s = IO::Socket::UNIX->new(Peer => \"{path}\") or die $!; \
         print $s \"GET / HTTP/1.1\\r\\nHost: a\\r\\nConnection: close\\r\\n\\r\\n\"; print while <$s>'"
    ));
    assert!(answer.contains("boot=1"), "{answer}");
}

/// Without the socket unit the service holds the port itself.
#[test]
fn the_service_alone_is_always_on() {
    let engine = Engine::get(Kind::Docker);
    let container = Container::create(&engine, "http:3000");
    let root = Root::new();
    root.write(
        &format!("etc/ondemand-container/{}.env", container.name),
        "ONDEMAND_PORT=3000\nONDEMAND_IDLE_TIMEOUT=300ms\n",
    );
    let machine = Machine::boot(&engine, &root);
    let service = service(&container.name);
    machine.enable(&service);
    assert_eq!(machine.show(&service, "ActiveState"), "active");
    assert!(!container.runs());
    for boot in 1..=2 {
        assert_eq!(machine.get().boot(), boot);
        container.wait_asleep();
    }
    assert_eq!(machine.show(&service, "ActiveState"), "active");
}

/// A daemon that hangs is noticed and replaced; who comes meanwhile waits.
#[test]
fn the_watchdog_replaces_a_hung_daemon() {
    let engine = Engine::get(Kind::Docker);
    let container = Container::create(&engine, "http:3000");
    let root = Root::new();
    root.instance(&container.name, &[]);
    root.service_drop_in(&container.name, "WatchdogSec=8s\nRestartSec=100ms");
    let machine = Machine::boot(&engine, &root);
    machine.enable(&socket(&container.name));
    let run = machine.get().run();
    let service = service(&container.name);
    machine.run("sleep 9");
    assert_eq!(machine.show(&service, "NRestarts"), "0", "a healthy daemon keeps it calm");
    machine.run(&format!("kill -STOP {}", machine.show(&service, "MainPID")));
    assert_eq!(machine.get().run(), run, "the container goes on");
    assert_eq!(machine.show(&service, "NRestarts"), "1");
    machine.wait_journal(&service, &["Watchdog timeout"]);
}

/// `systemd-analyze` has nothing to say about the units, and little to fear.
#[test]
fn the_units_are_sound_and_hardened() {
    let engine = Engine::get(Kind::Docker);
    let root = Root::new();
    for unit in UNITS {
        root.install(&format!("deploy/systemd/user/{unit}"), "etc/systemd/user");
    }
    let machine = Machine::boot(&engine, &root);
    for (manager, dir) in [("", "system"), ("--user", "user")] {
        let units = UNITS.join(&format!(" /etc/systemd/{dir}/"));
        let command = format!(
            "export XDG_RUNTIME_DIR=/run; \
             systemd-analyze {manager} verify /etc/systemd/{dir}/{units}"
        );
        assert_eq!(machine.run(&command), "", "{dir}");
    }
    // 20 of 100: an exposure of 2.0 out of 10.
    for unit in
        ["ondemand-container@.service", "ondemand-container.service", "ondemand-unit@.service"]
    {
        let command = format!(
            "systemd-analyze --no-pager security --offline=true --threshold=20 \
             /etc/systemd/system/{unit}"
        );
        let table = machine.run(&command);
        println!("{unit}: {}", table.lines().last().unwrap());
    }
}

/// `ondemand-container.service`: two containers of one file, in one process.
#[test]
fn one_daemon_serves_the_containers_of_a_file() {
    let engine = Engine::get(Kind::Docker);
    let containers = [(); 2].map(|()| Container::create(&engine, "http:3000 --boot 200"));
    let root = Root::new();
    let mut file = "[defaults]\nport = 3000\nidle-timeout = \"300ms\"\n".to_owned();
    for (container, port) in containers.iter().zip([3000, 81]) {
        writeln!(file, "[services.{}]\nlisten = \"{port}\"", container.name).unwrap();
    }
    root.write("etc/ondemand-container/config.toml", &file);
    let machine = Machine::boot(&engine, &root);
    machine.run("systemctl start ondemand-container.service");
    for boot in 1..=2 {
        assert_eq!(machine.get().boot(), boot);
        assert_eq!(client::get(machine.at(81), "/").unwrap().boot(), boot);
        for container in &containers {
            container.wait_asleep();
        }
    }
    let unit = "ondemand-container.service";
    wait_for("the status tells the state", secs(10), || {
        machine.show(unit, "StatusText") == "2 of 2 services asleep, 0 connections, 0 waiting"
    });
    machine.run("systemctl stop ondemand-container.service");
    assert_eq!(machine.show(unit, "Result"), "success");
}
