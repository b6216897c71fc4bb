//! Units as targets, of the machine's systemd and of a user's.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use crate::live::client;
use crate::live::clock::{secs, wait_for};
use crate::live::engine::{Engine, Kind};
use crate::systemd::machine::{Machine, REPOSITORY, Root};

const RULES: &str = "/etc/polkit-1/rules.d/50-ondemand-container.rules";

/// The units of an instance.
fn socket(unit: &str) -> String {
    format!("ondemand-unit@{unit}.socket")
}

fn service(unit: &str) -> String {
    format!("ondemand-unit@{unit}.service")
}

/// An instance of `ondemand-unit@` for the unit, on port 3000; the unit listens on port 13000.
fn instance(root: &Root, unit: &str, options: &[&str]) {
    let example = |file: &str| {
        let path = Path::new(REPOSITORY).join("examples/quadlet/etc").join(file);
        fs::read_to_string(path).unwrap()
    };
    let env = example("ondemand-container/gitea.env");
    let env = format!("{env}{}\n", options.join("\n"));
    root.write(&format!("etc/ondemand-container/{unit}.env"), &env);
    root.write(
        &format!("etc/systemd/system/ondemand-unit@{unit}.socket.d/port.conf"),
        &example("systemd/system/ondemand-unit@gitea.socket.d/port.conf"),
    );
}

/// The rule of deploy/, with that unit in it.
fn rules(unit: &str) -> String {
    let path = Path::new(REPOSITORY).join("deploy/polkit/50-ondemand-container.rules");
    let rules = fs::read_to_string(path).unwrap();
    assert!(rules.contains("\"gitea.service\""));
    rules.replace("gitea.service", unit)
}

/// Boots it, and makes the user of the daemon.
fn boot<'e>(engine: &'e Engine, root: &Root) -> Machine<'e> {
    root.install("deploy/sysusers.d/ondemand-unit.conf", "etc/sysusers.d");
    let machine = Machine::boot(engine, root);
    machine.run("systemd-sysusers /etc/sysusers.d/ondemand-unit.conf");
    machine
}

/// A daemon of root's, with a control socket.
fn root_daemon(root: &Root, unit: &str, flags: &str) {
    let text = format!(
        "[Service]\nType=notify\nExecStart=/usr/local/bin/ondemand-container --unit {unit} --port 13000 \
         --listen 3000 --control /run/control.sock {flags}\n"
    );
    root.write("etc/systemd/system/daemon.service", &text);
}

fn states(machine: &Machine<'_>) -> String {
    machine.run("ONDEMAND_CONTROL=/run/control.sock ondemand-container status")
}

fn wait_state(machine: &Machine<'_>, word: &str) {
    wait_for(&format!("the service is {word}"), secs(20), || states(machine).contains(word));
}

/// Without the rule of deploy/polkit the daemon, nobody's user, may do nothing, says so, and changes
/// nothing; with the rule it serves.
#[test]
fn a_user_of_no_rights_needs_the_rule_and_no_more() {
    let engine = Engine::get(Kind::Docker);
    let root = Root::with_bus();
    root.app("app.service", "http:13000 --bind 127.0.0.1 --boot 300", "");
    instance(&root, "app", &["ONDEMAND_IDLE_TIMEOUT=500ms", "ONDEMAND_EXIT_IDLE_TIME=500ms"]);
    let machine = boot(&engine, &root);
    let (socket, service) = (socket("app"), service("app"));
    // Whom dbus-daemon cannot look up, it does not let in.
    let dynamic = machine.try_run(
        "systemd-run --quiet --pipe --property DynamicUser=yes /usr/local/bin/ondemand-container \
         check --unit app --port 13000 --listen 3000",
    );
    let said = dynamic.unwrap_err();
    assert!(said.contains("DynamicUser=yes; give the daemon a user"), "{said}");
    machine.enable(&socket);

    let error = client::get(machine.at(3000), "/").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    let told = ["this user may not start app.service", "50-ondemand-container.rules"];
    machine.wait_journal(&service, &told);
    assert_eq!(machine.show("app.service", "ActiveState"), "inactive");
    assert_eq!(machine.show("app.service", "NRestarts"), "0");
    // A rule for another unit is none for this one.
    let install = |unit: &str| {
        let rules = rules(unit);
        machine.run(&format!("cat >{RULES} <<'END'\n{rules}END\nsystemctl restart polkit"));
    };
    install("other.service");
    machine.run(&format!("systemctl stop {service}"));
    assert!(client::get(machine.at(3000), "/").is_err());
    assert_eq!(machine.show("app.service", "ActiveState"), "inactive");

    install("app.service");
    machine.run(&format!("systemctl stop {service}"));
    for boot in 1..=2 {
        assert_eq!(machine.get().status, 200);
        machine.wait_show("app.service", "ActiveState", "inactive", secs(20));
        machine.wait_show(&service, "ActiveState", "inactive", secs(20));
        let runs = || machine.journal("app.service").matches("run ").count();
        wait_for("the journal has its runs", secs(20), || runs() >= boot);
        assert_eq!(runs(), boot);
    }
    machine.wait_journal(&service, &["asleep and unused"]);
    assert_eq!(machine.show("app.service", "Result"), "success");

    // A kill, under a stop that takes too long, is allowed as well, and of nothing else.
    let kill = |unit: &str| {
        machine.try_run(&format!(
            "systemd-run --quiet --pipe --wait --property User=ondemand-unit busctl call \
             org.freedesktop.systemd1 /org/freedesktop/systemd1 \
             org.freedesktop.systemd1.Manager KillUnit ssi {unit} all 9"
        ))
    };
    machine.run("systemctl start app.service");
    assert!(kill("dbus.service").is_err());
    kill("app.service").unwrap();
    machine.wait_show("app.service", "Result", "signal", secs(20));
}

/// `generate systemd --unit`: its service runs as whom polkit's rule is for.
#[test]
fn generated_units_wake_a_unit() {
    let engine = Engine::get(Kind::Docker);
    let root = Root::with_bus();
    root.app("app.service", "http:13000 --bind 127.0.0.1", "");
    root.write(&RULES[1..], &rules("app.service"));
    let machine = boot(&engine, &root);
    machine.run(
        "ondemand-container generate systemd --unit app --port 13000 --listen 3000 \
         --idle-timeout 300ms --exit-idle-time 300ms --output-dir /etc/systemd/system",
    );
    machine.run("systemctl daemon-reload");
    machine.enable("ondemand-app.service.socket");
    for _ in 0..2 {
        assert_eq!(machine.get().status, 200);
        machine.wait_show("app.service", "ActiveState", "inactive", secs(20));
    }
    let daemon = "ondemand-app.service.service";
    machine.wait_show(daemon, "ActiveState", "inactive", secs(20));
    assert_eq!(machine.show(daemon, "Result"), "success");
}

/// `examples/script`, with the fixture in the program's place.
#[test]
fn any_program_is_a_unit_behind_a_port() {
    let engine = Engine::get(Kind::Docker);
    let root = Root::with_bus();
    let etc = Path::new(REPOSITORY).join("examples/script/etc");
    for file in [
        "ondemand-container/report.env",
        "systemd/system/report.service",
        "systemd/system/ondemand-unit@report.socket.d/port.conf",
    ] {
        root.write(&format!("etc/{file}"), &fs::read_to_string(etc.join(file)).unwrap());
    }
    root.write(
        "etc/systemd/system/report.service.d/test.conf",
        "[Service]\nRuntimeDirectory=report\nEnvironment=FIXTURE_DIR=%t/report\nExecStart=\n\
         ExecStart=/usr/local/bin/fixture serve http:18000 --bind 127.0.0.1\n",
    );
    root.append("etc/ondemand-container/report.env", "ONDEMAND_IDLE_TIMEOUT=300ms\n");
    root.write(&RULES[1..], &rules("report.service"));
    let machine = boot(&engine, &root);
    machine.enable(&socket("report"));
    for _ in 0..2 {
        assert_eq!(client::get(machine.at(8000), "/").unwrap().status, 200);
        machine.wait_show("report.service", "ActiveState", "inactive", secs(20));
    }
}

#[test]
fn a_unit_that_fails_resets_its_client_and_says_why() {
    let engine = Engine::get(Kind::Docker);
    let root = Root::with_bus();
    // It says that it is ready only after this: so its start job fails.
    let words = "http:13000 --exit 37 --say 'the disk is full'";
    root.app("app.service", words, "Type=notify");
    root_daemon(&root, "app", "");
    let machine = Machine::boot(&engine, &root);
    machine.enable("daemon.service");
    let error = client::get(machine.at(3000), "/").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
    wait_state(&machine, "failed");
    let told = ["the wake failed", "exit_code=37", "the disk is full"];
    machine.wait_journal("daemon.service", &told);
    assert_eq!(machine.show("app.service", "ActiveState"), "failed");
    // What is mended is served.
    machine.run(
        "sed -i 's/--exit 37//; s/Type=notify//' /etc/systemd/system/app.service && \
         systemctl daemon-reload",
    );
    wait_for("the unit is served", secs(40), || client::get(machine.at(3000), "/").is_ok());
}

/// By its signals, also after the bus, and systemd's place on it, were made anew.
#[test]
fn what_somebody_else_does_to_the_unit_is_noticed() {
    let engine = Engine::get(Kind::Docker);
    let root = Root::with_bus();
    root.app("app.service", "http:13000 --bind 127.0.0.1", "");
    // Its signals come under its first name.
    root_daemon(&root, "alias", "--idle-timeout 1h");
    let machine = Machine::boot(&engine, &root);
    machine.run("ln -s app.service /etc/systemd/system/alias.service");
    machine.enable("daemon.service");
    wait_state(&machine, "asleep");
    machine.run("systemctl start app.service");
    wait_state(&machine, "awake");
    assert_eq!(machine.get().status, 200);
    machine.run("systemctl stop app.service");
    wait_state(&machine, "asleep");
    assert_eq!(machine.get().status, 200);
    assert_eq!(machine.show("app.service", "ActiveState"), "active");

    // systemd 252 says nothing when it freezes a unit: that is found by a look.
    machine.run("systemctl freeze app.service && systemctl restart daemon.service");
    wait_state(&machine, "paused");
    assert_eq!(machine.get().status, 200);
    assert_eq!(machine.show("app.service", "FreezerState"), "running");

    machine.run("systemctl daemon-reexec");
    assert_eq!(machine.get().status, 200);
    machine.run("systemctl stop app.service");
    wait_state(&machine, "asleep");
    machine.run("systemctl restart dbus.service");
    machine.run("systemctl start app.service");
    wait_state(&machine, "awake");
    let journal = machine.journal("daemon.service");
    assert!(journal.matches("the engine cannot be asked").count() <= 1, "{journal}");

    // A unit that is gone and comes again.
    machine.run("systemctl stop app.service");
    wait_state(&machine, "asleep");
    machine.run("mv /etc/systemd/system/app.service /app && systemctl daemon-reload");
    wait_state(&machine, "missing");
    machine.run("mv /app /etc/systemd/system/app.service && systemctl daemon-reload");
    assert_eq!(machine.get().status, 200);
}

/// It is ready when systemd calls it active, not when its port opens; and while somebody else stops it,
/// it is not awake: the client is served by the next run.
#[test]
fn a_unit_that_activates_or_deactivates_is_not_awake() {
    let engine = Engine::get(Kind::Docker);
    let root = Root::with_bus();
    // Long enough to be seen from outside on a busy machine.
    let words = "http:13000 --bind 127.0.0.1 --stop 6000";
    root.app("app.service", words, "ExecStartPost=/bin/sleep 2");
    root_daemon(&root, "app", "--idle-timeout 1h");
    let machine = Machine::boot(&engine, &root);
    machine.enable("daemon.service");
    let first = machine.get();
    // Its port was open two seconds before.
    assert_eq!(machine.show("app.service", "ActiveState"), "active");

    machine.run("systemctl stop --no-block app.service");
    machine.wait_show("app.service", "ActiveState", "deactivating", secs(10));
    wait_state(&machine, "asleep");
    let second = machine.get();
    assert_eq!(second.status, 200);
    assert_ne!(first.run(), second.run());
    let journal = machine.journal("daemon.service");
    assert!(!journal.contains("the wake failed"), "{journal}");
}

/// `systemctl --user`: nobody needs to allow a user anything there.
#[test]
fn a_users_manager_runs_units_as_well() {
    const UNITS: &str = "home/odt/.config/systemd/user";
    let engine = Engine::get(Kind::Docker);
    let root = Root::with_user();
    let app = "[Service]\nEnvironment=FIXTURE_DIR=%t\n\
               ExecStart=/usr/local/bin/fixture serve http:13000 --bind 127.0.0.1\n";
    root.write(&format!("{UNITS}/app.service"), app);
    let home = Path::new(REPOSITORY).join("examples/quadlet/home/.config");
    let read = |path: &str| fs::read_to_string(home.join(path)).unwrap();
    root.write(
        &format!("{UNITS}/ondemand-unit@app.socket.d/port.conf"),
        &read("systemd/user/ondemand-unit@gitea.socket.d/port.conf"),
    );
    let env = read("ondemand-container/gitea.env") + "ONDEMAND_IDLE_TIMEOUT=500ms\n";
    root.write("home/odt/.config/ondemand-container/app.env", &env);
    for unit in ["ondemand-unit@.service", "ondemand-unit@.socket", "ondemand-unit-closed@.target"]
    {
        root.install(&format!("deploy/systemd/user/{unit}"), UNITS);
    }
    let machine = Machine::boot(&engine, &root);
    machine.run("systemctl start user@1000.service");
    let user = |command: &str| machine.run_as_user(&format!("systemctl --user {command}"));
    user("start ondemand-unit@app.socket");
    for _ in 0..2 {
        assert_eq!(machine.get().status, 200);
        assert_eq!(user("show -P ActiveState ondemand-unit@app.service"), "active");
        wait_for("the unit to be at rest", Duration::from_secs(20), || {
            user("show -P ActiveState app.service") == "inactive"
        });
    }
}
