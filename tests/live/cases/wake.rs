//! The first client wakes the container; everybody who comes meanwhile is held and served.

use std::io::{ErrorKind, Read, Write};
use std::thread;

use crate::live::client::{self, checksum, leave_with_reset, pattern};
use crate::live::clock::{ms, now, secs};
use crate::live::container::Container;
use crate::live::daemon::Daemon;
use crate::live::engine::Engine;

/// One start however many clients; all of them served by it.
pub(crate) fn one_start_serves_every_client(engine: &Engine) {
    const CLIENTS: usize = 200;
    let container = Container::create(engine, "http:8080 --boot 500");
    let daemon = Daemon::start(engine, &container, "");
    let address = daemon.address;
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            thread::spawn(move || {
                // They arrive before, during and after the start.
                thread::sleep(ms(n as u64 * 5));
                client::get(address, "/")
            })
        })
        .collect();
    let answers: Vec<_> = clients.into_iter().map(|c| c.join().unwrap().unwrap()).collect();
    let run = answers[0].run();
    for answer in &answers {
        assert_eq!((answer.status, answer.boot(), answer.run()), (200, 1, run.clone()));
    }
    // No connection was made but one for each client: the one that found the port open is used.
    let stats = daemon.get("/stats");
    assert_eq!(stats.field("connections"), (CLIENTS + 1).to_string());
}

/// The probe connection that succeeds is used for the first client.
pub(crate) fn the_probe_connection_serves_the_first_client(engine: &Engine) {
    let container = Container::create(engine, "http:8080 --boot 300");
    let daemon = Daemon::start(engine, &container, "");
    let answer = daemon.get("/stats");
    assert_eq!(answer.text(), "connections=1 requests=1\n");
}

/// A service that speaks first is heard by a client that says nothing.
pub(crate) fn a_server_that_speaks_first_is_heard(engine: &Engine) {
    let container = Container::create(engine, "greet:8080 --boot 300");
    let daemon = Daemon::start(engine, &container, "");
    for boot in ["cold", "warm"] {
        let mut greeting = [0; 19];
        daemon.connect().read_exact(&mut greeting).unwrap();
        assert_eq!(&greeting, b"220 fixture boot=1 ", "{boot}");
    }
}

/// A client that leaves while held is noticed and forgotten.
pub(crate) fn a_client_that_leaves_while_held_is_forgotten(engine: &Engine) {
    let container = Container::create(engine, "http:8080 --boot 5000");
    let daemon = Daemon::start(engine, &container, "");
    let mut leaver = daemon.connect();
    leaver.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    container.wait_output("boot 1");
    leave_with_reset(leaver);
    let answer = daemon.get("/stats");
    assert_eq!(answer.text(), "connections=1 requests=1\n");
}

/// When the only client has left, what it has woken goes back to sleep.
pub(crate) fn a_start_nobody_waits_for_any_more_ends_asleep(engine: &Engine) {
    let container = Container::create(engine, "http:8080 --boot 2000");
    let daemon = Daemon::start(engine, &container, "--idle-timeout 500ms");
    let leaver = daemon.connect();
    container.wait_output("boot 1");
    leave_with_reset(leaver);
    container.wait_asleep();
    assert_eq!(daemon.get("/").boot(), 2);
}

/// A held client's bytes are not read before the container is ready: they wait in the kernel, and
/// a client that sends more than fits there waits with them.
pub(crate) fn a_held_clients_bytes_are_not_read(engine: &Engine) {
    let container = Container::create(engine, "count:8080 --boot 5000");
    let daemon = Daemon::start(engine, &container, "");
    let bytes = pattern(32 << 20);
    let mut stream = daemon.connect();
    let mut sent = 0;
    stream.set_write_timeout(Some(ms(200))).unwrap();
    let start = now();
    while start.elapsed() < ms(1200) && sent < bytes.len() {
        match stream.write(&bytes[sent..]) {
            Ok(length) => sent += length,
            Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
        }
    }
    assert!(sent < bytes.len(), "all of it was read before the container was ready");
    stream.set_write_timeout(Some(secs(30))).unwrap();
    stream.write_all(&bytes[sent..]).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, format!("count={} checksum={}\n", bytes.len(), checksum(&bytes)));
}
