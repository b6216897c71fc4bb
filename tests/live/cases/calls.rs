//! What the calls of an engine come to, where the engines differ or nobody else would notice.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use ondemand_container::cgroup::{self, Cgroup};
use ondemand_container::engine::{
    Api, Endpoint, Engine as _, EngineError, NOT_RUN, Networking, Observed, State, TargetName,
};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

use crate::live::client;
use crate::live::clock::{ms, now, secs};
use crate::live::container::Container;
use crate::live::engine::{Engine, Kind};

/// A container, and the engine as the daemon asks it.
struct Scene<'e> {
    container: Container<'e>,
    name: TargetName,
    api: Api,
    runtime: Runtime,
}

impl<'e> Scene<'e> {
    fn running(engine: &'e Engine, app: &str) -> Self {
        let container = Container::create(engine, app);
        container.told("start");
        let endpoint = Endpoint::Unix(engine.socket.clone());
        Self {
            name: TargetName::container(&container.name).unwrap(),
            container,
            api: Api::new(endpoint),
            runtime: Builder::new_current_thread().enable_all().build().unwrap(),
        }
    }

    fn seen(&self) -> Observed {
        self.runtime.block_on(self.api.inspect(&self.name)).unwrap()
    }

    fn state(&self) -> State {
        self.seen().state
    }

    fn pause(&self) {
        self.runtime.block_on(self.api.pause(&self.name)).unwrap();
        assert_eq!(self.state(), State::Paused);
    }

    fn resume(&self) {
        self.runtime.block_on(self.api.resume(&self.name)).unwrap();
        assert_eq!(self.state(), State::Running);
    }

    fn stop(&self) -> Result<(), EngineError> {
        self.runtime.block_on(self.api.stop(&self.name, secs(5)))
    }

    fn exec(&self, words: &[&str], limit: Duration) -> Result<i64, EngineError> {
        let argv: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        self.runtime.block_on(self.api.exec(&self.name, &argv, limit))
    }

    fn address(&self) -> SocketAddr {
        let networking = self.seen().networking;
        let Networking::Own(addresses) = &networking else { panic!("{networking:?}") };
        (*addresses.values().next().unwrap(), 8080).into()
    }

    /// Waits until it says that it listens.
    fn wait_up(&self) {
        self.container.wait_output("on port 8080");
    }

    fn cgroup(&self) -> Cgroup {
        let seen = self.seen();
        Cgroup::of_container(Path::new(cgroup::PROC), seen.pid.unwrap(), &seen.id).unwrap()
    }
}

/// Its memory, and with it its run, outlives a freeze.
pub(crate) fn a_frozen_container_goes_on_after_its_thaw(engine: &Engine) {
    let scene = Scene::running(engine, "http:8080");
    scene.wait_up();
    let before = client::get(scene.address(), "/").unwrap().run();
    scene.pause();
    assert!(matches!(
        scene.runtime.block_on(scene.api.pause(&scene.name)),
        Err(EngineError::Conflict(_) | EngineError::Refused { status: 500, .. })
    ));
    scene.resume();
    assert_eq!(client::get(scene.address(), "/").unwrap().run(), before);
}

/// Docker thaws what it is to stop, Podman refuses and leaves it as it is; thawed first, both stop it
/// as if it had never been frozen.
pub(crate) fn a_frozen_container_is_stopped_after_a_thaw(engine: &Engine) {
    let scene = Scene::running(engine, "http:8080");
    scene.wait_up();
    scene.pause();
    let answer = scene.stop();
    match engine.kind {
        Kind::Docker => assert_eq!((answer, scene.state()), (Ok(()), State::Stopped)),
        Kind::Podman => {
            assert!(matches!(answer, Err(EngineError::Refused { status: 500, .. })), "{answer:?}");
            assert_eq!(scene.state(), State::Paused);
        }
    }
    scene.container.told(if engine.kind == Kind::Docker { "start" } else { "unpause" });
    scene.pause();
    scene.resume();
    assert_eq!(scene.stop(), Ok(()));
    let seen = scene.seen();
    assert_eq!((seen.state, seen.exit.code), (State::Stopped, 0), "it ended by itself");
}

/// Neither engine lets a kill wait for the stop that is on its way.
pub(crate) fn a_kill_ends_a_stubborn_stop(engine: &Engine) {
    let scene = Scene::running(engine, "http:8080 --stop ignore");
    scene.wait_up();
    let began = now();
    let grace = secs(120);
    let (stopped, killed) = scene.runtime.block_on(async {
        let kill = async {
            while !scene.container.output().contains("SIGTERM ignored") {
                sleep(ms(20)).await;
            }
            scene.api.kill(&scene.name).await
        };
        tokio::join!(scene.api.stop(&scene.name, grace), kill)
    });
    assert_eq!((stopped, killed), (Ok(()), Ok(())));
    assert_eq!((scene.state(), scene.seen().exit.code), (State::Stopped, 137));
    assert!(began.elapsed() < grace / 2, "{:?}", began.elapsed());
    let again = scene.runtime.block_on(scene.api.kill(&scene.name));
    assert!(again.is_err(), "there is nothing to kill any more");
}

/// The exit status is the command's own; one that is missing has ours.
pub(crate) fn a_command_in_a_container_has_its_exit_status(engine: &Engine) {
    let scene = Scene::running(engine, "http:8080");
    scene.wait_up();
    assert_eq!(scene.exec(&["/fixture", "serve", "http:1", "--exit", "3"], secs(20)), Ok(3));
    assert_eq!(scene.exec(&["/fixture", "serve", "http:1", "--exit", "0"], secs(20)), Ok(0));
    assert_eq!(scene.exec(&["/missing", "now"], secs(20)), Ok(NOT_RUN));
    scene.container.told("stop");
    let stopped = scene.exec(&["/fixture", "health"], secs(20));
    let refused = match engine.kind {
        Kind::Docker => matches!(stopped, Err(EngineError::Conflict(_))),
        Kind::Podman => matches!(stopped, Err(EngineError::Refused { status: 500, .. })),
    };
    assert!(refused, "{stopped:?}");
    scene.container.remove();
    let gone = scene.exec(&["/fixture", "health"], secs(20));
    assert!(matches!(gone, Err(EngineError::Missing(_))), "{gone:?}");
}

/// Megabytes of output are taken and dropped.
pub(crate) fn a_command_that_floods_its_output_ends_well(engine: &Engine) {
    let scene = Scene::running(engine, "http:8080");
    scene.wait_up();
    // The longest argument that Linux takes, twelve times.
    let line = "x".repeat(128 * 1024 - 1);
    let mut words = vec!["/fixture", "serve", "http:1", "--exit", "0"];
    words.extend(std::iter::repeat_n(["--say", line.as_str()], 12).flatten());
    assert_eq!(scene.exec(&words, secs(30)), Ok(0));
}

/// The engines cannot end one, so it is ended where it is seen: nothing is left of it, whether its time
/// was up or nobody waited any more. The container goes on.
pub(crate) fn a_command_that_hangs_is_ended(engine: &Engine) {
    let scene = Scene::running(engine, "http:8080");
    scene.wait_up();
    let hang = ["/fixture", "serve", "http:1", "--never-listen"];
    let hanging = || {
        // It may fail over one that ends in this moment.
        let seen = engine.try_cli(&["top", &scene.container.name]).ok()?;
        Some(seen.lines().filter(|line| line.contains("--never-listen")).count())
    };
    let late = scene.exec(&hang, secs(8));
    assert!(
        matches!(&late, Err(EngineError::Unavailable { reason, .. }) if reason.contains("8 s")),
        "{late:?}"
    );
    wait_until("it is killed", || hanging() == Some(0));
    scene.runtime.block_on(async {
        let argv = hang.map(str::to_owned);
        let asked = scene.api.exec(&scene.name, &argv, secs(60));
        let seen = async {
            while hanging().unwrap_or(0) == 0 {
                sleep(ms(10)).await;
            }
            // Its process is asked for beside its output, which nobody but the engine is told of.
            sleep(secs(5)).await;
        };
        tokio::select! {
            ended = asked => panic!("it hangs: {ended:?}"),
            seen = timeout(secs(60), seen) => seen.expect("it runs"),
        }
    });
    wait_until("it is killed", || hanging() == Some(0));
    assert_eq!(client::get(scene.address(), "/").unwrap().boot(), 1);
}

/// The engine's figures, and those of the kernel, grow with what the container does.
pub(crate) fn its_usage_grows_with_its_work(engine: &Engine) {
    const BYTES: u64 = 20_000_000;
    let scene = Scene::running(engine, "http:8080");
    scene.wait_up();
    let usage = || scene.runtime.block_on(scene.api.usage(&scene.name)).unwrap();
    let (group, seen) = (scene.cgroup(), scene.seen());
    let net = || {
        let pid = seen.pid.unwrap();
        cgroup::net_bytes(Path::new(cgroup::PROC), pid, &seen.id).unwrap()
    };
    let (before, cpu_before, net_before) = (usage(), group.cpu().unwrap(), net());
    let answer = client::get(scene.address(), &format!("/size?n={BYTES}")).unwrap();
    assert_eq!(answer.body.len() as u64, BYTES);
    let (after, cpu_after, net_after) = (usage(), group.cpu().unwrap(), net());
    assert!(after.cpu.unwrap() > before.cpu.unwrap(), "{before:?} {after:?}");
    assert!(after.net.unwrap() >= before.net.unwrap() + BYTES, "{before:?} {after:?}");
    assert!(after.memory.unwrap() > 0);
    assert!(cpu_after > cpu_before && net_after >= net_before + BYTES);
    // They count the same: the engine was asked first each time.
    assert!(after.cpu.unwrap() <= cpu_after && after.cpu.unwrap() >= cpu_before, "{after:?}");
    assert!(group.memory().unwrap() > 0);
}

/// What the kernel takes back of a frozen container it has again after the thaw.
pub(crate) fn a_frozen_containers_memory_is_taken_back(engine: &Engine) {
    let scene = Scene::running(engine, "http:8080");
    scene.wait_up();
    let before = client::get(scene.address(), "/").unwrap().run();
    scene.pause();
    let taken = scene.cgroup().reclaim(|| true).unwrap();
    assert!(taken.before > 0 && taken.after <= taken.before, "{taken:?}");
    scene.resume();
    assert_eq!(client::get(scene.address(), "/").unwrap().run(), before);
}

#[track_caller]
fn wait_until(what: &str, done: impl FnMut() -> bool) {
    crate::live::clock::wait_for(what, secs(20), done);
}
