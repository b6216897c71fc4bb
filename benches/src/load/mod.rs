//! The load generator: one kind of load, one JSON object on standard output.

mod bulk;
mod check;
mod datagrams;
mod single;
mod swarm;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;

use swarm::{After, Swarm};

pub(crate) use single::PERCENTILES;

/// How many connections are set up at once when connections are counted.
const CONNECTING: usize = 16;

/// Runs the load that `words` name against a port of 127.0.0.1.
pub(crate) fn run(words: &[String]) -> io::Result<Value> {
    let mut words = words.iter();
    let kind = words.next().map(String::as_str).unwrap_or_default();
    let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, number() as u16));
    match kind {
        "down" => bulk::down(to, number() as usize, number()),
        "up" => bulk::up(to, number() as usize, millis(number())),
        "single" => single::requests(to, single::Writes::One, millis(number())),
        "split" => single::requests(to, single::Writes::Two, millis(number())),
        "kept" => {
            let clients = number() as usize;
            Swarm::new(to, clients, After::Again)?.run_for(millis(number()))
        }
        "connect" => Swarm::new(to, CONNECTING, After::Renew)?.run_for(millis(number())),
        "hold" => Swarm::new(to, number() as usize, After::Keep)?.hold(),
        "storm" => {
            let clients = number() as usize;
            Swarm::new(to, clients, After::End)?.storm(millis(number()), millis(number()))
        }
        "datagrams1" => datagrams::single(to, millis(number())),
        "datagrams" => datagrams::flows(to, number() as usize, millis(number())),
        "halves" => Ok(check::halves(to, number() as usize)),
        "echo" => check::echo(to, number()),
        other => Err(io::Error::other(format!("no such load: {other}"))),
    }
}

fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
