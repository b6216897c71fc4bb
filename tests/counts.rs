//! What a warm connection costs, in counts: they hold on a busy machine, as times do not. The
//! system calls are counted in `tests/process/warm.rs`.
#![allow(clippy::unwrap_used, reason = "a test without sockets cannot go on")]

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use ondemand_container::activation::{Policy, Window};
use ondemand_container::clock::Clock;
use ondemand_container::config::rules::{Gate, MaySleep, Rate, Silence, Switch, WakeOn};
use ondemand_container::config::{
    ConnectionLimits, GivenUpstream, Listen, ListenAddress, OnExit, Ports, Ready, Trusted,
};
use ondemand_container::driver::{Driver, Target};
use ondemand_container::engine::TargetName;
use ondemand_container::engine::fake::{Delays, FakeEngine};
use ondemand_container::listen;
use ondemand_container::port::{Port, Protocol};
use ondemand_container::proxy::{Keeper, Proxy};
use ondemand_container::server::{Places, Server, Terms, connection_sizes};
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;

/// Connections that are counted; what is left over from elsewhere is small against them.
const CONNECTIONS: u64 = 400;

/// Heap allocations of one warm connection: its task, the runtime's part of two sockets, two for
/// what watches the second half once the first has ended, and one of the runtime's list of released
/// sockets. 6.00 as measured.
const ALLOCATIONS: f64 = 6.4;

/// Bytes of a connection's future; 760 as measured, with the port it leads to and a PROXY header.
const SIZE: usize = 768;

/// Bytes of that of a client at the gate, which has nothing beside it; 736 as measured, its timer among
/// them.
const WAITING: usize = 736;

const KEEPALIVE: Duration = Duration::from_secs(60);

#[test]
fn a_connections_future_is_small() {
    let (size, _) = connection_sizes();
    assert!(size <= SIZE, "{size} bytes per connection, more than {SIZE}");
}

#[test]
fn a_client_that_says_nothing_costs_little() {
    let (_, size) = connection_sizes();
    assert!(size <= WAITING, "{size} bytes at the gate, more than {WAITING}");
}

#[test]
fn a_warm_connection_allocates_little_and_asks_the_engine_nothing() {
    let each = warm(&Gate::default());
    assert!(each <= ALLOCATIONS, "{each:.2} allocations each, more than {ALLOCATIONS}");
}

/// What may wake is nobody's business while it is awake.
#[test]
fn a_gate_costs_a_warm_connection_nothing() {
    let mut networks = Trusted::default();
    networks.add("127.0.0.0/8").unwrap();
    let rate = Rate::parse("1000/s").ok();
    let on_waking = Gate {
        on: WakeOn::Data,
        wake_from: Some(networks.clone()),
        rate,
        rate_total: rate,
        ..Gate::default()
    };
    let with_addresses = Gate { allow_from: Some(networks), ..on_waking.clone() };
    for gate in [on_waking, with_addresses] {
        let each = warm(&gate);
        assert!(
            each <= ALLOCATIONS,
            "{each:.2} allocations each, more than {ALLOCATIONS}: {gate:?}"
        );
    }
}

/// The allocations of each warm connection to a service with that gate.
fn warm(gate: &Gate) -> f64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let application = application();
    let engine = Arc::new(FakeEngine::new(1, at_once()));
    let (mut server, address) = runtime.block_on(async {
        let policy = Policy::new(Window::Never, Duration::from_secs(20));
        let clock = Clock::new();
        let driver = Driver::new(Arc::clone(&engine), target(application), policy.clone(), clock);
        let limits = ConnectionLimits { keepalive: KEEPALIVE, half_closed: KEEPALIVE };
        let anywhere = ListenAddress::At(Protocol::Tcp, (Ipv4Addr::LOCALHOST, 0).into());
        let sockets = listen::bind(
            &[Listen { address: anywhere, port: Port::tcp(application.port()) }],
            limits,
        )
        .unwrap();
        let (_, address) = sockets.addresses()[0];
        let start_timeout = policy.start_timeout;
        let service = driver.handle();
        let gate = Keeper::new(gate, clock);
        let silence = Silence::default();
        let (announce, trusted) = (None, None);
        let proxy = Proxy { service, start_timeout, limits, announce, trusted, silence, gate };
        let room = || Arc::new(Semaphore::new(1000));
        let places = Places { connections: room(), flows: room() };
        tokio::spawn(driver.run(CancellationToken::new(), OnExit::Leave));
        let terms = Terms { proxy, places, udp_idle: KEEPALIVE };
        (Server::new(sockets, terms, clock), address)
    });
    let mut serve = |connections| {
        let connected = server.connected();
        let (done, end) = oneshot::channel();
        let clients = thread::spawn(move || {
            (0..connections).for_each(|_| exchange(address));
            done.send(()).unwrap();
        });
        // Counts what this thread allocates: the daemon's whole work is done on it.
        let counted = allocation_counter::measure(|| {
            runtime.block_on(async {
                server.accept_until(end).await.unwrap();
                while connected() > 0 {
                    tokio::task::yield_now().await;
                }
            });
        });
        clients.join().unwrap();
        counted.count_total
    };

    // Wakes the target, and lets what grows with use grow.
    serve(20);
    // The look that follows an event may come a moment later.
    runtime.block_on(async { tokio::time::sleep(Duration::from_millis(50)).await });
    let before = engine.counts();
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let each = serve(CONNECTIONS) as f64 / CONNECTIONS as f64;
    assert_eq!(engine.counts(), before, "the engine was asked");
    each
}

/// One request and its answer on a connection of its own.
fn exchange(address: SocketAddr) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(b"question").unwrap();
    stream.read_exact(&mut [0; 8]).unwrap();
    drop(stream);
}

/// Answers every connection's first bytes, and closes after its client.
fn application() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut bytes = [0; 8];
            while stream.read(&mut bytes).is_ok_and(|n| n > 0) {
                stream.write_all(&bytes).unwrap();
            }
        }
    });
    address
}

fn target(application: SocketAddr) -> Target {
    Target {
        service: "web".to_owned(),
        name: TargetName::container("web").unwrap(),
        ports: Ports::one(Port::tcp(application.port())),
        upstream: Some(GivenUpstream::Host(application.ip().to_string(), None)),
        network: None,
        ready: Ready::Health,
        stop_timeout: None,
        keepalive: KEEPALIVE,
        announce: None,
        own_addresses: Vec::new(),
        may_sleep: MaySleep::default(),
        reclaim: Switch::No,
        bonds: Arc::default(),
    }
}

fn at_once() -> Delays {
    let none = || Duration::ZERO..Duration::from_millis(1);
    Delays {
        start: none(),
        stop: none(),
        boot: none(),
        inspect: none(),
        event: none(),
        kill: none(),
    }
}
