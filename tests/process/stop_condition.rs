//! Who is asked before it sleeps, and what they may do.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::fs;
use std::path::PathBuf;

use crate::support::app::Behaviour;
use crate::support::container::Status;
use crate::support::daemon::Daemon;
use crate::support::engine::Call;
use crate::support::scene::Scene;
use crate::support::{holds_for, ms, now, wait_for, wait_until};

/// A program that is asked, and a place where it can leave something.
struct Checker<'s> {
    scene: &'s Scene,
    program: PathBuf,
}

impl<'s> Checker<'s> {
    fn new(scene: &'s Scene, script: &str) -> Self {
        let checker = Self { scene, program: scene.dir.join("may-sleep") };
        checker.becomes(script);
        checker
    }

    /// It does something else from now on; `$D` is the place.
    fn becomes(&self, script: &str) {
        let text = format!("D={}\n{script}\n", self.scene.dir.join("").display());
        let draft = self.scene.dir.join("draft");
        fs::write(&draft, text).unwrap();
        fs::rename(&draft, &self.program).unwrap();
    }

    fn daemon(&self, flags: &[&str]) -> Daemon {
        let words = format!("/bin/sh {}", self.program.display());
        let all = ["--stop-condition", &words, "--idle-timeout", "100ms"];
        self.scene.daemon(&[&all, flags].concat())
    }

    /// How often it has written its mark, and what.
    fn marks(&self) -> Vec<String> {
        let text = fs::read_to_string(self.scene.dir.join("marks")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn wait_marks(&self, count: usize) -> Vec<String> {
        wait_for("a mark of whoever is asked", || {
            Some(self.marks()).filter(|marks| marks.len() >= count)
        })
    }
}

/// Whether that process runs; one that has ended and that nobody has asked for does not.
fn runs(id: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}

fn assert_nothing_left(daemon: &Daemon, marks: &[String]) {
    wait_until("nothing is left behind", || {
        daemon.children().is_empty() && !marks.iter().any(|id| runs(id))
    });
}

#[test]
fn it_sleeps_when_the_command_says_yes_and_no_sooner() {
    let scene = Scene::new();
    let checker = Checker::new(
        &scene,
        "echo $ONDEMAND_SERVICE $ONDEMAND_CONTAINER >> $D/marks; test -e $D/yes",
    );
    let daemon = checker.daemon(&[]);
    scene.client().echo("hello");
    let marks = checker.wait_marks(2);
    assert_eq!(marks[0], "app app");
    assert_eq!((scene.engine.count(Call::Stop), scene.engine.status()), (0, Some(Status::Running)));
    daemon.wait_log(&["stays awake", "/bin/sh says no (status 1)"]);
    fs::write(scene.dir.join("yes"), "").unwrap();
    scene.engine.wait_status(Status::Exited);
    assert_nothing_left(&daemon, &[]);
}

#[test]
fn one_that_hangs_holds_nobody_up_and_is_ended_with_all_its_children() {
    let scene = Scene::new();
    let script = "sleep 1000 & echo $! >> $D/marks; echo $$ >> $D/marks; sleep 1000";
    let checker = Checker::new(&scene, script);
    let mut daemon = checker.daemon(&[]);
    scene.client().echo("hello");
    let asked = checker.wait_marks(2);
    assert!(asked.iter().all(|id| runs(id)));
    let came = now();
    let mut client = scene.client();
    client.echo("I do not wait for it");
    assert!(came.elapsed() < ms(8000), "{:?}", came.elapsed());
    assert_eq!((scene.engine.count(Call::Start), scene.engine.count(Call::Stop)), (1, 0));
    assert_nothing_left(&daemon, &asked);
    drop(client);
    // It is asked anew, and the daemon's end is its own.
    let again = checker.wait_marks(4);
    daemon.terminate();
    assert_eq!(daemon.wait_exit(), 0);
    wait_until("nothing is left behind", || !again.iter().any(|id| runs(id)));
}

#[test]
fn one_that_floods_its_output_costs_nothing() {
    let scene = Scene::new();
    let flood = "head -c 100000000 /dev/zero; head -c 100000000 /dev/zero >&2; echo x >> $D/marks";
    let checker = Checker::new(&scene, flood);
    let daemon = checker.daemon(&[]);
    scene.client().echo("hello");
    let before = daemon.anonymous_kib();
    checker.wait_marks(1);
    scene.engine.wait_status(Status::Exited);
    let grown = daemon.anonymous_kib().saturating_sub(before);
    assert!(grown < 10_000, "{grown} KiB more");
    assert!(daemon.control_characters().is_empty());
    assert_nothing_left(&daemon, &[]);
}

#[test]
fn one_that_vanishes_keeps_it_awake_until_it_is_back() {
    let scene = Scene::new();
    let program = scene.dir.join("gone");
    let words = program.display().to_string();
    let flags = ["--stop-condition", &words, "--idle-timeout", "100ms"];
    let daemon = scene.daemon(&flags);
    scene.client().echo("hello");
    daemon.wait_log(&["stays awake", "gone cannot be run"]);
    holds_for(ms(300), "it is awake", || scene.engine.count(Call::Stop) == 0);
    scene.client().echo("it is served");
    std::os::unix::fs::symlink("/bin/true", &program).unwrap();
    scene.engine.wait_status(Status::Exited);
    assert_nothing_left(&daemon, &[]);
}

#[test]
fn a_command_in_the_container_is_asked() {
    let scene = Scene::new();
    scene.engine.check_exits(Some(7));
    let flags = ["--stop-condition", "exec:/app/idle --users", "--idle-timeout", "100ms"];
    let daemon = scene.daemon(&flags);
    scene.client().echo("hello");
    daemon.wait_log(&["stays awake", "/app/idle in the container says no (status 7)"]);
    // An engine that forbids it says no, too.
    scene.engine.check_exits(None);
    daemon.wait_log(&["stays awake", "exec is forbidden here"]);
    assert_eq!(scene.engine.count(Call::Stop), 0);
    scene.engine.check_exits(Some(0));
    scene.engine.wait_status(Status::Exited);
}

#[test]
fn a_path_of_the_application_is_asked_and_that_is_no_use() {
    let scene = Scene::new();
    scene.app.behave(Behaviour::Http(503));
    let flags = ["--stop-condition", "http:/idle?really", "--idle-timeout", "100ms"];
    let daemon = scene.daemon(&flags);
    drop(scene.client());
    daemon.wait_log(&["stays awake", "GET /idle?really answers 503"]);
    assert_eq!(scene.engine.count(Call::Stop), 0);
    let request = String::from_utf8(scene.app.report().received).unwrap();
    assert!(request.starts_with("GET /idle?really HTTP/1.1\r\n"), "{request}");
    scene.app.behave(Behaviour::Http(204));
    scene.engine.wait_status(Status::Exited);
    // The application may notice the end of the question after that of itself.
    scene.engine.forgive();
}
