//! The published schema of the configuration file, held against the parser.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

use jsonschema::validator_for;
use ondemand_container::config::keys::{KEYS, Takes};
use ondemand_container::config::schema::schema;
use ondemand_container::config::{Given, Options, Plan, Settings, file};
use serde_json::{Value, json};

const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/config.schema.json");

/// Values of every kind that somebody may try.
fn values() -> Vec<Value> {
    vec![
        json!("word"),
        json!("leave"),
        json!("yes"),
        json!("auto"),
        json!("v2"),
        json!("15m"),
        json!("1h 30m"),
        json!("infinity"),
        json!("53/udp"),
        json!("80,443"),
        json!(""),
        json!(0),
        json!(1),
        json!(3000),
        json!(70_000),
        json!(-1),
        json!(1.5),
        json!(true),
        json!([]),
        json!([80, "53/udp"]),
        json!(["a", "b"]),
        json!([["a"]]),
        json!({ "a": 1 }),
    ]
}

/// Whether the parser has nothing to say against this key's value as such.
fn parses(table: &str, key: &str, value: &Value) -> bool {
    let text = format!("[{table}]\n{key} = {}\n", toml(value));
    file::parse(&[("c.toml".into(), text)]).is_ok()
}

fn toml(value: &Value) -> String {
    match value {
        Value::Object(_) => "{ a = 1 }".to_owned(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            value.to_string()
        }
    }
}

#[test]
fn the_published_schema_is_the_present_one() {
    let published: Value =
        serde_json::from_str(&std::fs::read_to_string(PUBLISHED).unwrap()).unwrap();
    let fresh = published == schema();
    assert!(fresh, "run: ondemand-container generate schema > deploy/config.schema.json");
}

#[test]
fn the_schema_and_the_parser_say_the_same() {
    let validator = validator_for(&schema()).unwrap();
    for key in KEYS {
        for value in values() {
            let document = json!({ "services": { "a": { key.name: value } } });
            let by_schema = validator.is_valid(&document);
            let by_parser = parses("services.a", key.name, &value);
            // Of texts the schema knows only the shape.
            let shape_only = by_schema
                && match key.takes {
                    Takes::Duration | Takes::Window | Takes::Ports => true,
                    Takes::Text(_)
                    | Takes::Texts(_)
                    | Takes::Phrases(_)
                    | Takes::Command
                    | Takes::Switch
                    | Takes::Count
                    | Takes::Words(_) => false,
                };
            assert!(
                by_schema == by_parser || shape_only,
                "{} = {value}: schema {by_schema}, parser {by_parser}",
                key.name
            );
        }
    }
}

#[test]
fn what_is_not_known_is_neither_valid_nor_parsed() {
    let validator = validator_for(&schema()).unwrap();
    for (document, text) in [
        (json!({ "service": {} }), "[service]\n"),
        (json!({ "services": { "a": { "prot": 1 } } }), "[services.a]\nprot = 1\n"),
        (json!({ "services": { "../a": {} } }), "[services.\"../a\"]\n"),
        (json!({ "defaults": { "listen": "80" } }), "[defaults]\nlisten = \"80\"\n"),
        (json!({ "daemon": { "threads": 0 } }), "[daemon]\nthreads = 0\n"),
        (json!({ "daemon": { "colour": 1 } }), "[daemon]\ncolour = 1\n"),
    ] {
        assert!(!validator.is_valid(&document), "{document}");
        assert!(file::parse(&[("c.toml".into(), text.to_owned())]).is_err(), "{text}");
    }
    let whole = "[daemon]\nthreads = 2\nlog-format = \"json\"\n[defaults]\nidle-timeout = \"5m\"\n\
                 [services.a]\nport = [80, \"53/udp\"]\n";
    assert!(file::parse(&[("c.toml".into(), whole.to_owned())]).is_ok());
    assert!(validator.is_valid(&json!({
        "daemon": { "threads": 2, "log-format": "json" },
        "defaults": { "idle-timeout": "5m" },
        "services": { "a": { "port": [80, "53/udp"] } },
    })));
}

/// What the documentation shows of groups is a configuration, and a valid one.
#[test]
fn the_examples_of_groups_are_accepted() {
    let dir = std::env::temp_dir().join(format!("ondemand-schema-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let mut bonds = Vec::new();
    for (page, first) in [("README.md", "[services.web]"), ("docs/labels.md", "[services.shop]")] {
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(page);
        let text = std::fs::read_to_string(page).unwrap();
        let from = text.find(&format!("    {first}\n")).expect("an example");
        let lines = text[from..].lines().take_while(|line| line.starts_with("    "));
        let example = dir.join("config.toml");
        std::fs::write(&example, lines.collect::<Vec<_>>().join("\n")).unwrap();
        let given = Given { file: Some(example), ..Given::default() };
        let plan = Plan::new(given, &Options::default());
        bonds.extend(plan.map(|plan| plan.services[0].bonds.all().count()));
    }
    std::fs::remove_dir_all(&dir).unwrap();
    assert_eq!(bonds, [3, 0]);
}

/// What the README shows is a configuration, and a valid one.
#[test]
fn the_readmes_example_is_accepted() {
    let readme =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let from = readme.find("    [defaults]\n").expect("an example");
    let lines =
        readme[from..].lines().take_while(|line| line.is_empty() || line.starts_with("    "));
    let text = lines.map(str::trim_start).collect::<Vec<_>>().join("\n");
    let file = file::parse(&[("README.md".into(), text)]).unwrap();
    assert_eq!(file.services.len(), 2);
    for written in file.services.values() {
        Settings::new(&written.options).unwrap();
    }
}
