//! A client that comes while the container is being stopped.

use std::thread;

use crate::live::clock::{ms, secs, wait_for};
use crate::live::container::Container;
use crate::live::daemon::Daemon;
use crate::live::engine::Engine;

/// It is held, the stop is let finish, the container is started again, the client is served.
pub(crate) fn a_client_during_the_stop_is_held_and_served(engine: &Engine) {
    let container = Container::create(engine, "http:8080 --stop 1500");
    let daemon = Daemon::start(engine, &container, "--idle-timeout 3s");
    for boot in 1..=2 {
        assert_eq!(daemon.get("/").boot(), boot);
        wait_sigterm(&container, boot);
    }
    // Several of them, at different moments of one stop.
    assert_eq!(daemon.get("/").boot(), 3);
    wait_sigterm(&container, 3);
    let address = daemon.address;
    let clients: Vec<_> = (0..10)
        .map(|n| {
            thread::spawn(move || {
                thread::sleep(ms(n * 150));
                crate::live::client::get(address, "/").unwrap()
            })
        })
        .collect();
    for client in clients {
        let answer = client.join().unwrap();
        assert_eq!((answer.status, answer.boot()), (200, 4));
    }
}

/// An application that ignores SIGTERM is killed after the stop timeout, and the client that came
/// meanwhile has its answer soon after.
pub(crate) fn a_client_during_a_stubborn_stop_is_served(engine: &Engine) {
    // Its own limit is out of the question: ours has to be the one that counts.
    let container =
        Container::create_with(engine, &["--stop-timeout", "300"], "http:8080 --stop ignore");
    let daemon = Daemon::start(engine, &container, "--idle-timeout 200ms --stop-timeout 2s");
    assert_eq!(daemon.get("/").boot(), 1);
    container.wait_output("SIGTERM ignored");
    assert_eq!(daemon.get("/").boot(), 2);
}

fn wait_sigterm(container: &Container<'_>, times: u64) {
    wait_for("SIGTERM reaches the application", secs(30), || {
        container.output().matches("SIGTERM").count() as u64 >= times
    });
}
