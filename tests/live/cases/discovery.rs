//! What containers the engine has is known, and stays true.

use std::sync::Arc;

use ondemand_container::discover::Discovery;
use ondemand_container::engine::{Api, Endpoint, Engine as _, Snapshot, TargetName};
use ondemand_container::port::Port;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use crate::live::clock::{ms, secs};
use crate::live::container::Container;
use crate::live::engine::Engine;
use crate::live::scratch;
use crate::live::tap::{Line, Tap};

/// Stopped and running ones, with their labels, their age and the ports they are known to have.
pub(crate) fn all_containers_are_listed(engine: &Engine) {
    let publish = format!("{}:{}:8080", scratch::address(), scratch::host_port());
    let labels =
        ["--label", "ondemand.enable=true", "--label", "odd=a=b\u{1b}\"ü", "--publish", &publish];
    let older = Container::create_with(engine, &labels, "http:8080");
    let newer = Container::create(engine, "http:8080");
    let api = Api::new(endpoint(&engine.url()));
    let (stopped, newer) = runtime().block_on(async {
        let snapshot = listed(&api).await;
        (snapshot.find(&older.name).unwrap().clone(), snapshot.find(&newer.name).unwrap().clone())
    });
    assert_eq!(stopped.labels["ondemand.enable"], "true");
    assert_eq!(stopped.labels["odd"], "a=b\u{1b}\"ü");
    assert!(stopped.created > 1_600_000_000 && stopped.created <= newer.created);
    older.told("start");
    let snapshot = runtime().block_on(listed(&api));
    let running = snapshot.find(&stopped.id[..12]).unwrap();
    assert_eq!(running.ports, [Port::tcp(8080)].into());
    assert_eq!((&running.name, &running.labels), (&stopped.name, &stopped.labels));
}

/// Made, renamed and removed: each is seen, and nobody has to ask.
pub(crate) fn containers_that_come_and_go_are_seen(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    runtime().block_on(async {
        let discovery = Discovery::begin(Arc::new(Api::new(endpoint(&engine.url()))));
        let found = seen(&discovery, |all| all.find(&container.name).cloned()).await;
        let second = Container::create_with(engine, &["--label", "a=b"], "http:8080");
        let listed = seen(&discovery, |all| all.find(&second.name).cloned()).await;
        assert_eq!(listed.labels["a"], "b");
        let renamed = format!("{}-renamed", container.name);
        engine.cli(&["rename", &container.name, &renamed]);
        let named = |all: &Snapshot| all.find(&renamed).cloned();
        assert_eq!(seen(&discovery, named).await.id, found.id);
        assert!(discovery.latest().borrow().as_ref().unwrap().find(&container.name).is_none());
        engine.cli(&["rm", &renamed]);
        seen(&discovery, |all| all.find(&renamed).is_none().then_some(())).await;
    });
}

/// The last snapshot stays, and what happened in the meantime is known afterwards.
pub(crate) fn an_engine_that_is_away_takes_no_snapshot_along(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let tap = Tap::on(engine);
    runtime().block_on(async {
        let discovery = Discovery::begin(Arc::new(Api::new(endpoint(&tap.url()))));
        seen(&discovery, |all| all.find(&container.name).cloned()).await;
        tap.set(Line::Gone);
        let second = Container::create(engine, "http:8080");
        assert!(discovery.latest().borrow().as_ref().unwrap().find(&container.name).is_some());
        tap.set(Line::Open);
        seen(&discovery, |all| all.find(&second.name).cloned()).await;
    });
}

/// However many watch: the engine is asked for its events once.
pub(crate) fn discovery_and_drivers_share_one_event_stream(engine: &Engine) {
    let container = Container::create(engine, "http:8080");
    let tap = Tap::on(engine);
    runtime().block_on(async {
        let api = Arc::new(Api::new(endpoint(&tap.url())));
        let discovery = Discovery::begin(Arc::clone(&api));
        let (name, look) = (TargetName::container(&container.name).unwrap(), Notify::new());
        let test = async {
            seen(&discovery, |all| all.find(&container.name).cloned()).await;
            // Both have heard of a container by the time the second one's end is seen.
            let second = Container::create(engine, "http:8080");
            seen(&discovery, |all| all.find(&second.name).cloned()).await;
            look.notified().await;
            container.told("start");
            timeout(secs(20), look.notified()).await.expect("a hint");
        };
        tokio::select! {
            () = api.watch(&name, &look) => {}
            () = test => {}
        }
        let asked = tap.take_requests();
        let streams = asked.iter().filter(|line| line.contains("/events")).count();
        assert_eq!(streams, 1, "{asked:#?}");
    });
}

/// All containers. Podman may fail over one that another test removes in this moment.
async fn listed(api: &Api) -> Snapshot {
    let mut tries = 0;
    loop {
        match api.list().await {
            Ok(snapshot) => return snapshot,
            Err(error) => assert!(tries < 50, "{error}"),
        }
        tries += 1;
        sleep(ms(100)).await;
    }
}

/// Waits for a snapshot that has it.
async fn seen<T>(discovery: &Discovery, mut find: impl FnMut(&Snapshot) -> Option<T>) -> T {
    let mut latest = discovery.latest();
    let wait = async {
        loop {
            let found = latest.borrow_and_update().as_deref().and_then(&mut find);
            match found {
                Some(found) => return found,
                None => latest.changed().await.unwrap(),
            }
        }
    };
    if let Ok(found) = timeout(secs(30), wait).await {
        return found;
    }
    let latest = latest.borrow();
    let names: Vec<_> =
        latest.iter().flat_map(|all| &all.containers).map(|listed| listed.name.as_str()).collect();
    panic!("never seen; there are {names:?}")
}

fn endpoint(url: &str) -> Endpoint {
    Endpoint::Unix(url.strip_prefix("unix://").unwrap().into())
}

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}
