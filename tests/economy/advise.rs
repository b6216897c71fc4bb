//! The command: what it prints of a log, and what it says when there is nothing to print.

use std::io::Write;
use std::process::{Command, Output, Stdio};

const LOG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/access.log");

fn advise(flags: &[&str], input: &[u8]) -> (Option<i32>, String, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ondemand-container"))
        .arg("advise")
        .args(flags)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // One that refuses its flags does not read.
    drop(stdin.write_all(input));
    drop(stdin);
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (status.code(), text(stdout), text(stderr))
}

/// The example of the docs is what is printed.
#[test]
fn the_docs_show_what_it_prints() {
    let (code, said, complaint) =
        advise(&["--log", LOG, "--sleep", "stop", "--sleep", "pause,stop=2h"], b"");
    assert_eq!((code, complaint.as_str()), (Some(0), ""));
    let docs = include_str!("../../docs/idle-window.md");
    for line in said.lines() {
        assert!(docs.contains(line), "the docs lack {line:?} of\n{said}");
    }
}

#[test]
fn json_has_the_figures_of_each_row() {
    let times = b"1700000000\n1700000100\n1700003700\nwhat?\n";
    let flags = ["--log", "-", "--windows", "5m,auto,infinity", "--json", "--memory", "1GiB"];
    let (code, said, _) = advise(&flags, times);
    assert_eq!(code, Some(0));
    let advice: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&advice["gaps"], &advice["not_understood"]), (&2.into(), &1.into()));
    assert_eq!(advice["price_seconds"], 63.0);
    let fixed = &advice["rows"][0];
    assert_eq!((&fixed["window"], &fixed["cold_starts"]), (&"5m".into(), &1.into()));
    assert_eq!(
        (&fixed["stopped_seconds"], &fixed["waited_seconds"]),
        (&3300.0.into(), &3.0.into())
    );
    assert_eq!(fixed["cost_seconds"], 100.0 + 300.0 + 63.0);
    assert!((fixed["gib_hours_saved"].as_f64().unwrap() - 3300.0 / 3600.0).abs() < 1e-9);
    // At first the break-even window, and after a gap longer than that the shortest.
    assert_eq!(advice["rows"][1]["cost_seconds"], 126.0 + 73.0);
    assert_eq!(advice["rows"][1]["last_window_seconds"], 10.0);
    assert_eq!(advice["rows"][2]["cost_seconds"], 3700.0);
    let cheapest: Vec<bool> =
        (0..3).map(|row| advice["rows"][row]["cheapest"].as_bool().unwrap()).collect();
    assert_eq!(cheapest, [false, true, false]);
}

/// What the daemon has measured is taken unless it is said otherwise.
#[test]
fn the_history_is_replayed() {
    let path = std::env::temp_dir().join(format!("odt-{}-advise.json", std::process::id()));
    let wake = r#"{"from":"stop","ready_us":2000000,"engine_us":500000}"#;
    let record = format!(
        r#"{{"freed":{{"stopped":1073741824}},"wakes":[{wake}],"ledger":{{"gaps":[600,7200]}}}}"#
    );
    let text = format!(r#"{{"version":1,"services":{{"gitea":{record},"wiki":{{}}}}}}"#);
    std::fs::write(&path, text).unwrap();
    let history = path.to_str().unwrap();
    let replayed = advise(&["gitea", "--history", history, "--windows", "15m"], b"");
    let nothing = advise(&["wiki", "--history", history], b"");
    let unnamed = advise(&["--history", history], b"");
    drop(std::fs::remove_file(&path));
    let (code, said, complaint) = replayed;
    assert_eq!((code, complaint.as_str()), (Some(0), ""));
    assert!(said.contains("2 gaps between uses, 2h 10m in all\n"), "{said}");
    assert!(said.contains("takes 2.5s, and is worth 1m 3s of being awake"), "{said}");
    assert!(said.contains("frees 1024 MiB"), "{said}");
    assert_eq!((nothing.0, nothing.2.contains("no gap between uses yet")), (Some(1), true));
    assert!(unnamed.2.contains("name one of gitea, wiki"), "{}", unnamed.2);
}

#[test]
fn a_picture_is_drawn() {
    let path = std::env::temp_dir().join(format!("odt-{}-advise.svg", std::process::id()));
    let plot = path.to_str().unwrap();
    let (code, _, complaint) = advise(&["--log", LOG, "--plot", plot], b"");
    let drawn = std::fs::read_to_string(&path);
    drop(std::fs::remove_file(&path));
    assert_eq!(code, Some(0), "{complaint}");
    let drawn = drawn.unwrap();
    assert!(drawn.starts_with("<svg") && drawn.ends_with("</svg>\n"));
    assert_eq!(drawn.matches("<polyline").count(), 3);
}

#[test]
fn what_cannot_be_replayed_is_told() {
    let told = |flags: &[&str], input: &[u8], code, words: &str| {
        let (ended, said, complaint) = advise(flags, input);
        assert_eq!((ended, said.as_str()), (Some(code), ""), "{flags:?}: {complaint}");
        assert!(complaint.contains(words), "{flags:?}: {complaint}");
    };
    told(&["--log", "-"], b"GET / 200\nnothing\n", 1, "2 lines tell no time");
    told(&["--log", "-"], b"", 1, "no time was found");
    told(&["--log", "/nowhere/access.log"], b"", 1, "/nowhere/access.log cannot be read");
    told(&[], b"", 2, "--log");
    told(&["--log", "-", "--windows", "soon"], b"", 2, "infinity");
    told(&["--log", "-", "--memory", "much"], b"", 2, "512MiB");
    told(&["--log", "-", "--idle-min", "3h"], b"", 78, "--idle-max");
}
