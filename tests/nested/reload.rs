//! `systemctl reload` of the unit that serves a file.

use crate::live::client;
use crate::live::clock::{secs, wait_for};
use crate::live::engine::{Engine, IMAGE, Kind};
use crate::nested::machine::{Machine, REPOSITORY};

const UNIT: &str = "ondemand-container.service";
const FILE: &str = "/etc/ondemand-container/config.toml";

/// systemd hears of it from the daemon, too, and both ways go together.
#[test]
fn the_unit_is_reloaded() {
    let host = Engine::get(Kind::Docker);
    let machine = Machine::boot(&host);
    machine.load_fixture("docker load");
    for name in ["first", "second"] {
        machine.run(&format!("docker create --name {name} {IMAGE} serve http:8080"));
    }
    let service = |name: &str, listen: u16| {
        format!("[services.{name}]\nport = 8080\nlisten = \"{listen}\"\nengine = \"docker\"\n")
    };
    let first = service("first", 3000);
    machine.write(FILE, &first);
    machine.copy(&format!("{REPOSITORY}/deploy/systemd/{UNIT}"), "/etc/systemd/system/");
    machine.run(&format!("systemctl daemon-reload; systemctl start {UNIT}"));
    let mut stays = client::connect(machine.at(3000)).unwrap();
    let before = client::ask_on(&mut stays, "/").unwrap();

    machine.write(FILE, &format!("{first}{}", service("second", 3001)));
    machine.run(&format!("systemctl reload {UNIT}"));
    assert_eq!(client::get(machine.at(3001), "/").unwrap().status, 200);
    machine.wait_show(UNIT, "SubState", "running", secs(20));

    machine.write(FILE, "[services.first]\nport = \"many\"\n");
    machine.try_run(&format!("systemctl reload {UNIT}")).unwrap_err();
    machine.wait_journal(UNIT, &["config.toml:2: "]);
    machine.wait_show(UNIT, "SubState", "running", secs(20));
    assert_eq!(client::get(machine.at(3001), "/").unwrap().status, 200);

    // By the signal it changes the services, too.
    machine.write(FILE, &first);
    machine.run(&format!("systemctl kill --kill-whom=main -s HUP {UNIT}"));
    wait_for("the second one is refused", secs(20), || client::connect(machine.at(3001)).is_err());
    machine.wait_show(UNIT, "SubState", "running", secs(20));
    assert_eq!(client::get_on(&mut stays, "/").unwrap().run(), before.run());
}
