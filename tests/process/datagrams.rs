//! UDP: datagrams are kept while the container starts, answered from where they were sent to, and
//! keep the container awake.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::io::IoSlice;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use nix::errno::Errno;
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use crate::support::client::Client;
use crate::support::container::Status;
use crate::support::daemon::Daemon;
use crate::support::datagrams::{DatagramApp, DatagramClient, free_address};
use crate::support::engine::Call;
use crate::support::launch::Launch;
use crate::support::scene::Scene;
use crate::support::{holds_for, ms, now, wait_until};

/// A scene whose container has a UDP application, and where its clients send to.
pub(crate) struct Datagrams {
    pub(crate) scene: Scene,
    pub(crate) app: DatagramApp,
    pub(crate) address: SocketAddr,
}

impl Datagrams {
    pub(crate) fn new() -> Self {
        Self { scene: Scene::new(), app: DatagramApp::new(), address: free_address() }
    }

    /// A daemon for the UDP port alone, without a place to listen.
    pub(crate) fn launch(&self, flags: &[&str]) -> Launch {
        let mut launch = Launch::new()
            .args(["--container", "app", "--port", &format!("{}/udp", self.app.address.port())])
            .args(["--upstream", &self.app.address.ip().to_string()])
            .args(["--engine", &self.scene.engine.url(), "--log-format", "text", "-v"])
            .env("NOTIFY_SOCKET", self.scene.dir.join("notify"));
        let defaults =
            [("--idle-timeout", "200ms"), ("--start-timeout", "5s"), ("--udp-idle", "300ms")];
        for (flag, value) in defaults {
            if !flags.contains(&flag) {
                launch = launch.args([flag, value]);
            }
        }
        launch.args(flags.iter().copied())
    }

    pub(crate) fn daemon(&self, flags: &[&str]) -> Daemon {
        let listen = format!("udp:{}", self.address);
        self.scene.run(self.launch(flags).args(["--listen", &listen]))
    }

    pub(crate) fn client(&self) -> DatagramClient {
        DatagramClient::new(self.address)
    }

    /// Waits for the start and has the application bind its port.
    pub(crate) fn boot(&mut self) {
        let starts = self.scene.engine.count(Call::Start).max(1);
        self.scene.engine.wait_count(Call::Start, starts);
        self.scene.engine.wait_status(Status::Running);
        self.app.bind();
    }
}

#[test]
fn the_first_datagrams_wait_for_the_start_and_come_in_their_order() {
    let mut it = Datagrams::new();
    let _daemon = it.daemon(&["--udp-idle", "1m"]);
    let client = it.client();
    let sent: Vec<String> = (0..20).map(|n| format!("datagram {n}")).collect();
    for datagram in &sent {
        client.send(datagram.as_bytes());
    }
    it.scene.engine.wait_status(Status::Running);
    // Nobody is bound to its port for some time after the start.
    holds_for(ms(150), "nothing is answered", || it.app.received().is_empty());
    it.app.bind();
    for datagram in &sent {
        assert_eq!(client.receive(), format!("re:{datagram}").into_bytes());
    }
    assert_eq!(it.app.received(), sent.iter().map(String::as_bytes).collect::<Vec<_>>());
    client.ask("and when it is awake");
    assert_eq!(it.scene.engine.count(Call::Start), 1);
}

#[test]
fn two_hundred_clients_of_one_start_are_all_answered() {
    let mut it = Datagrams::new();
    let _daemon = it.daemon(&["--udp-idle", "1m"]);
    let clients: Vec<_> = (0..200).map(|_| it.client()).collect();
    for (n, client) in clients.iter().enumerate() {
        client.send(format!("client {n}").as_bytes());
    }
    it.boot();
    for (n, client) in clients.iter().enumerate() {
        assert_eq!(client.receive(), format!("re:client {n}").into_bytes());
    }
    assert_eq!(it.scene.engine.count(Call::Start), 1);
}

#[test]
fn a_flow_keeps_it_awake_until_it_has_been_silent_for_its_time() {
    let mut it = Datagrams::new();
    let _daemon = it.daemon(&["--udp-idle", "3s", "--idle-timeout", "0s"]);
    let client = it.client();
    client.send(b"wake");
    it.boot();
    assert_eq!(client.receive(), b"re:wake");
    let mut silent = now();
    for n in 0..3 {
        holds_for(ms(1200), "it stays awake", || it.scene.engine.count(Call::Stop) == 0);
        silent = now();
        client.ask(&format!("still here {n}"));
    }
    it.scene.engine.wait_status(Status::Exited);
    assert!(silent.elapsed() >= ms(2990), "asleep {:?} after the last datagram", silent.elapsed());
    it.app.unbind();
    client.send(b"again");
    it.scene.engine.wait_count(Call::Start, 2);
    it.boot();
    assert_eq!(client.receive(), b"re:again");
}

/// What the application sends is use, too: a client may only listen.
#[test]
fn answers_alone_keep_a_flow_alive() {
    let it = Datagrams::new();
    let _daemon = it.daemon(&["--udp-idle", "2s", "--idle-timeout", "0s"]);
    let upstream = UdpSocket::bind(it.app.address).unwrap();
    let client = it.client();
    client.send(b"subscribe");
    let mut buffer = [0; 100];
    upstream.set_read_timeout(Some(ms(10_000))).unwrap();
    let (_, flow) = upstream.recv_from(&mut buffer).unwrap();
    for n in 0..5_u8 {
        std::thread::sleep(ms(500));
        upstream.send_to(&[n], flow).unwrap();
        assert_eq!(client.receive(), [n]);
    }
    assert_eq!(it.scene.engine.count(Call::Stop), 0);
    it.app.fall_silent();
    it.scene.engine.wait_status(Status::Exited);
}

/// The client is connected, so the kernel gives it no answer from anywhere else.
#[test]
fn answers_come_from_the_address_that_was_spoken_to() {
    let mut it = Datagrams::new();
    let port = it.address.port();
    let everywhere = format!("udp:{port}");
    let _daemon = it.scene.run(it.launch(&["--listen", &everywhere]));
    let client = DatagramClient::new(([127, 78, 0, 9], port).into());
    client.send(b"hello");
    it.boot();
    assert_eq!(client.receive(), b"re:hello");
    DatagramClient::new(([127, 78, 0, 10], port).into()).ask("another");
    if UdpSocket::bind("[::1]:0").is_ok() {
        DatagramClient::new((std::net::Ipv6Addr::LOCALHOST, port).into()).ask("over IPv6");
    }
}

/// What `ListenDatagram=` with a bare port is: IPv4 comes in as IPv6.
#[test]
fn a_socket_of_both_families_answers_from_the_address_that_was_spoken_to() {
    let mut it = Datagrams::new();
    let both = socket2::Socket::new(socket2::Domain::IPV6, socket2::Type::DGRAM, None).unwrap();
    both.set_only_v6(false).unwrap();
    let port = it.address.port();
    both.bind(&SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port)).into()).unwrap();
    let _daemon = it.scene.run(it.launch(&[]).sockets([both.into()]));
    let client = DatagramClient::new(([127, 78, 0, 9], port).into());
    client.send(b"over IPv4");
    it.boot();
    assert_eq!(client.receive(), b"re:over IPv4");
    DatagramClient::new(([127, 78, 0, 10], port).into()).ask("another");
    DatagramClient::new((std::net::Ipv6Addr::LOCALHOST, port).into()).ask("over IPv6");
}

#[test]
fn an_oversized_datagram_is_dropped_and_counted_and_disturbs_nobody() {
    let mut it = Datagrams::new();
    let listen = format!("udp:[::1]:{}", it.address.port());
    let daemon = it.scene.run(it.launch(&["--listen", &listen]));
    let address = (std::net::Ipv6Addr::LOCALHOST, it.address.port()).into();
    let (client, other) = (DatagramClient::new(address), DatagramClient::new(address));
    client.send(b"wake");
    it.boot();
    assert_eq!(client.receive(), b"re:wake");
    // Longer than a datagram over IPv4 can be, and the application is reached over IPv4.
    client.send(&vec![b'x'; 65_520]);
    daemon.wait_log(&["dropped", "oversized=1"]);
    other.ask("undisturbed");
    client.ask("also undisturbed");
    client.send(&vec![b'y'; 60_000]);
    assert_eq!(client.receive().len(), 60_003);
    assert!(it.app.received().iter().all(|datagram| datagram.len() <= 60_000));
}

#[test]
fn empty_datagrams_are_datagrams() {
    let mut it = Datagrams::new();
    let _daemon = it.daemon(&[]);
    let client = it.client();
    client.send(b"");
    it.boot();
    assert_eq!(client.receive(), b"re:");
    client.ask("");
}

#[test]
fn what_is_kept_while_it_starts_is_bounded() {
    let mut it = Datagrams::new();
    let daemon = it.daemon(&[]);
    let client = it.client();
    for n in 0..200_u8 {
        client.send(&[n]);
    }
    daemon.wait_log(&["dropped", "too_many_while_starting"]);
    it.boot();
    wait_until("the kept ones to come", || it.app.received().len() >= 64);
    let first: Vec<Vec<u8>> = (0..64).map(|n| vec![n]).collect();
    assert_eq!(it.app.received()[..64], first[..]);
    for n in &first {
        assert_eq!(client.receive(), [b"re:", &n[..]].concat());
    }
}

/// The application's first life ends; what comes then wakes it again instead of going to an
/// address that may be somebody else's.
#[test]
fn the_next_datagram_after_its_death_wakes_it_again() {
    let mut it = Datagrams::new();
    let daemon = it.daemon(&["--udp-idle", "1m", "--idle-timeout", "1m"]);
    let client = it.client();
    client.send(b"one");
    it.boot();
    assert_eq!(client.receive(), b"re:one");
    it.app.unbind();
    it.scene.engine.end_container(143, &["kill", "die", "stop"]);
    daemon.wait_log(&["put to rest"]);
    client.send(b"two");
    it.scene.engine.wait_count(Call::Start, 2);
    it.boot();
    assert_eq!(client.receive(), b"re:two");
    assert_eq!(it.app.received(), [b"one", b"two"]);
}

#[test]
fn when_the_start_fails_the_datagrams_are_dropped_and_the_next_one_tries_again() {
    let mut it = Datagrams::new();
    let daemon = it.daemon(&[]);
    it.scene.engine.alter(|container| {
        container.boot = crate::support::container::Boot::Exits(ms(5), 3);
    });
    let client = it.client();
    client.send(b"in vain");
    // Not by its state, which was the same before.
    wait_until("its end", || {
        let mut ended = false;
        it.scene.engine.alter(|container| ended = container.exit_code == 3);
        ended
    });
    it.scene.engine.alter(|container| {
        container.boot = crate::support::container::Boot::Listens(ms(5));
    });
    wait_until("a later start", || {
        client.send(b"again");
        std::thread::sleep(ms(20));
        it.scene.engine.count(Call::Start) > 1
    });
    it.boot();
    wait_until("an answer", || {
        client.send(b"again");
        client.receive_within(ms(50)).is_some()
    });
    drop(daemon);
}

#[test]
fn a_client_over_the_limit_is_counted_and_connections_are_served_all_the_same() {
    let mut it = Datagrams::new();
    it.app.bind();
    let port = it.scene.app.port().to_string();
    let listens = [it.scene.address().to_string(), format!("udp:{}", it.address)];
    let launch = Launch::new()
        .args(["--container", "app", "--port", &port])
        .args(["--port", &format!("{}/udp", it.app.address.port())])
        .args(["--listen", &listens[0], "--listen", &listens[1], "--idle-timeout", "200ms"])
        .args(["--engine", &it.scene.engine.url(), "--log-format", "text", "-v"])
        .env("NOTIFY_SOCKET", it.scene.dir.join("notify"))
        .open_files(140);
    let daemon = it.scene.run(launch);
    let clients: Vec<_> = (0..60).map(|_| it.client()).collect();
    for client in &clients {
        client.send(b"hello");
    }
    daemon.wait_log(&["dropped", "too_many_clients"]);
    it.scene.client().echo("a connection");
}

/// Awake, a datagram costs the engine nothing.
#[test]
fn warm_datagrams_ask_the_engine_nothing() {
    let mut it = Datagrams::new();
    let _daemon = it.daemon(&["--idle-timeout", "1m"]);
    it.client().send(b"wake");
    it.boot();
    it.client().ask("awake");
    let before = it.scene.engine.settled();
    for n in 0..300 {
        it.client().ask(&format!("question {n}"));
    }
    assert_eq!(it.scene.engine.count_all(), before);
}

/// Streams beside datagrams of one container: see also the tests of ports.
#[test]
fn a_dying_flow_harms_no_connection() {
    let mut it = Datagrams::new();
    it.app.bind();
    let udp = format!("{}/udp", it.app.address.port());
    let listen = format!("udp:{}", it.address);
    let flags =
        ["--port", &udp, "--listen", &listen, "--udp-idle", "100ms", "--idle-timeout", "1m"];
    let _daemon = it.scene.daemon(&flags);
    let mut client = Client::connect(it.scene.address());
    client.echo("first");
    let datagrams = it.client();
    datagrams.send(b"to a port of 127.0.0.1 that nobody is bound to");
    client.echo("second");
    holds_for(ms(300), "the flow ends alone", || client.is_held());
    client.echo("third");
    assert_eq!(it.scene.engine.count(Call::Start), 1);
}

/// Sends without a pause until it is dropped, faster than anybody passes on: as many datagrams with
/// one call as the kernel takes, 64 if it is an old one, and more than may be passed on with one.
struct Flood {
    ended: Arc<AtomicBool>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Flood {
    fn new(to: SocketAddr) -> Self {
        let ended = Arc::new(AtomicBool::new(false));
        let flood = |_| {
            let over = Arc::clone(&ended);
            let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
            socket.connect(to).unwrap();
            thread::spawn(move || {
                let mut bytes = vec![0; 128];
                while !over.load(Ordering::Relaxed) {
                    let (slices, told) =
                        ([IoSlice::new(&bytes)], [ControlMessage::UdpGsoSegments(&1)]);
                    let flags = MsgFlags::empty();
                    let sent = sendmsg::<()>(socket.as_raw_fd(), &slices, &told, flags, None);
                    if sent == Err(Errno::EINVAL) {
                        bytes.truncate(64);
                    }
                }
            })
        };
        let threads = (0..2).map(flood).collect();
        Self { ended, threads }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

#[test]
fn a_flood_of_datagrams_leaves_connections_their_turn_and_the_daemon_its_end() {
    let it = Datagrams::new();
    // Bound, and read by nobody: what finds no room there is dropped by the kernel.
    let app = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp = format!("{}/udp", app.local_addr().unwrap().port());
    let listen = format!("udp:{}", it.address);
    let mut daemon = it.scene.daemon(&["--port", &udp, "--listen", &listen]);
    it.scene.client().echo("before");
    let _flood = Flood::new(it.address);
    for n in 0..5 {
        it.scene.client().echo(&format!("connection {n}"));
    }
    daemon.terminate();
    assert_eq!(daemon.wait_exit(), 0);
}

/// What is kept for a refusal that no longer comes would leave no room for others.
#[test]
fn unanswered_clients_of_an_awake_container_leave_room_for_others() {
    let mut it = Datagrams::new();
    let _daemon = it.daemon(&["--udp-idle", "1m", "--idle-timeout", "1m"]);
    it.app.fall_silent();
    it.client().send(b"wake");
    it.boot();
    wait_until("it is awake", || it.app.received().len() == 1);
    // 4 MiB are kept of all clients at most.
    let long = vec![0; 60_000];
    let mut clients = Vec::new();
    for _ in 0..75 {
        let before = it.app.received().len();
        wait_until("one comes, at the latest when earlier ones are no longer kept", || {
            let client = it.client();
            client.send(&long);
            clients.push(client);
            thread::sleep(ms(20));
            it.app.received().len() > before
        });
    }
}

/// Whenever it binds its port: what was refused once is not delivered beside what comes first.
#[test]
fn held_datagrams_come_once_and_in_their_order_whenever_the_port_is_bound() {
    for round in 0..12 {
        let mut it = Datagrams::new();
        let _daemon = it.daemon(&[]);
        let client = it.client();
        let sent: Vec<Vec<u8>> = (0..60).map(|n| vec![n]).collect();
        for datagram in &sent {
            client.send(datagram);
        }
        it.scene.engine.wait_count(Call::Start, 1);
        it.scene.engine.wait_status(Status::Running);
        thread::sleep(std::time::Duration::from_micros(round * 400));
        it.app.bind();
        for n in &sent {
            assert_eq!(client.receive(), [b"re:", &n[..]].concat());
        }
        assert_eq!(it.app.received(), sent, "round {round}");
    }
}
