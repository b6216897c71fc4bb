//! A configuration that is read anew in front of real containers.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rustix::process::Signal;

use crate::live::cases::engine_gone::exchange;
use crate::live::client;
use crate::live::clock::{secs, wait_for};
use crate::live::container::Container;
use crate::live::daemon::{BINARY, Daemon};
use crate::live::engine::Engine;
use crate::live::scratch::{self, Dir};

/// Clients that come all the time, one that stays, and a service that comes and goes beside them:
/// twelve reloads lose nobody and start nothing twice.
pub(crate) fn no_connection_is_lost_under_reloads(engine: &Engine) {
    const ROUNDS: usize = 12;
    let (web, other) =
        (Container::create(engine, "http:8080 echo:9090"), Container::create(engine, "http:8080"));
    let [first, second, echo] =
        [(); 3].map(|()| SocketAddr::from((scratch::address(), 1024 + scratch::number())));
    let dir = Dir::new();
    let file = dir.join("config.toml");
    let write = |round: usize| {
        let window = ["20s", "30s", "40s"][round % 3];
        let ready = ["auto", "tcp"][round / 2 % 2];
        let mut text = format!(
            "[defaults]\nengine = \"{}\"\nidle-timeout = \"{window}\"\n[services.web]\n\
             container = \"{}\"\nport = [8080, 9090]\nlisten = [\"{first}\", \"{echo}\"]\n\
             ready = \"{ready}\"\n",
            engine.url(),
            web.name
        );
        if round % 2 == 1 {
            let name = &other.name;
            write!(
                text,
                "[services.other]\ncontainer = \"{name}\"\nport = 8080\nlisten = \"{second}\"\n\
                 idle-timeout = \"200ms\"\n"
            )
            .unwrap();
        }
        std::fs::write(&file, text).unwrap();
    };
    write(0);
    let mut command = Command::new(BINARY);
    command.args(["--control", "none", "--config"]).arg(&file);
    let daemon = Daemon::spawn(command, first);
    let mut stays = client::connect(echo).unwrap();
    exchange(&mut stays);
    let (over, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    assert_eq!(client::get(first, "/").unwrap().boot(), 1);
                    served.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 1..=ROUNDS {
            let (done, before) =
                (daemon.log().matches(" reloaded ").count(), served.load(Ordering::Relaxed));
            write(round);
            daemon.signal(Signal::HUP);
            let again = || daemon.log().matches(" reloaded ").count() > done;
            wait_for("the reload", secs(20), again);
            exchange(&mut stays);
            if round % 2 == 1 {
                assert!(client::get(second, "/").is_ok(), "{}", daemon.log());
            }
            wait_for("clients go on", secs(20), || served.load(Ordering::Relaxed) > before + 6);
        }
        over.store(true, Ordering::Relaxed);
    });
    exchange(&mut stays);
    assert!(web.runs());
}
