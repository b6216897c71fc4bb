//! The model of `tests/model/` against cores that are wrong on purpose: each of these mistakes
//! breaks a property with a name, and the core without them breaks none.
//!
//! A mistake is a piece of the source text and what stands there instead. All the wrong cores and
//! the right one are modules of one crate of their own, made under the target directory; it needs
//! nothing but stateright, at the version of this crate's lock file.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::print_stdout, reason = "what was caught belongs into the log")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

struct Mutation {
    name: &'static str,
    file: &'static str,
    text: &'static str,
    instead: &'static str,
    breaks: &'static str,
}

/// The first five are those that a first sketch of the core had for real.
const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "a_start_deadline_stops_while_the_start_is_in_flight",
        file: "service.rs",
        text: "            Phase::Probing { give_up } if give_up <= now => {",
        instead: "            Phase::Starting { .. } if self.waiting.values().any(|due| *due <= now) => {
                self.fail(now, Cause::NotReady, out);
            }
            Phase::Probing { give_up } if give_up <= now => {",
        breaks: "2: one engine operation at a time",
    },
    Mutation {
        name: "b_failed_stop_ends_asleep",
        file: "service.rs",
        text: "                let retry = self.stops.fail(now);
                self.runs_unproven(now, out);",
        instead: "                let retry = self.stops.fail(now);
                self.rest(now, Rest::Stopped, out);",
        breaks: "6: a running target is never forgotten",
    },
    Mutation {
        name: "c_late_look_of_an_earlier_run_counts",
        file: "service.rs",
        text: "Event::Observed(run, seen) if run == self.run =>",
        instead: "Event::Observed(_, seen) =>",
        breaks: "nobody is refused because an earlier life has ended",
    },
    Mutation {
        name: "d_late_probe_answer_wakes_a_later_run",
        file: "service.rs",
        text: "Event::Ready(run) if run == self.run =>",
        instead: "Event::Ready(_) =>",
        breaks: "5: nobody is granted before this life was seen ready",
    },
    Mutation {
        name: "e_what_a_failed_start_left_running_is_not_settled",
        file: "service.rs",
        text: "            (
                Phase::Unknown | Phase::Asleep(_) | Phase::Failed(_),",
        instead: "            (Phase::Failed(_), Seen::Running | Seen::Renewed) => {}
            (
                Phase::Unknown | Phase::Asleep(_) | Phase::Failed(_),",
        breaks: "6: a running target is never forgotten",
    },
    Mutation {
        name: "runs_are_not_told_apart",
        file: "event.rs",
        text: "Self(self.0.wrapping_add(1))",
        instead: "Self(self.0)",
        breaks: "5: nobody is granted before this life was seen ready",
    },
    Mutation {
        name: "a_start_and_the_life_it_opens_have_one_run",
        file: "service.rs",
        text: "                // A look that was begun before the start was carried out may yet come in.
                self.run = self.run.next();
",
        instead: "",
        breaks: "nobody is refused because an earlier life has ended",
    },
    Mutation {
        name: "the_idle_window_goes_on_while_it_is_used",
        file: "service.rs",
        text: "            *idle_at = None;
",
        instead: "",
        breaks: "1: no stop while a lease is held or somebody waits",
    },
    Mutation {
        name: "the_idle_window_begins_before_the_last_lease_ends",
        file: "service.rs",
        text: "Window::After(window) if self.leases == 0 =>",
        instead: "Window::After(window) if self.leases <= 1 =>",
        breaks: "1: no stop while a lease is held or somebody waits",
    },
    Mutation {
        name: "the_idle_window_is_cut_short",
        file: "service.rs",
        text: "                if at <= now =>",
        instead: "                if at <= now || true =>",
        breaks: "1: no sleep before the idle window has passed",
    },
    Mutation {
        name: "a_release_begins_no_idle_window",
        file: "service.rs",
        text: "        let idle = self.idle_at(now);
",
        instead: "        let idle = None;
",
        breaks: "6: a running target is never forgotten",
    },
    Mutation {
        name: "a_target_that_never_gets_ready_is_left_running",
        file: "service.rs",
        text: "Cause::NotReady | Cause::Unreachable if self.leases == 0 => self.stop(out),",
        instead: "Cause::NotReady | Cause::Unreachable if self.leases == 0 => {
                self.phase = Phase::Failed(cause);
            }",
        breaks: "6: a running target is never forgotten",
    },
    Mutation {
        name: "an_acquire_starts_over_a_stop_in_flight",
        file: "service.rs",
        text: "            Phase::Asleep(_) | Phase::Failed(_) => self.start(now, out),",
        instead: "            Phase::Asleep(_) | Phase::Failed(_) | Phase::Stopping => self.start(now, out),",
        breaks: "2: one engine operation at a time",
    },
    Mutation {
        name: "whoever_waits_is_dropped_at_the_end_of_a_stop",
        file: "service.rs",
        text: "                self.stops.succeed();
",
        instead: "                self.stops.succeed();
                self.waiting.clear();
",
        breaks: "4: an acquire during a stop leads to a start",
    },
    Mutation {
        name: "nobody_times_out_during_a_start",
        file: "service.rs",
        text: "            if *first.get() > now {",
        instead: "            if *first.get() > now || matches!(self.phase, Phase::Starting { .. }) {",
        breaks: "3: whoever waits is owed a deadline no later than its time",
    },
    Mutation {
        name: "whoever_leaves_is_waited_for",
        file: "service.rs",
        text: "                self.waiting.remove(&client);
",
        instead: "                let _ = client;
",
        breaks: "3: nobody who waits is forgotten, and nobody is answered twice",
    },
    Mutation {
        name: "a_failed_wake_refuses_nobody",
        file: "service.rs",
        text: "        out.push(Action::Report(cause));
        for client in std::mem::take(&mut self.waiting).into_keys() {",
        instead: "        out.push(Action::Report(cause));
        for client in std::iter::empty() {",
        breaks: "3: whoever waits has an operation, a probe or a look on the way",
    },
    Mutation {
        name: "a_life_that_replaced_the_probed_one_is_not_probed",
        file: "service.rs",
        text: "                self.run = self.run.next();
                out.push(Action::Probe { run: self.run });",
        instead: "                self.run = self.run.next();",
        breaks: "3: whoever waits has an operation, a probe or a look on the way",
    },
    Mutation {
        name: "a_started_target_counts_as_ready",
        file: "service.rs",
        text: "                    self.probe(began, out);
",
        instead: "                    self.probe(began, out);
                    self.ready(now, out);
",
        breaks: "5: nobody is granted before this life was seen ready",
    },
    Mutation {
        name: "another_life_is_taken_for_the_proven_one",
        file: "service.rs",
        text: "    fn observed(&mut self, now: Moment, seen: Seen, out: &mut Vec<Action>) {
        match (self.phase, seen) {
",
        instead: "    fn observed(&mut self, now: Moment, seen: Seen, out: &mut Vec<Action>) {
        match (self.phase, seen) {
            (Phase::Awake { .. }, Seen::Renewed) => {}
",
        breaks: "5: nobody is granted before this life was seen ready",
    },
    Mutation {
        name: "the_back_off_is_ignored",
        file: "service.rs",
        text: "        if let Some(left) = self.starts.left(now) {",
        instead: "        if let Some(left) = self.starts.left(now).filter(|_| false) {",
        breaks: "7: no start before the back-off has passed",
    },
    Mutation {
        name: "a_failure_that_others_mended_is_not_forgiven",
        file: "service.rs",
        text: "                // Somebody else has mended what failed: there is nothing left to wait for.
                self.starts.forgive();
",
        instead: "",
        breaks: "7: nobody is refused for a back-off that is over",
    },
    Mutation {
        name: "a_sleep_that_is_asked_for_minds_nobody",
        file: "service.rs",
        text: "            Phase::Awake { .. } | Phase::Found { .. } if self.leases == 0 => self.stop(out),",
        instead: "            Phase::Awake { .. } | Phase::Found { .. } => self.stop(out),",
        breaks: "1: no stop while a lease is held or somebody waits",
    },
    Mutation {
        name: "a_sleep_that_is_asked_for_minds_no_probe",
        file: "service.rs",
        text: "            Phase::Awake { .. } | Phase::Found { .. } if self.leases == 0 => self.stop(out),",
        instead: "            Phase::Probing { .. } | Phase::Awake { .. } | Phase::Found { .. }
                if self.leases == 0 =>
            {
                self.stop(out);
            }",
        breaks: "1: no stop while a lease is held or somebody waits",
    },
    Mutation {
        name: "a_sleep_that_is_asked_for_over_an_operation",
        file: "service.rs",
        text: "            Event::Sleep => self.sleep(out),",
        instead: "            Event::Sleep => self.stop(out),",
        breaks: "2: one engine operation at a time",
    },
    Mutation {
        name: "a_sleep_that_is_asked_for_is_not_heeded",
        file: "service.rs",
        text: "            Event::Sleep => self.sleep(out),",
        instead: "            Event::Sleep => {}",
        breaks: "a sleep that is asked for begins unless the target is used",
    },
    Mutation {
        name: "whatever_rests_is_started",
        file: "service.rs",
        text: "        self.phase = Phase::Asleep(rest);
        if !self.waiting.is_empty() {",
        instead: "        self.phase = Phase::Asleep(rest);
        if true {",
        breaks: "nothing is started for nobody",
    },
];

#[test]
fn each_mistake_in_the_core_breaks_a_property_and_no_mistake_breaks_none() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let room = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutations");
    write_crate(root, &room);
    let found = run(&room);
    let mut missed = Vec::new();
    if let Some(broken) = found.get("right") {
        missed.push(format!("the core without a mistake breaks {broken}"));
    }
    for mutation in MUTATIONS {
        match found.get(mutation.name) {
            Some(broken) if broken == mutation.breaks => {
                println!("{} breaks \"{broken}\"", mutation.name);
            }
            other => missed.push(format!(
                "{} should break {:?}, but breaks {other:?}",
                mutation.name, mutation.breaks
            )),
        }
    }
    assert!(missed.is_empty(), "{missed:#?}");
}

/// A crate with one module per core, and a program that names for each of them a property that it
/// breaks: the expected one if it is among them.
fn write_crate(root: &Path, room: &Path) {
    write(&room.join("Cargo.toml"), MANIFEST);
    write(&room.join("Cargo.lock"), &read(&root.join("Cargo.lock")));
    let model = root.join("tests/model/mod.rs").display().to_string();
    let mut main = PROGRAM.to_owned();
    let mut checks = String::new();
    let right = Mutation { name: "right", file: "", text: "", instead: "", breaks: "" };
    for mutation in MUTATIONS.iter().chain([&right]) {
        let name = mutation.name;
        let core = room.join("src").join(name);
        copy_core(&root.join("src/activation"), &core, mutation);
        writeln!(
            main,
            "mod {name} {{\n    #[path = {:?}]\n    pub mod activation;\n    #[path = {model:?}]\n    \
             pub mod model;\n}}",
            core.join("mod.rs").display().to_string()
        )
        .unwrap();
        writeln!(checks, "    check!({name}, {:?});", mutation.breaks).unwrap();
    }
    writeln!(main, "fn main() {{\n{checks}}}").unwrap();
    write(&room.join("src/main.rs"), &main);
}

fn copy_core(from: &Path, to: &Path, mutation: &Mutation) {
    let mut applied = mutation.file.is_empty();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap();
        let mut text = read(&path);
        if name == mutation.file {
            let places = text.matches(mutation.text).count();
            assert_eq!(places, 1, "{}: its text stands at {places} places", mutation.name);
            text = text.replace(mutation.text, mutation.instead);
            applied = true;
        }
        write(&to.join(name), &text);
    }
    assert!(applied, "{}: there is no {}", mutation.name, mutation.file);
}

/// Builds and runs it: the core's name → the property that it breaks.
fn run(room: &Path) -> BTreeMap<String, String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(room)
        .args(["run", "--quiet", "--offline", "--target-dir"])
        .arg(room.join("target"))
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let lines = String::from_utf8(output.stdout).unwrap();
    lines
        .lines()
        .filter_map(|line| line.split_once(" breaks "))
        .map(|(core, property)| (core.to_owned(), property.to_owned()))
        .collect()
}

fn read(path: &PathBuf) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Writes only what has changed, so that nothing is built twice.
fn write(path: &Path, text: &str) {
    if std::fs::read_to_string(path).is_ok_and(|present| present == text) {
        return;
    }
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// The core's own assertions are off: the model has to find the mistake by itself.
const MANIFEST: &str = r#"[package]
name = "mutations"
version = "0.0.0"
edition = "2024"

[dependencies]
stateright = "0.31"

[profile.dev]
debug = false
debug-assertions = false

[workspace]
"#;

const PROGRAM: &str = r#"#![allow(warnings)]

use stateright::{Checker, Expectation, HasDiscoveries, Model};

macro_rules! check {
    ($core:ident, $expected:expr) => {{
        let mut other = None;
        let mut expected = None;
        for setup in $core::model::Setup::all() {
            let end = HasDiscoveries::AnyOf([$expected].into());
            let checker = setup.checker().threads(2).finish_when(end).spawn_bfs().join();
            for property in checker.model().properties() {
                if property.expectation == Expectation::Sometimes
                    || checker.discovery(property.name).is_none()
                {
                    continue;
                }
                if property.name == $expected {
                    expected = Some(property.name);
                }
                other = Some(property.name);
            }
            if expected.is_some() {
                break;
            }
        }
        if let Some(broken) = expected.or(other) {
            println!("{} breaks {broken}", stringify!($core));
        }
    }};
}

"#;
