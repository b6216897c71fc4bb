//! Services that depend on each other, and a configuration that is read anew.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use crate::reload::{Changing, service};
use crate::support::container::Status;
use crate::support::engine::{Call, Fault};
use crate::support::scene::Scene;
use crate::support::{holds_for, ms, wait_until};

/// The lines of a service without a port, before that scene's container.
fn member(name: &str, scene: &Scene, more: &str) -> String {
    format!("[services.{name}]\ncontainer = \"app\"\nengine = \"{}\"\n{more}\n", scene.engine.url())
}

const NEEDS_DB: &str = "depends-on = \"db:started\"\n";

#[test]
fn who_is_told_something_else_needs_what_it_has_needed() {
    let (web, db) = (Scene::new(), Scene::new());
    let with = |window: &str| {
        let more = format!("{NEEDS_DB}idle-timeout = \"{window}\"");
        service("app", &web, &more) + &member("db", &db, "idle-timeout = \"50ms\"")
    };
    let changing = Changing::new(&web, &with("1h"));
    web.client().echo("both are there");
    assert_eq!(changing.reloaded(&with("2h"))["changed"], serde_json::json!(["app"]));
    holds_for(ms(300), "it is needed", || db.engine.status() == Some(Status::Running));
    assert_eq!(changing.control.get("/v1/services/db").1["awake_because"], "dependents");
    changing.reloaded(&with("50ms"));
    db.engine.wait_status(Status::Exited);
    web.client().echo("both again");
    assert_eq!(db.engine.count(Call::Start), 2);
}

/// It has become a service of its own, on other terms: it is another one by that name.
#[test]
fn what_is_replaced_under_its_name_is_not_stopped_under_who_needs_it() {
    let (web, db) = (Scene::new(), Scene::new());
    let app = service("app", &web, &format!("{NEEDS_DB}idle-timeout = \"1h\""));
    let stops = "on-exit = \"stop\"\nidle-timeout = \"50ms\"";
    let changing = Changing::new(&web, &(app.clone() + &member("db", &db, stops)));
    let mut used = web.client();
    used.echo("both are there");
    changing.reloaded(&(app.clone() + &service("db", &db, stops)));
    web.client().echo("the new one is there, too");
    let mut own = db.client();
    own.echo("by its port");
    holds_for(ms(300), "nobody stops it", || db.engine.status() == Some(Status::Running));
    assert_eq!((db.engine.count(Call::Stop), web.engine.count(Call::Start)), (0, 1));
    // And back, under a client that has come by its port.
    drop(used);
    let app = app.replace("1h", "50ms");
    changing.reloaded(&(app + &member("db", &db, "idle-timeout = \"1h\"")));
    web.engine.wait_status(Status::Exited);
    holds_for(ms(300), "it is in use", || db.engine.status() == Some(Status::Running));
    own.echo("goes on");
    drop(own);
}

#[test]
fn what_is_needed_by_that_name_is_asked_for_when_it_is_another_container() {
    let (web, first, second) = (Scene::new(), Scene::new(), Scene::new());
    let app = service("app", &web, &format!("{NEEDS_DB}idle-timeout = \"1h\""));
    let changing = Changing::new(&web, &(app.clone() + &member("db", &first, "")));
    web.client().echo("both are there");
    changing.reloaded(&(app + &member("db", &second, "")));
    web.client().echo("asked anew");
    assert_eq!(second.engine.status(), Some(Status::Running));
}

#[test]
fn a_client_that_waits_is_served_when_what_it_waits_for_is_needed_no_more() {
    let (web, db) = (Scene::new(), Scene::new());
    db.engine.once(Call::Start, Fault::Gated);
    let all = service("app", &web, &format!("{NEEDS_DB}start-timeout = \"30s\""))
        + &member("db", &db, "");
    let changing = Changing::new(&web, &all);
    let mut waiting = web.client();
    waiting.send(b"hello");
    db.engine.wait_count(Call::Start, 1);
    changing.reloaded(&service("app", &web, "start-timeout = \"30s\""));
    assert_eq!(waiting.receive(5).unwrap(), b"hello");
    db.engine.proceed();
}

#[test]
fn a_run_to_the_end_that_is_waited_for_outlives_a_change_of_times() {
    let (web, seed) = (Scene::new(), Scene::new());
    let with = |timeout: &str| {
        let more = format!("depends-on = \"seed:completed\"\nstart-timeout = \"{timeout}\"");
        service("app", &web, &more)
            + &member("seed", &seed, &format!("start-timeout = \"{timeout}\""))
    };
    seed.engine.alter(|container| container.exit_code = 1);
    let changing = Changing::new(&web, &with("30s"));
    let mut waiting = web.client();
    waiting.send(b"hello");
    seed.engine.wait_status(Status::Running);
    changing.reloaded(&with("40s"));
    holds_for(ms(200), "the client is held", || waiting.is_held());
    seed.engine.end_container(0, &["die"]);
    assert_eq!(waiting.receive(5).unwrap(), b"hello");
    assert_eq!(seed.engine.count(Call::Start), 1);
}

#[test]
fn what_others_need_is_not_put_to_sleep_by_force_and_a_hold_survives_that() {
    let (web, db) = (Scene::new(), Scene::new());
    let app = service("app", &web, &format!("{NEEDS_DB}idle-timeout = \"1h\""));
    let changing = Changing::new(&web, &(app + &member("db", &db, "")));
    web.client().echo("both are there");
    assert_eq!(changing.control.post("/v1/services/db/hold").0, 200);
    let (status, answer) = changing.control.post("/v1/services/db/sleep?force=1");
    assert_eq!(status, 409);
    let why = answer["error"].as_str().unwrap();
    assert!(why.contains("awake; put that to sleep first: app"), "{why}");
    assert_eq!(changing.control.post("/v1/services/app/sleep").0, 202);
    assert_eq!(changing.control.get("/v1/services/db").1["awake_because"], "held");
    wait_until("nobody depends on it", || {
        changing.control.post("/v1/services/db/sleep?force=1").0 == 202
    });
    db.engine.wait_status(Status::Exited);
}

#[test]
fn a_hold_is_released_under_the_new_name() {
    let scene = Scene::new();
    let changing = Changing::new(&scene, &service("app", &scene, "idle-timeout = \"50ms\""));
    assert_eq!(changing.control.post("/v1/services/app/hold").0, 200);
    changing.reloaded(&service("web", &scene, "idle-timeout = \"50ms\""));
    let (_, status) = changing.control.get("/v1/services/web");
    assert_eq!(status["awake_because"], "held");
    assert_eq!(changing.control.post("/v1/services/web/release").0, 200);
    scene.engine.wait_status(Status::Exited);
}

/// The bonds of neither the entrance nor its companion have changed, only what is between them.
#[test]
fn a_companion_that_comes_to_depend_on_its_entrance_is_not_waited_for() {
    let (web, worker, queue) = (Scene::new(), Scene::new(), Scene::new());
    let with = |of_queue: &str| {
        service("app", &web, "with = \"worker\"\nidle-timeout = \"50ms\"\nstart-timeout = \"5s\"")
            + &member("worker", &worker, "depends-on = \"queue\"\nidle-timeout = \"50ms\"")
            + &member("queue", &queue, of_queue)
    };
    let changing = Changing::new(&web, &with(""));
    web.client().echo("all are there");
    for scene in [&web, &worker, &queue] {
        scene.engine.wait_status(Status::Exited);
    }
    changing.reloaded(&with("depends-on = \"app:healthy\""));
    web.client().echo("and again");
    worker.engine.wait_count(Call::Start, 2);
}
