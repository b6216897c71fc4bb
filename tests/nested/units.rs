//! Quadlet containers that sleep: their units are what is woken and stopped.

use std::fs;

use crate::live::client;
use crate::live::clock::{secs, wait_for};
use crate::live::engine::{Engine, IMAGE, Kind};
use crate::nested::machine::{Machine, REPOSITORY, User};

/// A Quadlet file whose container is healthy 700 ms after its port has opened.
const NOTIFIES: &str = "Exec=serve http:8080 --healthy-after 700\nHealthCmd=/fixture health\n\
                        HealthInterval=1s\nNotify=healthy\n";

/// Its unit is active before its port opens.
const PLAIN: &str = "Exec=serve http:8080 --boot 500\n";

fn quadlet(lines: &str) -> String {
    format!("[Container]\nImage={IMAGE}\nPublishPort=127.0.0.1:8080:8080\n{lines}")
}

/// A file of `examples/quadlet` with the fixture in the application's place, which is healthy some time
/// after its port has opened.
fn example(file: &str) -> String {
    let path = format!("{REPOSITORY}/examples/quadlet/{file}");
    let mut text = fs::read_to_string(path).unwrap();
    for (shipped, here) in [
        (
            "Image=docker.io/gitea/gitea:latest",
            &*format!("Image={IMAGE}\nExec=serve http:3000 --healthy-after 700"),
        ),
        (
            "HealthCmd=wget -q -O /dev/null http://127.0.0.1:3000/api/healthz",
            "HealthCmd=/fixture health",
        ),
    ] {
        assert!(text.contains(shipped), "{text}");
        text = text.replace(shipped, here);
    }
    text
}

/// Short times for what the example has long ones for.
const SHORT: &str = "ONDEMAND_IDLE_TIMEOUT=300ms\\nONDEMAND_EXIT_IDLE_TIME=300ms\\n";

/// Thrice, each time in a container made anew: the first client is answered once systemd calls the unit
/// active, and then the unit sleeps and its container is gone. `run` asks the manager and the Podman of
/// the unit's owner.
fn sleeps_and_wakes(machine: &Machine<'_>, unit: &str, run: &dyn Fn(&str) -> String) {
    let state = |unit: &str| run(&format!("systemctl $MANAGER show -P ActiveState {unit}"));
    assert_eq!(state(unit), "inactive");
    let mut runs = Vec::new();
    for _ in 1..=3 {
        let mut stream = client::connect(machine.at(3000)).unwrap();
        // Until it is healthy the answer is 503.
        let answer = client::ask_on(&mut stream, "/healthz").unwrap();
        assert_eq!(answer.status, 200, "who is let in before it is healthy is told so");
        assert_eq!(state(unit), "active");
        runs.push(answer.run());
        drop(stream);
        wait_for("the unit is at rest", secs(30), || state(unit) == "inactive");
        assert_eq!(run("podman ps -aq"), "", "the container is gone");
    }
    runs.dedup();
    assert_eq!(runs.len(), 3, "{runs:?}");
}

fn as_root<'m>(machine: &'m Machine<'_>) -> impl Fn(&str) -> String + 'm {
    |script| machine.run(&format!("MANAGER=--system; {script}"))
}

fn as_user<'m>(user: &'m User<'_>) -> impl Fn(&str) -> String + 'm {
    |script| user.run(&format!("MANAGER=--user; {script}"))
}

/// `--unit web`, of root's.
#[test]
fn a_quadlet_wakes_once_it_is_healthy() {
    root_serves(NOTIFIES);
}

/// Its port is what says that it is ready.
#[test]
fn a_quadlet_that_notifies_nothing_wakes_by_its_port() {
    root_serves(PLAIN);
}

fn root_serves(lines: &str) {
    let host = Engine::get(Kind::Docker);
    let machine = Machine::boot(&host);
    machine.load_fixture("podman load");
    machine.write("/etc/containers/systemd/web.container", &quadlet(lines));
    machine.run("systemctl daemon-reload");
    machine.start_daemon("ondemand", "--unit web --port 8080 --listen 3000 --idle-timeout 300ms");
    sleeps_and_wakes(&machine, "web.service", &as_root(&machine));
    machine.run("systemctl stop ondemand");
    assert_eq!(machine.show("ondemand", "Result"), "success");
}

/// `--unit web --engine systemd-user`, of a user's.
#[test]
fn a_users_quadlet_wakes_once_it_is_healthy() {
    user_serves(NOTIFIES);
}

/// What forwards the port accepts before the application listens.
#[test]
fn a_users_quadlet_that_notifies_nothing_wakes_by_its_port() {
    user_serves(PLAIN);
}

fn user_serves(lines: &str) {
    let host = Engine::get(Kind::Docker);
    let machine = Machine::boot(&host);
    let user = User::of(&machine);
    machine.write("/home/user/.config/containers/systemd/web.container", &quadlet(lines));
    machine.run("chown -R user: /home/user/.config");
    // A user's Quadlets wait until the machine is online, which nothing else here asks for.
    machine.run("systemctl start network-online.target");
    user.run(
        "systemctl --user daemon-reload; systemd-run --user --quiet --unit=ondemand -p Type=notify \
         ondemand-container --unit web --engine systemd-user --port 8080 --listen 3000 \
         --idle-timeout 300ms",
    );
    sleeps_and_wakes(&machine, "web.service", &as_user(&user));
    let journal = user.journal("ondemand.service");
    assert!(!journal.contains("failed"), "{journal}");
}

/// `examples/quadlet`, as its README says: the port is systemd's, and the daemon a user of no rights but
/// that of polkit's rule.
#[test]
fn the_example_serves() {
    let host = Engine::get(Kind::Docker);
    let machine = Machine::boot(&host);
    machine.load_fixture("podman load");
    machine.copy(&format!("{REPOSITORY}/deploy"), "/srv/deploy");
    machine.copy(&format!("{REPOSITORY}/examples"), "/srv/examples");
    machine.run(
        "cd /srv && cp deploy/systemd/ondemand-unit* /etc/systemd/system/ && \
         systemd-sysusers deploy/sysusers.d/ondemand-unit.conf && \
         cp deploy/polkit/50-ondemand-container.rules /etc/polkit-1/rules.d/ && \
         cp -r examples/quadlet/etc /",
    );
    let file = "etc/containers/systemd/gitea.container";
    machine.write(&format!("/{file}"), &example(file));
    machine.run(&format!("printf '{SHORT}' >> /etc/ondemand-container/gitea.env"));
    machine.run("systemctl daemon-reload; systemctl enable --now ondemand-unit@gitea.socket");
    sleeps_and_wakes(&machine, "gitea.service", &as_root(&machine));
    let daemon = "ondemand-unit@gitea.service";
    machine.wait_show(daemon, "ActiveState", "inactive", secs(20));
    assert_eq!(machine.show(daemon, "Result"), "success");
}

/// The same without root.
#[test]
fn the_example_serves_a_user() {
    let host = Engine::get(Kind::Docker);
    let machine = Machine::boot(&host);
    let user = User::of(&machine);
    machine.copy(&format!("{REPOSITORY}/deploy"), "/srv/deploy");
    machine.copy(&format!("{REPOSITORY}/examples"), "/srv/examples");
    let file = "home/.config/containers/systemd/gitea.container";
    machine.write(&format!("/srv/examples/quadlet/{file}"), &example(file));
    machine.run("chmod -R a+rX /srv; systemctl start network-online.target");
    user.run(
        "cd /srv && mkdir -p ~/.config/systemd/user && \
         cp deploy/systemd/user/ondemand-unit* ~/.config/systemd/user/ && \
         cp -r examples/quadlet/home/.config ~/",
    );
    user.run(&format!("printf '{SHORT}' >> ~/.config/ondemand-container/gitea.env"));
    user.run(
        "systemctl --user daemon-reload; systemctl --user enable --now ondemand-unit@gitea.socket",
    );
    sleeps_and_wakes(&machine, "gitea.service", &as_user(&user));
    let show = |property| {
        user.run(&format!("systemctl --user show -P {property} ondemand-unit@gitea.service"))
    };
    wait_for("the daemon ends", secs(20), || show("ActiveState") == "inactive");
    assert_eq!(show("Result"), "success");
}
