//! What deploy/ and examples/ show, done.

use std::fs;
use std::io::{Read, Write};
use std::net::UdpSocket;
use std::path::Path;
use std::process::Command;

use crate::live::built;
use crate::live::client;
use crate::live::clock::{poll, secs};
use crate::live::container::Container;
use crate::live::engine::{Engine, Kind};
use crate::live::scratch::{self, Dir};
use crate::systemd::compose::Project;
use crate::systemd::machine::{Machine, REPOSITORY, Root, service, socket};

/// `deploy/compose`: created but not started by compose, served through its socket.
#[test]
fn a_compose_application_is_started_by_its_first_client() {
    let engine = Engine::get(Kind::Docker);
    let container = format!("odt-{}-{}", std::process::id(), scratch::number());
    let project = Project::new("deploy/compose/compose.yaml", "notes", &container, &[], "");
    project.run(&["up", "--no-start"]);
    let root = Root::new();
    root.install_etc("deploy/compose/etc", "notes", &container);
    root.append(
        &format!("etc/ondemand-container/{container}.env"),
        "ONDEMAND_IDLE_TIMEOUT=300ms\n",
    );
    let machine = Machine::boot(&engine, &root);
    // The project's own network: the machine routes there as a host does.
    let network = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}";
    let network = engine.cli(&["inspect", "-f", network, &container]);
    machine.join(&network);
    machine.enable(&socket(&container));
    let state = || engine.cli(&["inspect", "-f", "{{.State.Status}}", &container]);
    assert_eq!(state(), "created");
    for boot in 1..=2 {
        assert_eq!(client::get(machine.at(8080), "/").unwrap().boot(), boot);
        assert!(poll(secs(20), || (state() == "exited").then_some(())).is_some());
    }
}

/// `examples/dns`: a question over UDP starts the daemon and the container, and is answered, though
/// it is asked only once; so is the next, when both have ended.
#[test]
fn a_datagram_starts_the_daemon_and_is_answered() {
    let engine = Engine::get(Kind::Docker);
    let container = Container::create(&engine, "udp:53 echo:53 --boot 300");
    let root = Root::new();
    root.install_etc("examples/dns/etc", "dns", &container.name);
    let env = format!("etc/ondemand-container/{}.env", container.name);
    // A window that the connection after the datagram surely falls into.
    let short =
        "ONDEMAND_IDLE_TIMEOUT=3s\nONDEMAND_UDP_IDLE=300ms\nONDEMAND_EXIT_IDLE_TIME=300ms\n";
    root.append(&env, short);
    let machine = Machine::boot(&engine, &root);
    machine.enable(&socket(&container.name));
    let service = service(&container.name);
    for boot in 1..=2 {
        let client = UdpSocket::bind("0.0.0.0:0").unwrap();
        client.connect(machine.at(53)).unwrap();
        client.set_read_timeout(Some(secs(30))).unwrap();
        client.send(b"question").unwrap();
        let mut answer = [0; 100];
        let len = client.recv(&mut answer).expect("an answer to the only question");
        assert_eq!(String::from_utf8_lossy(&answer[..len]), format!("boot={boot} question"));
        let mut stream = client::connect(machine.at(53)).unwrap();
        stream.write_all(b"over TCP").unwrap();
        stream.read_exact(&mut answer[..8]).unwrap();
        assert_eq!(&answer[..8], b"over TCP");
        drop(stream);
        machine.wait_show(&service, "ActiveState", "inactive", secs(20));
        assert!(container.sleeps(), "the container sleeps before the daemon exits");
    }
}

/// `examples/compose-sidecar` with the image of the Dockerfile: the daemon alone publishes a port.
#[test]
fn the_daemon_as_a_container_wakes_its_neighbour() {
    let engine = Engine::get(Kind::Docker);
    let image = Image::build(&engine);
    let container = format!("odt-{}-{}", std::process::id(), scratch::number());
    let published = format!("{}:{}", scratch::address(), 32_000 + scratch::number());
    let more = format!(
        "  ondemand:\n    image: {}\n    container_name: {container}-daemon\n    labels:\n      ondemand-test: {container}\n    \
         environment:\n      ONDEMAND_CONTAINER: {container}\n      ONDEMAND_IDLE_TIMEOUT: 300ms\n",
        image.name
    );
    let project = Project::new(
        "examples/compose-sidecar/compose.yaml",
        "gitea",
        &container,
        &[("GITEA_PORT", &published)],
        &more,
    );
    project.run(&["up", "--no-start"]);
    project.run(&["start", "ondemand"]);
    let state = || engine.cli(&["inspect", "-f", "{{.State.Status}}", &container]);
    let address = published.parse().unwrap();
    assert_eq!(state(), "created");
    for boot in 1..=2 {
        // What publishes the port accepts before the daemon has started.
        let answer = poll(secs(20), || client::get(address, "/").ok()).expect("an answer");
        assert_eq!((answer.status, answer.boot()), (200, boot));
        assert!(poll(secs(20), || (state() == "exited").then_some(())).is_some());
    }
    project.run(&["stop", "ondemand"]);
    let daemon = format!("{container}-daemon");
    let status = engine.cli(&["inspect", "-f", "{{.State.ExitCode}}", &daemon]);
    assert_eq!(status, "0", "the daemon ends by SIGTERM");
}

/// The image of the Dockerfile, from the static binary that is there.
struct Image<'e> {
    name: String,
    engine: &'e Engine,
}

impl<'e> Image<'e> {
    fn build(engine: &'e Engine) -> Self {
        let name = format!("odt-{}-{}", std::process::id(), scratch::number());
        // A tree as the repository's is after `make setup`, wherever cargo builds to.
        let tree = Dir::new();
        for file in ["Dockerfile", ".dockerignore"] {
            fs::copy(Path::new(REPOSITORY).join(file), tree.join(file)).unwrap();
        }
        let binary = built::binary("ondemand-container");
        let inside = format!("target/{}/release", built::target());
        fs::create_dir_all(tree.join(&inside)).unwrap();
        fs::copy(&binary, tree.join(&inside).join("ondemand-container")).unwrap();
        let image = Image { name, engine };
        let output = Command::new("docker")
            .args(["-H", &engine.url(), "build", "-q", "-t", &image.name, "--build-arg"])
            .arg(format!("BINARY={inside}/ondemand-container"))
            .arg(tree.path())
            .env("DOCKER_BUILDKIT", "0")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        image
    }
}

impl Drop for Image<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.engine.try_cli(&["rmi", "-f", &self.name]) {
            eprintln!("image {}: {error}", self.name);
        }
    }
}
