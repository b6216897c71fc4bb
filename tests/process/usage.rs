//! The command line and the environment: what is wrong is said, with the remedy.

use std::process::Output;

use crate::support::launch::Launch;
use crate::support::port::Port;
use crate::support::scene::Scene;

/// The exit code and everything it said.
fn outcome(output: &Output) -> (Option<i32>, String) {
    let mut said = String::from_utf8_lossy(&output.stderr).into_owned();
    said += &String::from_utf8_lossy(&output.stdout);
    (output.status.code(), said)
}

/// Runs with these flags, which must be refused with a message that has all of `words`.
fn refused(codes: &[i32], flags: &[&str], words: &[&str]) {
    let (code, said) = outcome(&Launch::new().args(flags).output());
    assert!(code.is_some_and(|code| codes.contains(&code)), "{flags:?}: {code:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{flags:?}: no {word:?} in {said}");
    }
}

#[test]
fn help_and_version_exit_0() {
    for flag in ["--help", "--version", "-h"] {
        let output = Launch::new().args([flag]).output();
        assert_eq!(output.status.code(), Some(0), "{flag}");
        assert!(!output.stdout.is_empty(), "{flag}");
    }
}

#[test]
fn a_man_page_and_completions_can_be_generated() {
    let output = Launch::new().args(["generate", "man"]).output();
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&output.stdout).contains(".TH"));
    for shell in ["bash", "zsh", "fish"] {
        let output = Launch::new().args(["generate", "completions", "--shell", shell]).output();
        assert_eq!(output.status.code(), Some(0), "{shell}");
        let script = String::from_utf8_lossy(&output.stdout);
        for word in ["idle-timeout", "compose-labels", "output-dir"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
}

/// Files go to standard output, each headed by its name; what is wrong is told as by the daemon.
#[test]
fn what_a_deployment_is_made_of_can_be_generated() {
    let output = Launch::new()
        .args(["generate", "systemd", "-c", "app", "-p", "80", "--listen", "127.0.0.1:8080"])
        .output();
    let (code, said) = outcome(&output);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("# ondemand-app.socket\n"), "{said}");
    assert!(said.contains("\n\n# ondemand-app.service\n"), "{said}");
    let output = Launch::new().args(["generate", "compose-labels", "-p", "80"]).output();
    assert_eq!(
        outcome(&output).1,
        "labels:\n  ondemand.enable: \"true\"\n  ondemand.port: \"80\"\n"
    );
    for what in ["systemd", "quadlet", "compose-labels"] {
        refused(&[78], &["generate", what, "-c", "a/b"], &["--container", "--port: is missing"]);
    }
    refused(&[2], &["generate", "systemd", "--force"], &["--output-dir"]);
}

#[test]
fn unknown_flags_and_malformed_values_exit_2() {
    let base = ["--container", "app", "--port", "80"];
    for (extra, words) in [
        (["--no-such-flag", "x"], ["--no-such-flag"]),
        (["--idle-timeout", "soon"], ["--idle-timeout"]),
        (["--idle-timeout=-5s", "-v"], ["--idle-timeout"]),
        (["--start-timeout", "infinity-ish"], ["--start-timeout"]),
        (["--max-connections", "0"], ["--max-connections"]),
        (["--on-exit", "explode"], ["--on-exit"]),
        (["--log-format", "xml"], ["--log-format"]),
        (["--proxy-protocol", "v3"], ["--proxy-protocol"]),
    ] {
        let flags: Vec<&str> = base.into_iter().chain(extra).collect();
        refused(&[2], &flags, &words);
    }
    refused(&[2], &["--container", "app", "--port", "0"], &["--port"]);
    refused(&[2], &["--container", "app", "--port", "65536"], &["--port"]);
}

/// Only a socket that nobody listens on is replaced.
#[test]
fn a_file_in_the_place_of_the_socket_is_left_alone() {
    let scene = Scene::new();
    let path = scene.dir.join("data.db");
    std::fs::write(&path, "precious").unwrap();
    let listen = format!("unix:{}", path.display());
    let engine = scene.engine.url();
    for command in [&["check"][..], &[]] {
        let flags = ["--container", "app", "--port", "80", "--engine", &engine];
        let launch = Launch::new().args(command.iter().copied()).args(flags);
        drop(launch.args(["--listen", &listen, "--upstream", "127.0.0.1:1"]).output());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
    }
}

#[test]
fn what_is_missing_is_named() {
    refused(&[2, 78], &[], &["--container"]);
    refused(&[2, 78], &["--container", "app"], &["--port"]);
    refused(&[2, 78], &["--port", "80"], &["--container"]);
}

#[test]
fn everything_wrong_is_said_at_once() {
    refused(
        &[2, 78],
        &["--container", "../x", "--port", "80", "--ready", "perhaps", "--engine", "ftp://x"],
        &["--container", "--ready", "--engine"],
    );
}

#[test]
fn wrong_settings_name_the_flag() {
    let base = ["--container", "app", "--port", "80"];
    for (flag, value) in [
        ("--listen", "nowhere:80:80"),
        ("--listen", "127.0.0.1:99999"),
        ("--listen", "unix:relative/path"),
        ("--upstream", "a:b:80"),
        ("--upstream", "127.0.0.1:0"),
        ("--ready", "http:no-slash"),
        ("--accept-proxy-protocol", "10.0.0.0/33"),
        ("--accept-proxy-protocol", "localhost"),
        ("--ready", "http:/a b\r\nX: y"),
        ("--engine", "unix://"),
        ("--engine", "gopher://x"),
    ] {
        let flags: Vec<&str> = base.into_iter().chain([flag, value]).collect();
        refused(&[2, 78], &flags, &[flag]);
    }
}

#[test]
fn names_that_no_container_has_are_refused_and_never_reach_the_engine() {
    let scene = Scene::new();
    for name in ["../x", "a b", "a\nb", "a/b", "a?b=c", "a%2fb", "", ".", "-x", "a\u{e9}", "x\0y"] {
        if name.contains('\0') {
            // exec(3) itself cannot carry it.
            continue;
        }
        let container = format!("--container={name}");
        let launch = Launch::new().args([container.as_str(), "--port", "80"]);
        let output =
            launch.args(["--engine", &scene.engine.url(), "--listen", "127.0.0.1:0"]).output();
        let (code, said) = outcome(&output);
        assert_eq!(code, Some(78), "{name:?}: {said}");
        assert!(said.contains("container"), "{name:?}: {said}");
        let raw = said.chars().filter(|c| c.is_control() && *c != '\n').count();
        assert_eq!(raw, 0, "{name:?}: control characters in {said:?}");
    }
    assert_eq!(scene.engine.count_all(), 0);
}

#[test]
fn the_environment_configures_everything() {
    let scene = Scene::new();
    let more = Port::reserve();
    let launch = Launch::new()
        .env("ONDEMAND_CONTAINER", "app")
        .env("ONDEMAND_PORT", scene.app.port().to_string())
        .env("ONDEMAND_LISTEN", format!("{},{}", scene.address(), more.address()))
        .env("ONDEMAND_ENGINE", scene.engine.url())
        .env("ONDEMAND_IDLE_TIMEOUT", "100ms")
        .env("ONDEMAND_START_TIMEOUT", "3s")
        .env("ONDEMAND_STOP_TIMEOUT", "2s")
        .env("ONDEMAND_DRAIN_TIMEOUT", "100ms")
        .env("ONDEMAND_READY", "tcp")
        .env("ONDEMAND_MAX_CONNECTIONS", "10")
        .env("ONDEMAND_ON_EXIT", "stop")
        .env("ONDEMAND_KEEPALIVE", "30s")
        .env("ONDEMAND_HALF_CLOSED_TIMEOUT", "10m")
        .env("ONDEMAND_LOG_FORMAT", "json")
        .env("ONDEMAND_VERBOSE", "1")
        .env("NOTIFY_SOCKET", scene.dir.join("notify"));
    let mut daemon = scene.run(launch);
    scene.client().echo("one");
    crate::support::client::Client::connect(more.address()).echo("two");
    scene.engine.wait_count(crate::support::engine::Call::Stop, 1);
    scene.client().echo("three");
    let mut live = scene.client();
    live.echo("four");
    daemon.terminate();
    assert_eq!(daemon.wait_exit(), 0);
    assert_eq!(scene.engine.status(), Some(crate::support::container::Status::Exited));
    assert!(daemon.log().iter().all(|line| line.starts_with('{')), "JSON");
    // The drain was cut short with a client connected.
    scene.engine.forgive();
}

#[test]
fn a_flag_outranks_its_variable() {
    let scene = Scene::new();
    let launch = scene.launch_with(&[]).env("ONDEMAND_CONTAINER", "other");
    let _daemon = scene.run(launch.env("ONDEMAND_IDLE_TIMEOUT", "1h"));
    scene.client().echo("app, not other");
    scene.engine.wait_count(crate::support::engine::Call::Stop, 1);
}

#[test]
fn docker_host_is_honoured_by_auto() {
    let scene = Scene::new();
    for variable in ["DOCKER_HOST", "CONTAINER_HOST"] {
        let launch = Launch::new()
            .args(["--container", "app", "--port", &scene.app.port().to_string()])
            .args(["--listen", &scene.address().to_string(), "--idle-timeout", "1m"])
            .env(variable, scene.engine.url())
            .env("NOTIFY_SOCKET", scene.dir.join("notify"));
        let daemon = scene.run(launch);
        scene.client().echo(variable);
        daemon.wait_log(&["engine.sock"]);
    }
}
