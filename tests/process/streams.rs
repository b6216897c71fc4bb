//! What happens to the bytes, the ends and the resets of a connection.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::thread;

use crate::support::app::{Behaviour, Ending, pattern};
use crate::support::client::kernel_table;
use crate::support::scene::Scene;
use crate::support::{holds_for, ms, now, wait_until};

/// More than every socket buffer and pipe on the way together, and no multiple of any.
const LARGE: usize = 12 * 1024 * 1024 + 4321;

#[test]
fn the_client_may_end_its_half_first() {
    let scene = Scene::new();
    scene.app.behave(Behaviour::AnswerAtEof);
    let _daemon = scene.daemon(&[]);
    for _cold_then_warm in 0..2 {
        let mut client = scene.client();
        client.send(b"all of the question");
        client.finish();
        assert_eq!(client.rest().unwrap(), b"all of the question");
    }
}

#[test]
fn the_application_may_end_its_half_first() {
    let scene = Scene::new();
    scene.app.behave(Behaviour::SendThenListen(10));
    let _daemon = scene.daemon(&[]);
    let mut client = scene.client();
    assert_eq!(client.rest().unwrap(), pattern(10));
    client.send(b"thank you");
    client.finish();
    let report = scene.app.report();
    assert_eq!(report.received, b"thank you");
    assert_eq!(report.ending, Ending::Eof);
}

#[test]
fn the_application_may_speak_first() {
    let scene = Scene::new();
    scene.app.behave(Behaviour::Greet("220 ready\r\n"));
    let _daemon = scene.daemon(&[]);
    let mut client = scene.client();
    assert_eq!(client.receive(11).unwrap(), b"220 ready\r\n");
    client.echo("EHLO");
}

/// A paused download: the peer lives and says so, it only does not read.
#[test]
fn a_client_that_does_not_read_for_long_is_not_taken_for_dead() {
    let scene = Scene::new();
    scene.app.behave(Behaviour::SendThenListen(LARGE));
    let _daemon = scene.daemon(&["--keepalive", "1s"]);
    let mut client = scene.client();
    let first = client.receive(1).unwrap();
    thread::sleep(ms(4500));
    assert_eq!([first, client.rest().unwrap()].concat(), pattern(LARGE));
}

#[test]
fn a_large_upload_with_half_close_is_answered_in_full() {
    let scene = Scene::new();
    scene.app.behave(Behaviour::AnswerAtEof);
    let _daemon = scene.daemon(&[]);
    let sent = pattern(LARGE);
    let mut client = scene.client();
    client.send(&sent);
    client.finish();
    assert!(client.rest().unwrap() == sent, "the answer differs from what was sent");
}

#[test]
fn a_large_exchange_in_both_directions_at_once_is_intact() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&[]);
    let sent = pattern(LARGE);
    let mut client = scene.client();
    let mut writer = client.stream().try_clone().unwrap();
    let writing = thread::spawn({
        let sent = sent.clone();
        move || {
            writer.write_all(&sent).unwrap();
            writer.shutdown(std::net::Shutdown::Write).unwrap();
        }
    });
    assert!(client.rest().unwrap() == sent, "the echo differs from what was sent");
    writing.join().unwrap();
}

#[test]
fn a_large_download_is_intact_and_the_other_half_stays_open() {
    let scene = Scene::new();
    scene.app.behave(Behaviour::SendThenListen(LARGE));
    let _daemon = scene.daemon(&[]);
    let mut client = scene.client();
    assert!(client.rest().unwrap() == pattern(LARGE), "the download differs");
    client.send(b"got it");
    client.finish();
    assert_eq!(scene.app.report().received, b"got it");
}

#[test]
fn a_slow_reader_loses_nothing() {
    let scene = Scene::new();
    scene.app.behave(Behaviour::SlowEcho(ms(1)));
    let _daemon = scene.daemon(&[]);
    let mut client = scene.client();
    client.send(&pattern(300));
    client.finish();
    assert_eq!(client.rest().unwrap(), pattern(300));
}

#[test]
fn a_reset_by_the_application_reaches_the_client_as_a_reset() {
    let scene = Scene::new();
    scene.app.behave(Behaviour::Reset);
    let _daemon = scene.daemon(&[]);
    for _cold_then_warm in 0..2 {
        let mut client = scene.client();
        client.send(b"x");
        client.expect_reset();
    }
}

#[test]
fn a_reset_by_the_application_after_the_client_ended_its_half_is_passed_on() {
    let scene = Scene::new();
    scene.app.behave(Behaviour::ResetAtEof);
    let _daemon = scene.daemon(&[]);
    let mut client = scene.client();
    client.send(b"question");
    client.finish();
    client.expect_reset();
}

#[test]
fn a_reset_by_the_client_reaches_the_application_as_a_reset() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&[]);
    let mut client = scene.client();
    client.echo("hello");
    client.reset();
    let report = scene.app.report();
    assert_eq!(report.received, b"hello");
    assert_eq!(report.ending, Ending::Reset);
}

#[test]
fn a_reset_by_the_client_after_the_application_ended_its_half_is_passed_on() {
    let scene = Scene::new();
    scene.app.behave(Behaviour::SendThenListen(3));
    let _daemon = scene.daemon(&[]);
    let mut client = scene.client();
    assert_eq!(client.rest().unwrap(), pattern(3));
    client.send(b"and then");
    wait_until("the bytes to pass", || client.unread() == Some(0));
    client.reset();
    assert_eq!(scene.app.report().ending, Ending::Reset);
}

/// Nobody reads from the client any more by then, so its reset does not come as a failed read.
#[test]
fn a_reset_by_the_client_after_it_ended_its_half_is_passed_on() {
    let scene = Scene::new();
    scene.app.behave(Behaviour::ThinkAtEof);
    let _daemon = scene.daemon(&[]);
    let mut client = scene.client();
    client.send(b"question");
    client.finish();
    wait_until("the end to pass", || scene.app.live() == 1 && client.unread() == Some(0));
    client.reset();
    assert_eq!(scene.app.report().ending, Ending::Reset);
}

#[test]
fn a_reset_by_the_application_after_it_ended_its_half_is_passed_on() {
    let scene = Scene::new();
    scene.app.behave(Behaviour::EndThenReset);
    let _daemon = scene.daemon(&[]);
    let mut client = scene.client();
    assert_eq!(client.rest().unwrap(), b"");
    client.send(b"x");
    client.wait_failure();
}

#[test]
fn a_client_that_goes_is_gone_for_the_application_too() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&[]);
    let mut client = scene.client();
    client.echo("hello");
    assert_eq!(scene.app.live(), 1);
    drop(client);
    wait_until("the application's connection to end", || scene.app.live() == 0);
    assert_eq!(scene.app.report().ending, Ending::Eof);
}

#[test]
fn the_death_of_the_application_ends_the_clients_connection() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&[]);
    let mut client = scene.client();
    client.echo("hello");
    scene.engine.end_container(139, &["die"]);
    // An end or a reset, both are true of a process that died.
    drop(client.rest());
}

#[test]
fn many_connections_do_not_mix() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&[]);
    let mut clients: Vec<_> = (0..40).map(|_| scene.client()).collect();
    for round in 0..3 {
        for (number, client) in clients.iter_mut().enumerate() {
            client.echo(&format!("round {round} of client {number}"));
        }
    }
}

#[test]
fn a_unix_socket_serves_too_with_half_close() {
    let scene = Scene::new();
    scene.app.behave(Behaviour::AnswerAtEof);
    let path = scene.dir.join("held.sock");
    let listen = format!("unix:{}", path.display());
    let _daemon = scene.run(scene.launch().args(["--listen", &listen]));
    let mut client = UnixStream::connect(&path).unwrap();
    client.set_read_timeout(Some(crate::support::PATIENCE)).unwrap();
    client.write_all(b"over a path").unwrap();
    client.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    std::io::Read::read_to_string(&mut client, &mut answer).unwrap();
    assert_eq!(answer, "over a path");
}

/// Without `TCP_NODELAY` on the leg to the application the second write of each pair waits for the
/// acknowledgement of the first, which comes after 40 ms.
#[test]
fn small_writes_are_not_held_back() {
    let scene = Scene::new();
    scene.app.behave(Behaviour::TwoForOne);
    let _daemon = scene.daemon(&[]);
    let mut client = scene.client();
    // Held back, all of them are slow; a machine that stands still slows down some.
    let mut slow = 0;
    for pair in 0..40 {
        let began = now();
        client.send(b"a");
        wait_until("the first byte to arrive", || scene.app.read() == 2 * pair + 1);
        client.send(b"b");
        client.receive(1).unwrap();
        slow += usize::from(began.elapsed() >= ms(30));
    }
    assert!(slow < 20, "{slow} of 40 exchanges took 30 ms and more");
}

#[test]
fn both_legs_of_a_silent_connection_are_kept_alive() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&["--keepalive", "10s"]);
    let mut client = scene.client();
    client.echo("hello");
    let (held, app) = (scene.port.number(), scene.app.port());
    // The daemon's ends: the accepted socket, and the one connected to the application. Timer
    // kind 02 of proc(5) is keepalive; another kind is due first while bytes are on the way.
    for ends in [|from, to, held, _| from == held && to != 0, |_, to, _, app| to == app] {
        wait_until("a keepalive timer", || {
            let sockets = kernel_table(|from, to| ends(from, to, held, app));
            sockets.len() == 1 && sockets[0][5].starts_with("02:")
        });
    }
}

#[test]
fn a_connection_one_side_has_closed_does_not_stay_silent_for_ever() {
    let scene = Scene::new();
    scene.app.behave(Behaviour::ThinkAtEof);
    let _daemon = scene.daemon(&["--half-closed-timeout", "300ms"]);
    let mut client = scene.client();
    client.send(b"question");
    let began = now();
    client.finish();
    client.expect_reset();
    assert!(began.elapsed() >= ms(280), "ended after {:?}", began.elapsed());
    wait_until("the application's connection to end", || scene.app.live() == 0);
}

#[test]
fn an_open_connection_may_stay_silent() {
    let scene = Scene::new();
    let _daemon = scene.daemon(&["--half-closed-timeout", "100ms"]);
    let mut client = scene.client();
    client.echo("hello");
    holds_for(ms(400), "open", || client.is_held());
    client.echo("again");
}
