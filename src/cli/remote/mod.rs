//! The commands that ask a running daemon, by its control socket.

pub(super) mod args;
mod client;
mod table;

use std::io::{self, IsTerminal, Write};

use hyper::Method;

use super::Failure;
use super::args::{ControlArgs, HoldArgs, NameArgs, SleepArgs, StatusArgs, WakeArgs};
use crate::admin::{Changes, ServiceView, StatusView};
use client::Client;

/// Clears a terminal's screen and begins at its top (ECMA-48: CUP, ED).
const CLEAR: &[u8] = b"\x1b[H\x1b[2J";

/// What the services, or one of them, are doing.
pub(super) fn status(args: &StatusArgs) -> Result<(), Failure> {
    let client = Client::new(&args.control)?;
    let path = match &args.name {
        None => "/v1/status".to_owned(),
        Some(name) => of(name, ""),
    };
    let shown = async || {
        let answer = client.ask(Method::GET, &path).await?;
        if args.json { Ok(answer.to_vec()) } else { as_table(&answer, args) }
    };
    if !args.watch {
        return print(&client.run(shown())?).map(|_| ());
    }
    let clears = io::stdout().is_terminal();
    client.run(async {
        // A name that is not known is told before anything is followed.
        client.ask(Method::GET, &path).await?;
        let watching = client.follow(async |lines| {
            let lines = lines.split_inclusive(|byte| *byte == b'\n');
            let lines: Vec<u8> = match &args.name {
                None => lines.flatten().copied().collect(),
                Some(name) => lines.filter(|line| is_of(line, name)).flatten().copied().collect(),
            };
            if args.json || lines.is_empty() {
                return print(&lines);
            }
            // If it is the daemon's end, so the stream will say.
            let Ok(table) = shown().await else { return Ok(Following::GoesOn) };
            let mut text = if clears { CLEAR.to_vec() } else { Vec::new() };
            text.extend(table);
            print(&text)
        });
        watching.await
    })
}

/// Wakes a service.
pub(super) fn wake(args: &WakeArgs) -> Result<(), Failure> {
    let query = if args.wait { "/wake?wait=1" } else { "/wake" };
    act(&args.control, &args.name, query)
}

/// Puts a service to sleep.
pub(super) fn sleep(args: &SleepArgs) -> Result<(), Failure> {
    let query = if args.force { "/sleep?force=1" } else { "/sleep" };
    act(&args.control, &args.name, query)
}

/// Keeps a service awake.
pub(super) fn hold(args: &HoldArgs) -> Result<(), Failure> {
    let query = match args.time {
        None => "/hold".to_owned(),
        Some(time) => {
            let time = humantime::format_duration(time).to_string().replace(' ', "%20");
            format!("/hold?for={time}")
        }
    };
    act(&args.control, &args.name, &query)
}

/// Ends a hold.
pub(super) fn release(args: &NameArgs) -> Result<(), Failure> {
    act(&args.control, &args.name, "/release")
}

/// What keeps a service awake or has woken it last.
pub(super) fn why(args: &NameArgs) -> Result<(), Failure> {
    let client = Client::new(&args.control)?;
    let answer = client.run(client.ask(Method::GET, &of(&args.name, "")))?;
    let service: ServiceView = understood(&answer)?;
    print(format!("{}\n", service.why).as_bytes()).map(|_| ())
}

/// Has the configuration read anew, and tells what has changed.
pub(super) fn reload(args: &ControlArgs) -> Result<(), Failure> {
    let client = Client::new(args)?;
    let answer = client.run(client.ask(Method::POST, "/v1/reload"))?;
    let Changes { added, changed, removed, unchanged } = understood(&answer)?;
    let all = [("added", added), ("changed", changed), ("removed", removed)];
    let some = all.into_iter().filter(|(_, names)| !names.is_empty());
    let mut lines: Vec<String> =
        some.map(|(what, names)| format!("{what}: {}\n", names.join(", "))).collect();
    lines.push(format!("unchanged: {unchanged}\n"));
    print(lines.concat().as_bytes()).map(|_| ())
}

/// Prints each change as it comes.
pub(super) fn events(args: &ControlArgs) -> Result<(), Failure> {
    let client = Client::new(args)?;
    client.run(client.follow(async |lines| print(lines)))
}

/// Whether a stream is followed further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Following {
    GoesOn,
    /// Nobody reads it any more.
    Ends,
}

fn act(control: &ControlArgs, name: &str, verb: &str) -> Result<(), Failure> {
    let client = Client::new(control)?;
    let answer = client.run(client.ask(Method::POST, &of(name, verb)))?;
    let service: ServiceView = understood(&answer)?;
    print(&table::table(&[service])).map(|_| ())
}

fn as_table(answer: &[u8], args: &StatusArgs) -> Result<Vec<u8>, Failure> {
    let services = match &args.name {
        None => understood::<StatusView>(answer)?.services,
        Some(_) => vec![understood(answer)?],
    };
    Ok(table::table(&services))
}

fn understood<T: for<'a> serde::Deserialize<'a>>(answer: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(answer).map_err(|error| {
        Failure::runtime(anyhow::anyhow!(
            "the daemon's answer is not understood ({error}): is it of another version?"
        ))
    })
}

fn is_of(line: &[u8], name: &str) -> bool {
    serde_json::from_slice::<ServiceView>(line).is_ok_and(|service| service.name == name)
}

/// The path of a service; what a name cannot have is escaped (RFC 3986, 2.3).
fn of(name: &str, verb: &str) -> String {
    let escape = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    let name: String = name.bytes().map(escape).collect();
    format!("/v1/services/{name}{verb}")
}

/// Prints at once; a reader that has seen enough (`| head`) is no failure.
fn print(text: &[u8]) -> Result<Following, Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text).and_then(|()| out.flush()) {
        Ok(()) => Ok(Following::GoesOn),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Following::Ends),
        Err(error) => Err(Failure::runtime(error)),
    }
}
