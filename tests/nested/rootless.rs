//! A user's own Podman, without root anywhere.

use crate::live::clock::{secs, wait_for};
use crate::live::engine::{Engine, IMAGE, Kind};
use crate::nested::machine::{Machine, User};

/// A container whose only way in is its published port, which somebody accepts connections on before the
/// application does.
fn create(user: &User<'_>) {
    user.run(&format!(
        "podman create --name web --publish 127.0.0.1:8080:8080 {IMAGE} serve http:8080 --boot 500"
    ));
}

/// Twice: a client wakes it, and it sleeps again.
fn sleeps_and_wakes(machine: &Machine<'_>, user: &User<'_>) {
    let state = || user.run("podman inspect -f '{{.State.Status}}' web");
    assert_eq!(state(), "created");
    for boot in 1..=2 {
        let answer = machine.get();
        assert_eq!((answer.status, answer.boot()), (200, boot));
        wait_for("the container sleeps", secs(20), || state() == "exited");
    }
}

/// The daemon finds the user's engine by itself, though there is one of root's, too.
#[test]
fn a_users_container_sleeps_and_wakes() {
    let host = Engine::get(Kind::Docker);
    let machine = Machine::boot(&host);
    let user = User::of(&machine);
    create(&user);
    user.run(
        "systemd-run --user --quiet --unit=ondemand -p Type=notify ondemand-container \
         --container web --port 8080 --listen 3000 --idle-timeout 300ms",
    );
    sleeps_and_wakes(&machine, &user);
    let engine = "unix:///run/user/1000/podman/podman.sock";
    wait_for("the journal names the engine", secs(20), || {
        user.journal("ondemand.service").contains(engine)
    });
    let process = user.run("systemctl --user show -P MainPID ondemand");
    assert_eq!(machine.run(&format!("stat -c %U /proc/{process}")), "user");
    assert_eq!(machine.run("test -S /var/run/docker.sock && podman ps -aq"), "");
}

/// `generate systemd --user`: the user's own manager holds the port, and starts the daemon.
#[test]
fn a_users_own_units_wake_it() {
    let host = Engine::get(Kind::Docker);
    let machine = Machine::boot(&host);
    let user = User::of(&machine);
    create(&user);
    user.run(
        "ondemand-container generate systemd --user --container web --port 8080 --listen 3000 \
         --idle-timeout 300ms --exit-idle-time 300ms --output-dir ~/.config/systemd/user",
    );
    user.run("systemctl --user daemon-reload; systemctl --user enable --now ondemand-web.socket");
    sleeps_and_wakes(&machine, &user);
    let show = |property| user.run(&format!("systemctl --user show -P {property} ondemand-web"));
    wait_for("the daemon ends", secs(20), || show("ActiveState") == "inactive");
    assert_eq!(show("Result"), "success");
}

/// `generate quadlet --user`: the daemon is a container of the user's, too.
#[test]
fn a_users_quadlet_wakes_it() {
    let host = Engine::get(Kind::Docker);
    let machine = Machine::boot(&host);
    let user = User::of(&machine);
    create(&user);
    machine.build_image();
    machine.run(
        "podman save --quiet --output /srv/image.tar ondemand-container; chmod 644 /srv/image.tar",
    );
    user.run("podman load --quiet --input /srv/image.tar");
    user.run(
        "ondemand-container generate quadlet --user --container web --port 8080 --listen 3000 \
         --idle-timeout 300ms --output-dir ~/.config/containers/systemd",
    );
    // A user's Quadlets wait until the machine is online, which nothing else here asks for.
    machine.run("systemctl start network-online.target");
    user.run("systemctl --user daemon-reload; systemctl --user start ondemand-web.service");
    sleeps_and_wakes(&machine, &user);
    user.run("podman healthcheck run ondemand-web");
}
