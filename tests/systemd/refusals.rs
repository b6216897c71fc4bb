//! What is wrong is said in the journal, closes the port, and is not tried over and over.

use std::io::ErrorKind;
use std::thread;

use crate::live::client;
use crate::live::clock::secs;
use crate::live::container::Container;
use crate::live::engine::{Engine, Kind};
use crate::systemd::machine::{Machine, Root, service, socket};

/// The service is not in the socket's group.
#[test]
fn a_missing_permission_ends_with_77_and_its_remedy() {
    let drop_in = "SupplementaryGroups=";
    refused("ONDEMAND_LOG_FORMAT=auto", drop_in, "77", "SupplementaryGroups=docker");
}

#[test]
fn a_wrong_configuration_ends_with_78_and_its_place() {
    refused("ONDEMAND_READY=perhaps", "", "78", "--ready");
}

#[test]
fn a_value_that_is_no_port_ends_with_2_and_its_name() {
    refused("ONDEMAND_PORT=http", "", "2", "invalid value 'http' for '--port <PORT>'");
}

/// No such group on this machine: systemd itself cannot start it.
#[test]
fn a_missing_group_is_not_tried_over_and_over() {
    let drop_in = "SupplementaryGroups=nosuchgroup";
    refused("ONDEMAND_LOG_FORMAT=auto", drop_in, "216", "status=216/GROUP");
}

/// The port is not told at all.
#[test]
fn a_missing_environment_file_ends_with_78_and_what_is_missing() {
    refused("", "EnvironmentFile=", "78", "--port: is missing");
}

#[track_caller]
fn refused(option: &str, drop_in: &str, status: &str, message: &str) {
    let engine = Engine::get(Kind::Docker);
    let container = Container::create(&engine, "http:3000");
    let root = Root::new();
    root.instance(&container.name, &[option]);
    root.service_drop_in(&container.name, drop_in);
    let machine = Machine::boot(&engine, &root);
    let (socket, service) = (socket(&container.name), service(&container.name));
    machine.enable(&socket);
    // systemd turns it away: by a reset, or by an end if it has not asked yet.
    client::get(machine.at(3000), "/").unwrap_err();
    machine.wait_show(&socket, "ActiveState", "inactive", secs(20));
    machine.wait_show(&service, "ActiveState", "failed", secs(20));
    assert_eq!(machine.show(&service, "ExecMainStatus"), status);
    machine.wait_journal(&service, &[message]);
    assert_eq!(machine.show(&service, "NRestarts"), "0");
    assert!(!container.runs());
    // The client in the queue may start it once more before the port is closed.
    let starts = machine.journal(&service).matches("Main process exited").count();
    assert!(starts <= 3, "{starts} starts");
    let refused = client::get(machine.at(3000), "/").expect_err("the port is closed");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    machine.run(&format!("systemctl start '{socket}'"));
    assert_eq!(machine.show(&socket, "SubState"), "listening", "it can be opened again");
}

/// An engine that is not there yet is no reason to give up: the client is held until it is.
#[test]
fn an_engine_that_comes_late_is_waited_for() {
    let engine = Engine::get(Kind::Docker);
    let container = Container::create(&engine, "http:3000");
    let root = Root::new();
    root.instance(&container.name, &["ONDEMAND_ENGINE=unix:///run/late/docker.sock"]);
    let machine = Machine::boot(&engine, &root);
    machine.enable(&socket(&container.name));
    let address = machine.at(3000);
    let held = thread::spawn(move || client::get(address, "/").map(|answer| answer.status));
    machine.wait_show(&service(&container.name), "ActiveState", "active", secs(20));
    machine.run("mkdir /run/late && ln -s /var/run/docker.sock /run/late/docker.sock");
    assert_eq!(held.join().unwrap().unwrap(), 200);
}
