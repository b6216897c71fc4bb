//! The model of `tests/model/` against cores that are wrong on purpose: each of these mistakes
//! breaks a property with a name, and the core without them breaks none.
//!
//! A mistake is a piece of the source text and what stands there instead. All the wrong cores and
//! the right one are modules of one crate of their own, made under the target directory; it needs
//! nothing but serde and stateright, at the versions of this crate's lock file.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(clippy::print_stdout, reason = "what was caught belongs into the log")]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

#[path = "mutations/life.rs"]
mod life;
#[path = "mutations/rest.rs"]
mod rest;

struct Mutation {
    name: &'static str,
    /// The part of the model that finds it.
    setup: &'static str,
    file: &'static str,
    text: &'static str,
    instead: &'static str,
    breaks: &'static str,
}

/// `tests/model.rs` walks all of it.
const RIGHT: Mutation = Mutation {
    name: "right",
    setup: "everything at once",
    file: "",
    text: "",
    instead: "",
    breaks: "",
};

fn mutations() -> impl Iterator<Item = &'static Mutation> {
    life::MUTATIONS.iter().chain(rest::MUTATIONS)
}

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
    for mutation in mutations() {
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
    for mutation in mutations().chain([&RIGHT]) {
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
        writeln!(checks, "    check!({name}, {:?}, {:?});", mutation.setup, mutation.breaks)
            .unwrap();
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
serde = { version = "1", features = ["derive"] }
stateright = "0.31"

[profile.dev]
debug = false
debug-assertions = false

[workspace]
"#;

const PROGRAM: &str = r#"#![allow(warnings)]

use stateright::{Checker, Expectation, HasDiscoveries, Model};

macro_rules! check {
    ($core:ident, $setup:expr, $expected:expr) => {{
        let mut other = None;
        let mut expected = None;
        let setups = $core::model::Setup::all();
        assert!(setups.iter().any(|setup| setup.name == $setup), "there is no {}", $setup);
        for setup in setups.into_iter().filter(|setup| setup.name == $setup) {
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
