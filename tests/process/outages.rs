//! The engine is gone, hung, or talks nonsense.

use std::thread;

use crate::support::client::Client;
use crate::support::container::Status;
use crate::support::engine::{Call, Fault};
use crate::support::scene::Scene;
use crate::support::{holds_for, ms, now, wait_until};

#[test]
fn an_engine_that_appears_later_serves_the_client_that_waited() {
    let scene = Scene::new();
    scene.engine.go_away();
    let daemon = scene.daemon(&[]);
    let mut client = scene.client();
    client.send(b"first");
    holds_for(ms(200), "held", || client.is_held());
    daemon.wait_log(&["engine.sock"]);
    scene.engine.come_back();
    assert_eq!(client.receive(5).unwrap(), b"first");
}

#[test]
fn a_socket_that_refuses_is_waited_for_likewise() {
    let scene = Scene::new();
    scene.engine.refuse();
    let _daemon = scene.daemon(&[]);
    let mut client = scene.client();
    client.send(b"first");
    holds_for(ms(200), "held", || client.is_held());
    scene.engine.come_back();
    assert_eq!(client.receive(5).unwrap(), b"first");
}

#[test]
fn an_engine_that_stays_away_costs_the_client_its_deadline_and_no_flood_of_lines() {
    let scene = Scene::new();
    scene.engine.go_away();
    let daemon = scene.daemon(&["--start-timeout", "500ms"]);
    let began = now();
    scene.client().expect_reset();
    let waited = began.elapsed();
    assert!(waited >= ms(450) && waited < ms(9000), "reset after {waited:?} instead of 0.5 s");
    assert!(daemon.log().len() < 40, "{} lines", daemon.log().len());
}

#[test]
fn live_and_new_connections_do_without_the_engine_while_awake() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&["--idle-timeout", "1s"]);
    let mut live = scene.client();
    live.echo("before");
    wait_until("the event stream", || scene.engine.count(Call::Events) >= 1);
    let streams = scene.engine.count(Call::Events);
    let inspects = scene.engine.count(Call::Inspect);
    scene.engine.go_away();
    live.echo("during");
    scene.client().echo("a new one");
    scene.engine.come_back();
    scene.engine.wait_count(Call::Events, streams + 1);
    scene.engine.wait_count(Call::Inspect, inspects + 1);
    live.echo("after");
    assert_eq!(scene.engine.count(Call::Start), 1);
    drop(live);
    scene.engine.wait_status(Status::Exited);
}

#[test]
fn what_happened_during_the_outage_is_found_out_afterwards() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&["--idle-timeout", "1m"]);
    scene.client().echo("awake");
    wait_until("the event stream", || scene.engine.count(Call::Events) >= 1);
    let inspects = scene.engine.count(Call::Inspect);
    scene.engine.go_away();
    scene.engine.end_container(1, &[]);
    scene.engine.come_back();
    scene.engine.wait_count(Call::Inspect, inspects + 1);
    scene.client().echo("woken again");
    assert_eq!(scene.engine.count(Call::Start), 2);
}

#[test]
fn an_engine_lost_during_the_start_serves_the_client_when_it_returns() {
    let scene = Scene::new();
    scene.engine.once(Call::Start, Fault::Slow(ms(300)));
    let _daemon = scene.daemon(&[]);
    let mut client = scene.client();
    client.send(b"waiting");
    scene.engine.wait_count(Call::Start, 1);
    scene.engine.go_away();
    holds_for(ms(400), "held", || client.is_held() || scene.app.listens());
    scene.engine.come_back();
    assert_eq!(client.receive(7).unwrap(), b"waiting");
    // The call that went down with the connection may still be at work in the engine.
    scene.engine.forgive();
}

#[test]
fn a_start_whose_connection_breaks_serves_the_client_in_the_end() {
    let scene = Scene::new();
    scene.engine.once(Call::Start, Fault::Closed);
    let _daemon = scene.daemon(&[]);
    let mut client = scene.client();
    client.echo("after all");
}

#[test]
fn an_outage_while_the_window_ends_is_survived_and_the_container_sleeps_later() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&[]);
    let mut client = scene.client();
    client.echo("awake");
    scene.engine.go_away();
    drop(client);
    // The window ends during the outage, so the stop has nobody to go to.
    holds_for(ms(500), "still running", || scene.engine.status() == Some(Status::Running));
    scene.engine.come_back();
    scene.engine.wait_status(Status::Exited);
    scene.client().echo("woken");
}

#[test]
fn garbage_instead_of_an_inspect_breaks_nothing() {
    for fault in [Fault::Garbage, Fault::Truncated, Fault::Closed, Fault::Error(500, "\x1b[2Jhm")] {
        let scene = Scene::new();
        scene.engine.always(Call::Inspect, fault);
        let mut daemon = scene.daemon(&["--start-timeout", "700ms"]);
        let began = now();
        scene.client().expect_reset();
        assert!(began.elapsed() < ms(9000), "{fault:?}: reset after {:?}", began.elapsed());
        assert!(daemon.runs());
        assert!(daemon.log().len() < 60, "{fault:?}: {} lines", daemon.log().len());
        assert_eq!(daemon.control_characters(), b"", "{fault:?}");
        scene.engine.heal();
        wait_until("a client to be served once the engine is sane", || {
            scene.client().try_echo("sane").is_ok()
        });
    }
}

#[test]
fn garbage_from_every_call_breaks_nothing() {
    let scene = Scene::new();
    for call in [Call::Version, Call::Ping, Call::Info, Call::Events, Call::Logs, Call::Start] {
        scene.engine.always(call, Fault::Garbage);
    }
    let mut daemon = scene.daemon(&["--start-timeout", "700ms"]);
    drop(scene.client().try_echo("whatever"));
    assert!(daemon.runs());
    scene.engine.heal();
    wait_until("a client to be served once the engine is sane", || {
        scene.client().try_echo("sane").is_ok()
    });
    assert_eq!(daemon.control_characters(), b"");
}

#[test]
fn a_hung_engine_costs_the_client_its_deadline_and_no_more() {
    let scene = Scene::new();
    scene.engine.freeze();
    let mut daemon = scene.daemon(&["--start-timeout", "600ms"]);
    let began = now();
    scene.client().expect_reset();
    let waited = began.elapsed();
    assert!(waited >= ms(550) && waited < ms(9000), "reset after {waited:?} instead of 0.6 s");
    assert!(daemon.runs());
    scene.engine.thaw();
    wait_until("a client to be served after the thaw", || {
        scene.client().try_echo("thawed").is_ok()
    });
}

#[test]
fn a_hung_engine_does_not_matter_while_awake() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&["--idle-timeout", "1m"]);
    let mut live = scene.client();
    live.echo("before");
    scene.engine.freeze();
    live.echo("during");
    scene.client().echo("a new one");
}

#[test]
fn an_engine_that_ends_every_event_stream_at_once_is_not_hammered() {
    let scene = Scene::new();
    scene.engine.always(Call::Events, Fault::Closed);
    let daemon = scene.daemon(&["--idle-timeout", "1m"]);
    scene.client().echo("works without events");
    let before = scene.engine.count_all();
    let lines = daemon.log().len();
    holds_for(ms(1000), "few calls", || scene.engine.count_all() < before + 20);
    assert!(daemon.log().len() < lines + 20, "{} lines in a second", daemon.log().len() - lines);
    scene.engine.heal();
    let streams = scene.engine.count(Call::Events);
    scene.engine.wait_count(Call::Events, streams + 1);
}

#[test]
fn a_user_without_permission_is_told_so_with_77() {
    let scene = Scene::new();
    scene.engine.lock_out();
    let mut daemon = scene.launch_with(&[]).nobody().spawn();
    assert_eq!(daemon.wait_exit(), 77);
    assert!(daemon.count_log(&["permission", "engine.sock"]) > 0);
}

#[test]
fn a_slow_engine_serves_too() {
    let scene = Scene::new();
    for call in [Call::Version, Call::Inspect, Call::Start, Call::Stop, Call::Info] {
        scene.engine.always(call, Fault::Slow(ms(150)));
    }
    let _daemon = scene.daemon(&["--start-timeout", "9s"]);
    for _ in 0..2 {
        scene.client().echo("served");
        scene.engine.wait_status(Status::Exited);
    }
}

/// Nobody is refused for want of an engine, not even in the daemon's first seconds.
#[test]
fn a_hung_engine_does_not_delay_listening() {
    let listening = || {
        let scene = Scene::new();
        scene.engine.freeze();
        let began = now();
        let _daemon = scene.daemon(&[]);
        began.elapsed()
    };
    // The machine may stand still for one of them.
    assert!((0..5).any(|_| listening() < ms(1500)), "never listening within 1.5 s");
}

/// Somebody pulls the engine away and puts it back all the time; clients come all the time.
#[test]
fn a_flapping_engine_loses_no_client_within_its_deadline() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&["--idle-timeout", "30ms", "--start-timeout", "9s"]);
    let address = scene.address();
    let client = thread::spawn(move || {
        for _ in 0..25 {
            Client::connect(address).echo("served");
            thread::sleep(ms(40));
        }
    });
    while !client.is_finished() {
        scene.engine.go_away();
        thread::sleep(ms(60));
        scene.engine.come_back();
        thread::sleep(ms(400));
    }
    client.join().unwrap();
    // A call that went down with its connection may overlap with its repetition.
    scene.engine.forgive();
}
