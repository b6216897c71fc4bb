//! The summary, in Markdown: medians by contender, then the goals.

use crate::contender::{ALL, OURS};
use crate::goals::{Verdict, judge};
use crate::measure::cold::FLOOR;
use crate::measure::scale::STEPS;
use crate::record::{Record, Spread};

/// Metric, what it is called, and how many decimals are worth showing.
#[rustfmt::skip]
const ROWS: &[(&str, &str, usize)] = &[
    ("bulk1.gibps", "download, 1 connection, GiB/s", 2),
    ("bulk8.gibps", "download, 8 connections, GiB/s", 2),
    ("up1.gibps", "upload, 1 connection, GiB/s", 2),
    ("up8.gibps", "upload, 8 connections, GiB/s", 2),
    ("bulk1.cpu_per_gib", "download, 1: proxy CPU-s/GiB", 3),
    ("bulk8.cpu_per_gib", "download, 8: proxy CPU-s/GiB", 3),
    ("bulk_idle1.gibps", "download, 1, beside 1,000 idle, GiB/s", 2),
    ("single.p50_us", "kept-alive request, one core, p50 µs", 1),
    ("single.p99_us", "kept-alive request, one core, p99 µs", 1),
    ("split.p50_us", "write-write-read, one core, p50 µs", 1),
    ("kept64.per_second", "64 kept-alive, req/s", 0),
    ("kept64.cpu_us", "64 kept-alive: proxy CPU µs/req", 1),
    ("connect.per_second", "connect-request-close, 1/s", 0),
    ("connect.cpu_us", "connect-request-close: proxy CPU µs", 1),
    ("udp1.p50_us", "UDP echo, one core, p50 µs", 1),
    ("udp16.per_second", "UDP echo, 16 flows, 1/s", 0),
    ("udp16.cpu_us", "UDP echo, 16 flows: proxy CPU µs each", 1),
    ("idle.pss_mib", "idle, PSS MiB", 1),
    ("idle.bytes_per_conn", "user bytes per idle connection", 0),
    ("idle.fds_per_conn", "fds per connection", 1),
    ("halves", "half-closes answered", 2),
    ("echo", "bytes intact", 2),
    ("engine_calls", "engine calls while awake", 0),
];

#[rustfmt::skip]
const WAKES: &[(&str, &str)] = &[
    ("docker.start", "Docker, cold start"),
    ("docker.unpause", "Docker, wake from pause"),
    ("podman.start", "Podman, cold start"),
    ("podman.unpause", "Podman, wake from pause"),
];

/// Everything that was measured, and how many goals were missed.
pub(crate) fn summary(record: &Record) -> (String, usize) {
    let mut text = String::new();
    contenders(&mut text, record);
    wakes(&mut text, record);
    services(&mut text, record);
    let missed = goals(&mut text, record);
    (text, missed)
}

fn contenders(text: &mut String, record: &Record) {
    let took_part = |name: &&&str| record.median("single.p50_us", name).is_some();
    let names: Vec<&str> = ALL.iter().filter(took_part).copied().collect();
    if names.is_empty() {
        return;
    }
    line(text, &format!("| median | {} |", names.join(" | ")));
    line(text, &format!("|---|{}", "---|".repeat(names.len())));
    for (metric, title, decimals) in ROWS {
        let cell = |name: &&str| match record.median(metric, name) {
            Some(value) => format!("{value:.decimals$}"),
            None => "–".to_owned(),
        };
        let cells: Vec<String> = names.iter().map(cell).collect();
        line(text, &format!("| {title} | {} |", cells.join(" | ")));
    }
    line(text, "");
}

fn wakes(text: &mut String, record: &Record) {
    let spread = |metric: &str, contender: &str| {
        Spread::of(record.values(metric, contender))
            .map_or("–".to_owned(), |s| format!("{:.1} ({:.1}–{:.1})", s.median, s.min, s.max))
    };
    let woken: Vec<_> = WAKES
        .iter()
        .filter(|(metric, _)| record.median(&format!("{metric}.over_ms"), OURS).is_some())
        .collect();
    if woken.is_empty() {
        return;
    }
    line(
        text,
        "| ms, median (min–max) | the engine itself | over it, daemon | over it, by hand | difference of the pairs |",
    );
    line(text, "|---|---|---|---|---|");
    for (metric, title) in woken {
        let engine = spread(&format!("{metric}.engine_ms"), OURS);
        let over = format!("{metric}.over_ms");
        let (ours, floor) = (spread(&over, OURS), spread(&over, FLOOR));
        let added = spread(&format!("{metric}.added_ms"), OURS);
        line(text, &format!("| {title} | {engine} | {ours} | {floor} | {added} |"));
    }
    line(text, "");
}

fn services(text: &mut String, record: &Record) {
    let median =
        |name: &str, services: usize| record.median(&format!("scale.{name}.{services}"), OURS);
    if median("start_cpu_s", STEPS[0]).is_none() {
        return;
    }
    line(
        text,
        "| services, two listeners each | start, CPU s | reload without a change, CPU s | that changes all, CPU s | status, CPU ms | memory of one more, KiB |",
    );
    line(text, "|---|---|---|---|---|---|");
    for services in STEPS {
        let cell = |name: &str, decimals: usize| {
            median(name, services).map_or("–".to_owned(), |value| format!("{value:.decimals$}"))
        };
        let cells = [
            cell("start_cpu_s", 3),
            cell("reload_cpu_s", 3),
            cell("reload_all_cpu_s", 3),
            cell("status_cpu_ms", 2),
            cell("kib_each", 1),
        ];
        line(text, &format!("| {services} | {} |", cells.join(" | ")));
    }
    line(text, "");
}

fn goals(text: &mut String, record: &Record) -> usize {
    line(text, "| goal | reach | found (min–max over the rounds) | |");
    line(text, "|---|---|---|---|");
    let mut missed = 0;
    for goal in judge(record) {
        let found = goal.found.map_or("not measured".to_owned(), |found| {
            let Spread { median, min, max } = found;
            format!("{} ({}–{})", show(median), show(min), show(max))
        });
        let verdict = match goal.verdict {
            Verdict::NotMeasured => "",
            Verdict::Met => "met",
            Verdict::Missed => "**missed**",
            Verdict::MissedAlways => "**missed in every round**",
        };
        missed += usize::from(matches!(goal.verdict, Verdict::Missed | Verdict::MissedAlways));
        line(text, &format!("| {} | {} | {found} | {verdict} |", goal.name, goal.bound));
    }
    line(text, "");
    missed
}

fn line(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

fn show(value: f64) -> String {
    let decimals = if value.abs() < 100.0 { 2 } else { 0 };
    format!("{value:.decimals$}")
}
