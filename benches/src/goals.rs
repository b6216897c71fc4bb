//! What the data path, the cold start and the storms have to reach: data, in one place.

use crate::contender::{DIRECT, HAPROXY, HAPROXY_256K, NGINX, OURS, SOCKET_PROXYD, TOKIO};
use crate::record::{Record, Spread, quantile};

/// On which side of the bound it has to be.
#[derive(Clone, Copy)]
pub(crate) enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

use Bound::{AtLeast, AtMost};

/// Of which figure.
#[derive(Clone, Copy)]
enum Figure {
    /// The median of the ratios of our metric to one of a contender (or another of ours), each
    /// pair out of one round.
    Ratio(&'static str, &'static str, &'static str),
    /// A quantile over all rounds.
    Quantile(&'static str, f64),
}

use Figure::{Quantile, Ratio};

pub(crate) struct Goal {
    name: &'static str,
    figure: Figure,
    bound: Bound,
}

const fn goal(name: &'static str, figure: Figure, bound: Bound) -> Goal {
    Goal { name, figure, bound }
}

#[rustfmt::skip]
const GOALS: &[Goal] = &[
    goal("bulk, 1 connection / socket-proxyd", Ratio("bulk1.gibps", "bulk1.gibps", SOCKET_PROXYD), AtLeast(1.1)),
    goal("bulk, 1 connection / haproxy", Ratio("bulk1.gibps", "bulk1.gibps", HAPROXY), AtLeast(1.5)),
    goal("bulk, 1 connection / haproxy 256 KiB", Ratio("bulk1.gibps", "bulk1.gibps", HAPROXY_256K), AtLeast(1.0)),
    goal("bulk, 1 connection / tokio default", Ratio("bulk1.gibps", "bulk1.gibps", TOKIO), AtLeast(2.0)),
    goal("bulk, 8 connections / socket-proxyd", Ratio("bulk8.gibps", "bulk8.gibps", SOCKET_PROXYD), AtLeast(1.1)),
    goal("bulk, 8 connections / haproxy", Ratio("bulk8.gibps", "bulk8.gibps", HAPROXY), AtLeast(1.5)),
    goal("bulk, 8 connections / haproxy 256 KiB", Ratio("bulk8.gibps", "bulk8.gibps", HAPROXY_256K), AtLeast(1.0)),
    goal("bulk, 8 connections / tokio default", Ratio("bulk8.gibps", "bulk8.gibps", TOKIO), AtLeast(2.0)),
    goal("CPU per GiB / socket-proxyd", Ratio("bulk1.cpu_per_gib", "bulk1.cpu_per_gib", SOCKET_PROXYD), AtMost(0.85)),
    goal("CPU per GiB / haproxy", Ratio("bulk1.cpu_per_gib", "bulk1.cpu_per_gib", HAPROXY), AtMost(0.5)),
    goal("CPU per GiB / haproxy 256 KiB", Ratio("bulk1.cpu_per_gib", "bulk1.cpu_per_gib", HAPROXY_256K), AtMost(0.8)),
    goal("kept-alive request p50, one core / haproxy", Ratio("single.p50_us", "single.p50_us", HAPROXY), AtMost(1.0)),
    goal("kept-alive request p50, one core / direct", Ratio("single.p50_us", "single.p50_us", DIRECT), AtMost(2.5)),
    goal("write-write-read p50 / direct", Ratio("split.p50_us", "split.p50_us", DIRECT), AtMost(1.5)),
    goal("64 kept-alive, req/s / socket-proxyd", Ratio("kept64.per_second", "kept64.per_second", SOCKET_PROXYD), AtLeast(2.0)),
    goal("64 kept-alive, req/s / haproxy", Ratio("kept64.per_second", "kept64.per_second", HAPROXY), AtLeast(0.95)),
    goal("new connections/s / socket-proxyd", Ratio("connect.per_second", "connect.per_second", SOCKET_PROXYD), AtLeast(1.15)),
    goal("new connections/s / haproxy", Ratio("connect.per_second", "connect.per_second", HAPROXY), AtLeast(0.95)),
    goal("UDP echo p50, one core / nginx", Ratio("udp1.p50_us", "udp1.p50_us", NGINX), AtMost(1.0)),
    goal("UDP echo, 16 flows, 1/s / nginx", Ratio("udp16.per_second", "udp16.per_second", NGINX), AtLeast(1.0)),
    goal("idle daemon, PSS MiB", Quantile("idle.pss_mib", 0.5), AtMost(4.0)),
    goal("user bytes per idle connection", Quantile("idle.bytes_per_conn", 0.5), AtMost(2560.0)),
    goal("bulk with 1,000 idle connections / without", Ratio("bulk_idle1.gibps", "bulk1.gibps", OURS), AtLeast(0.9)),
    goal("half-closes answered, worst round", Quantile("halves", 0.0), AtLeast(1.0)),
    goal("byte integrity, worst round", Quantile("echo", 0.0), AtLeast(1.0)),
    goal("uploads counted right, worst round", Quantile("up8.whole", 0.0), AtLeast(1.0)),
    goal("engine calls while awake, worst round", Quantile("engine_calls", 1.0), AtMost(0.0)),
    goal("Docker: first byte over engine start, ms p50", Quantile("docker.start.over_ms", 0.5), AtMost(3.0)),
    goal("Docker: first byte over engine start, ms p99", Quantile("docker.start.over_ms", 0.99), AtMost(20.0)),
    goal("Podman: first byte over engine start, ms p50", Quantile("podman.start.over_ms", 0.5), AtMost(3.0)),
    goal("Podman: first byte over engine start, ms p99", Quantile("podman.start.over_ms", 0.99), AtMost(20.0)),
    goal("answer after listen(), ms p50", Quantile("ready.after_listen_ms", 0.5), AtMost(2.0)),
    goal("Docker: wake from pause over unpause, ms p50", Quantile("docker.unpause.over_ms", 0.5), AtMost(3.0)),
    goal("Podman: wake from pause over unpause, ms p50", Quantile("podman.unpause.over_ms", 0.5), AtMost(3.0)),
    goal("1,000 clients in one start: lost", Quantile("storm1000.lost", 1.0), AtMost(0.0)),
    goal("1,000 clients in one start: last, s after ready", Quantile("storm1000.last_after_ready_s", 0.5), AtMost(0.3)),
    goal("9,900 clients in one start: lost", Quantile("storm9900.lost", 1.0), AtMost(0.0)),
    goal("9,900 clients in one start: last, s after ready", Quantile("storm9900.last_after_ready_s", 0.5), AtMost(1.5)),
    goal("1,000 clients, backlog 9: lost", Quantile("backlog9.lost", 1.0), AtMost(0.0)),
    goal("1,000 services of 2,000 listeners: start, CPU s", Quantile("scale.start_cpu_s.1000", 0.5), AtMost(0.5)),
    goal("1,000 services: reload without a change, CPU s", Quantile("scale.reload_cpu_s.1000", 0.5), AtMost(0.5)),
    goal("1,000 services: reload that changes all, CPU s", Quantile("scale.reload_all_cpu_s.1000", 0.5), AtMost(0.5)),
    goal("1,000 services: status, CPU ms", Quantile("scale.status_cpu_ms.1000", 0.5), AtMost(50.0)),
    goal("a sleeping service more, KiB", Quantile("scale.kib_each.1000", 0.5), AtMost(16.0)),
    goal("1,000 clients, backlog 9: last, s after ready", Quantile("backlog9.last_after_ready_s", 0.5), AtMost(3.0)),
];

/// How a goal stands.
pub(crate) struct Judged {
    pub(crate) name: &'static str,
    pub(crate) bound: Bound,
    /// The figure with its extremes; none if it was not measured.
    pub(crate) found: Option<Spread>,
    pub(crate) verdict: Verdict,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    NotMeasured,
    Met,
    /// The figure misses it, and some round does not.
    Missed,
    /// No round meets it: that is not noise.
    MissedAlways,
}

pub(crate) fn judge(record: &Record) -> Vec<Judged> {
    GOALS.iter().map(|goal| goal.judge(record)).collect()
}

impl Goal {
    fn judge(&self, record: &Record) -> Judged {
        let found = match self.figure {
            Ratio(ours, metric, over) => Spread::of(record.ratios((ours, OURS), (metric, over))),
            Quantile(metric, at) => {
                let values = record.values(metric, OURS);
                let figure = quantile(values.clone(), at);
                Spread::of(values).zip(figure).map(|(all, median)| Spread { median, ..all })
            }
        };
        let verdict = match found {
            None => Verdict::NotMeasured,
            Some(found) if self.bound.holds(found.median) => Verdict::Met,
            Some(Spread { min, max, .. }) if self.bound.holds(min) || self.bound.holds(max) => {
                Verdict::Missed
            }
            Some(_) => Verdict::MissedAlways,
        };
        Judged { name: self.name, bound: self.bound, found, verdict }
    }
}

impl Bound {
    fn holds(self, value: f64) -> bool {
        match self {
            AtLeast(bound) => value >= bound,
            AtMost(bound) => value <= bound,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            AtLeast(bound) => write!(f, "≥ {bound}"),
            AtMost(bound) => write!(f, "≤ {bound}"),
        }
    }
}
