//! What `generate systemd` writes, taken by systemd and used.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write as _};
use std::net::UdpSocket;

use crate::live::client;
use crate::live::clock::secs;
use crate::live::container::Container;
use crate::live::engine::{Engine, Kind};
use crate::systemd::machine::{Machine, Root};

/// `systemd-analyze verify` has nothing to say, whatever was asked for.
#[test]
fn systemd_understands_all_that_is_generated() {
    let engine = Engine::get(Kind::Docker);
    let root = Root::new();
    root.write(
        "etc/ondemand-container/config.toml",
        "[services.web]\nport = [80, 443]\nmap = \"tls=443\"\n[services.dns]\nport = [53, \"53/udp\"]\n\
         [services.own]\nport = 3000\nlisten = \"3001\"\n",
    );
    let machine = Machine::boot(&engine, &root);
    let all = "--container gitea --port 3000 --port 22 --port 53/udp --listen '127.0.0.1:3000->3000' \
        --listen '[::1]:3000->3000' --listen 'unix:/run/odd name %i.sock->3000' --listen '2222->22' \
        --listen udp:53 --upstream '10.0.0.1' --network 'a \"b\" $c;%n\\' --engine podman \
        --idle-timeout '1h 30m' --start-timeout 90s --stop-timeout 30s --ready 'http:/a?b=%20&c=$d' \
        --max-connections 100 --on-exit stop --keepalive 30s --half-closed-timeout 5m --udp-idle 10s \
        --proxy-protocol v2 --accept-proxy-protocol 10.0.0.0/8,unix --drain-timeout 5m \
        --exit-idle-time 10m --threads 2 --log-format json --control /run/gitea/control.sock -vv";
    for (at, line) in [
        "--container gitea --port 3000",
        "--container gitea --port 3000 --user",
        "--container dns --port 53 --port 53/udp --engine tcp://10.0.0.1:2375",
        all,
        &format!("{all} --user"),
        "--config /etc/ondemand-container/config.toml",
        "--config /etc/ondemand-container/config.toml --control /run/x/y.sock --user",
    ]
    .into_iter()
    .enumerate()
    {
        let dir = format!("/run/generated{at}");
        machine.run(&format!("ondemand-container generate systemd {line} --output-dir {dir}"));
        let manager = if line.ends_with("--user") { "--user" } else { "" };
        let verify = format!(
            "export XDG_RUNTIME_DIR=/run; systemd-analyze {manager} --man=no verify {dir}/*"
        );
        assert_eq!(machine.run(&verify), "", "{line}");
        let security = format!(
            "systemd-analyze --no-pager security --offline=true --threshold=20 {dir}/*.service"
        );
        if manager.is_empty() {
            machine.run(&security);
        }
    }
}

/// The words of a command line arrive as they were said.
#[test]
fn every_word_arrives_through_systemd_as_it_was_said() {
    let engine = Engine::get(Kind::Docker);
    let machine = Machine::boot(&engine, &Root::new());
    let odd = "a  \"b\" ${HOME} $$ %n ; \\x41 grün";
    machine.run(&format!(
        "ondemand-container generate systemd -c a -p 1 --network '{odd}' --output-dir /etc/systemd/system"
    ));
    // In the place of the daemon, what it was called with.
    machine.run(
        "sed -i 's#^ExecStart=ondemand-container#ExecStart=/usr/bin/printf %%s\\\\n#; s#^Type=.*#Type=oneshot#; \
         s#^Restart=.*##; s#^WatchdogSec=.*##; s#^Sockets=.*##' /etc/systemd/system/ondemand-a.service",
    );
    machine.run("systemctl daemon-reload; systemctl start ondemand-a.service");
    let journal = machine.wait_journal("ondemand-a.service", &[odd]);
    assert!(journal.lines().any(|line| line == odd), "{journal}");
}

/// Three ports of one container, two of one protocol, in systemd's hands: each leads where it should, and
/// daemon and container come and go with their clients.
#[test]
fn several_ports_of_a_container_are_served_through_their_units() {
    let engine = Engine::get(Kind::Docker);
    let container = Container::create(&engine, "udp:53 http:8080 echo:9090 --boot 300");
    let machine = Machine::boot(&engine, &Root::new());
    let written = machine.run(&format!(
        "ondemand-container generate systemd --container {} --port 8080 --port 9090 --port 53/udp \
         --listen '4000->9090' --listen '3000->8080' --listen udp:5300 --idle-timeout 200ms \
         --udp-idle 300ms --exit-idle-time 300ms --output-dir /etc/systemd/system",
        container.name
    ));
    let sockets: Vec<&str> = written
        .lines()
        .filter(|path| path.ends_with(".socket"))
        .map(|path| path.rsplit('/').next().unwrap())
        .collect();
    assert_eq!(sockets.len(), 3, "{written}");
    machine.run(&format!("systemctl daemon-reload; systemctl enable --now {}", sockets.join(" ")));
    let service = format!("ondemand-{}.service", container.name);
    let ends = || {
        machine.wait_show(&service, "ActiveState", "inactive", secs(20));
        assert_eq!(machine.show(&service, "Result"), "success");
        assert!(container.sleeps());
    };

    assert!(!container.runs());
    assert_eq!(machine.get().boot(), 1);
    ends();
    let mut stream = client::connect(machine.at(4000)).unwrap();
    let mut answer = [0; 100];
    stream.write_all(b"over TCP").unwrap();
    stream.read_exact(&mut answer[..8]).unwrap();
    assert_eq!(&answer[..8], b"over TCP");
    drop(stream);
    ends();
    let client = UdpSocket::bind("0.0.0.0:0").unwrap();
    client.connect(machine.at(5300)).unwrap();
    client.set_read_timeout(Some(secs(30))).unwrap();
    client.send(b"question").unwrap();
    let len = client.recv(&mut answer).expect("an answer to the only question");
    assert_eq!(String::from_utf8_lossy(&answer[..len]), "boot=3 question");
    ends();
    // A second look at the same files changes nothing, unless it is told to.
    let again = format!(
        "ondemand-container generate systemd --container {} --port 8080 --output-dir /etc/systemd/system",
        container.name
    );
    let refused = machine.try_run(&again).unwrap_err();
    assert!(refused.contains("there already") && refused.contains("--force"), "{refused}");
    machine.run(&format!("{again} --force"));
}

/// Exit status 77, a missing permission: all ports are closed, not only that of the client.
#[test]
fn a_failure_for_good_closes_all_ports() {
    let engine = Engine::get(Kind::Docker);
    let container = Container::create(&engine, "http:8080 echo:9090");
    let machine = Machine::boot(&engine, &Root::new());
    let name = &container.name;
    machine.run(&format!(
        "ondemand-container generate systemd --container {name} --port 8080 --port 9090 \
         --listen '3000->8080' --listen '4000->9090' --output-dir /etc/systemd/system"
    ));
    // The engine's socket is not for this service.
    machine.run(&format!(
        "sed -i 's/^SupplementaryGroups=.*//' /etc/systemd/system/ondemand-{name}.service; \
         systemctl daemon-reload; systemctl enable --now ondemand-{name}-8080.socket \
         ondemand-{name}-9090.socket"
    ));
    // systemd turns it away: by a reset, or by an end if it has not asked yet.
    client::get(machine.at(3000), "/").unwrap_err();
    machine.wait_show(&format!("ondemand-{name}.service"), "ActiveState", "failed", secs(20));
    assert_eq!(machine.show(&format!("ondemand-{name}.service"), "ExecMainStatus"), "77");
    for port in [8080, 9090] {
        let socket = format!("ondemand-{name}-{port}.socket");
        machine.wait_show(&socket, "ActiveState", "inactive", secs(20));
    }
    let refused = client::connect(machine.at(4000)).expect_err("the port is closed");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    assert!(!container.runs());
}

/// All services of a file behind systemd's sockets, and one that holds its own.
#[test]
fn the_services_of_a_file_are_served_through_their_units() {
    let engine = Engine::get(Kind::Docker);
    let web = Container::create(&engine, "http:3000 echo:9090");
    let dns = Container::create(&engine, "udp:53 http:81");
    let root = Root::new();
    let mut file = "[defaults]\nidle-timeout = \"200ms\"\nudp-idle = \"300ms\"\n".to_owned();
    writeln!(file, "[services.web]\ncontainer = \"{}\"\nport = [3000, 9090]", web.name).unwrap();
    writeln!(file, "map = \"talk=9090\"").unwrap();
    writeln!(file, "[services.dns]\ncontainer = \"{}\"\nport = [\"53/udp\", 81]", dns.name)
        .unwrap();
    root.write("etc/ondemand-container/config.toml", &file);
    let machine = Machine::boot(&engine, &root);
    let generate = "ondemand-container generate systemd --exit-idle-time 300ms \
                    --config /etc/ondemand-container/config.toml --output-dir /etc/systemd/system";
    // The shipped unit has the name of the generated one.
    machine.run(&format!("{generate} --force"));
    machine.run(
        "systemctl daemon-reload; systemctl enable --now ondemand-container-web.socket \
         ondemand-container-web-9090.socket ondemand-container-dns.socket",
    );
    let service = "ondemand-container.service";
    let ends = || machine.wait_show(service, "ActiveState", "inactive", secs(20));
    assert!(!web.runs() && !dns.runs());
    assert_eq!(machine.get().boot(), 1);
    assert!(!dns.runs(), "one service wakes alone");
    ends();
    let mut stream = client::connect(machine.at(9090)).unwrap();
    let mut answer = [0; 100];
    stream.write_all(b"over TCP").unwrap();
    stream.read_exact(&mut answer[..8]).unwrap();
    drop(stream);
    ends();
    let client = UdpSocket::bind("0.0.0.0:0").unwrap();
    client.connect(machine.at(53)).unwrap();
    client.set_read_timeout(Some(secs(30))).unwrap();
    client.send(b"question").unwrap();
    let len = client.recv(&mut answer).expect("an answer to the only question");
    assert_eq!(String::from_utf8_lossy(&answer[..len]), "boot=1 question");
    assert_eq!(client::get(machine.at(81), "/").unwrap().status, 200);
    ends();
    assert_eq!(machine.show(service, "Result"), "success");
    assert!(web.sleeps() && dns.sleeps());
}

/// The daemon becomes a member of the group that its control socket is for.
#[test]
fn a_group_may_ask_a_generated_service() {
    let engine = Engine::get(Kind::Docker);
    let container = Container::create(&engine, "http:3000");
    let root = Root::new();
    root.append("etc/group", "ops:x:1001:\n");
    let machine = Machine::boot(&engine, &root);
    let name = &container.name;
    machine.run(&format!(
        "ondemand-container generate systemd --container {name} --port 3000 --control-group ops \
         --control /run/{name}/control.sock --output-dir /etc/systemd/system"
    ));
    machine.run(&format!("systemctl daemon-reload; systemctl enable --now ondemand-{name}.socket"));
    assert_eq!(machine.get().status, 200);
    let socket = format!("/run/{name}/control.sock");
    assert_eq!(machine.run(&format!("stat -c '%a %G' {socket}")), "660 ops");
    let status = machine.run(&format!(
        "setpriv --reuid 1002 --regid 1002 --groups 1001 ondemand-container status \
         --control {socket}"
    ));
    assert!(status.contains("awake"), "{status}");
}
