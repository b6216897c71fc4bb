//! What compose 2 writes about the services of a project.

use crate::live::engine::{Engine, IMAGE, Kind};
use crate::nested::machine::Machine;

/// The words that a dependency is told in, on both sides of it.
#[test]
fn labels_tell_what_a_service_depends_on() {
    let host = Engine::get(Kind::Docker);
    let machine = Machine::boot(&host);
    machine.load_fixture("docker load");
    let file = format!(
        "name: notes
services:
  db:
    image: {IMAGE}
    command: serve echo:5432
    healthcheck:
      test: [CMD, /fixture, health]
  cache:
    image: {IMAGE}
    command: serve echo:6379
  web:
    image: {IMAGE}
    command: serve http:8080
    depends_on:
      db:
        condition: service_healthy
      cache:
        condition: service_started
        restart: true
"
    );
    machine.write("/srv/notes/compose.yaml", &file);
    machine.run("cd /srv/notes && docker compose up --no-start");
    let label = |service: &str, name: &str| {
        let name = format!("com.docker.compose.{name}");
        machine.run(&format!(
            "docker inspect -f '{{{{index .Config.Labels \"{name}\"}}}}' notes-{service}-1"
        ))
    };
    let on = label("web", "depends_on");
    let mut on: Vec<&str> = on.split(',').collect();
    on.sort_unstable();
    assert_eq!(on, ["cache:service_started:true", "db:service_healthy:false"]);
    assert_eq!(label("db", "depends_on"), "");
    for service in ["db", "cache", "web"] {
        assert_eq!(label(service, "project"), "notes");
        assert_eq!(label(service, "service"), service);
        assert_eq!(label(service, "container-number"), "1");
        assert_eq!(label(service, "oneoff"), "False");
    }
}
