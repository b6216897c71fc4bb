//! The JSON schema of the configuration file, for editors; made from the list of keys.

use clap::CommandFactory;
use serde_json::{Map, Value, json};

use super::keys::{KEYS, Key, Takes};
use crate::cli::args::Cli;

/// What a duration looks like, roughly: the parser knows better, an editor need not.
const DURATION: &str = "^([0-9]+ *[a-zµ]+ *)+$";

/// The schema, in draft 2020-12, which editors' TOML extensions take.
pub fn schema() -> Value {
    let help = |flag: &str| {
        let command = Cli::command();
        let text = command
            .get_arguments()
            .find(|argument| argument.get_long() == Some(flag))
            .and_then(|argument| argument.get_help().map(ToString::to_string));
        text.unwrap_or_default()
    };
    let with_help = |flag: &str, mut shape: Value| {
        shape["description"] = help(flag).into();
        (flag.to_owned(), shape)
    };
    let keys = |wanted: fn(&&Key) -> bool| -> Map<String, Value> {
        KEYS.iter().filter(wanted).map(|key| with_help(key.name, shape(key.takes))).collect()
    };
    let daemon: Map<String, Value> = [
        ("drain-timeout", shape(Takes::Duration)),
        ("exit-idle-time", shape(Takes::Duration)),
        ("threads", json!({ "type": "integer", "minimum": 1, "maximum": 256 })),
        ("control", json!({ "type": "string", "minLength": 1 })),
        ("control-group", json!({ "type": ["string", "integer"], "minLength": 1, "minimum": 0 })),
        ("labels", shape(Takes::Texts("engine"))),
        ("history", json!({ "type": "string", "minLength": 1 })),
        ("log-format", shape(Takes::Words(&["auto", "text", "json", "journald"]))),
    ]
    .into_iter()
    .map(|(flag, shape)| with_help(flag, shape))
    .collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "ondemand-container",
        "type": "object",
        "additionalProperties": false,
        "properties": {
            "daemon": table(&daemon),
            "defaults": table(&keys(|key| !Key::OF_ONE_SERVICE.contains(&key.name))),
            "services": {
                "type": "object",
                "propertyNames": { "pattern": "^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$" },
                "additionalProperties": table(&keys(|_| true)),
            },
        },
    })
}

fn table(properties: &Map<String, Value>) -> Value {
    json!({ "type": "object", "additionalProperties": false, "properties": properties })
}

fn shape(takes: Takes) -> Value {
    let port = json!({
        "anyOf": [
            { "type": "integer", "minimum": 1, "maximum": 65535 },
            { "type": "string", "pattern": "^[0-9]{1,5}(/(tcp|udp))?(,[0-9]{1,5}(/(tcp|udp))?)*$" },
        ]
    });
    match takes {
        Takes::Text(_) => json!({ "type": "string" }),
        Takes::Texts(_) => {
            let one = json!({ "type": ["string", "integer"] });
            json!({ "anyOf": [one, { "type": "array", "items": one }] })
        }
        Takes::Ports => json!({ "anyOf": [port, { "type": "array", "items": port }] }),
        Takes::Duration => json!({ "type": "string", "pattern": DURATION }),
        Takes::Window => json!({
            "anyOf": [
                { "type": "string", "pattern": DURATION },
                { "enum": ["infinity", "auto"] },
            ]
        }),
        Takes::Count => json!({ "type": "integer", "minimum": 1, "maximum": u32::MAX }),
        Takes::Words(words) => json!({ "enum": words }),
        Takes::Phrases(_) | Takes::Command => {
            let one = json!({ "type": "string" });
            let item = json!({ "type": ["string", "integer"] });
            json!({ "anyOf": [one, { "type": "integer" }, { "type": "array", "items": item }] })
        }
        Takes::Switch => json!({ "enum": [true, false, "yes", "no", "true", "false"] }),
    }
}
