//! How much a target does without clients: two samples, and what lies between them.

use std::fmt;
use std::path::Path;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::cgroup::{PROC, net_bytes};
use crate::clock;
use crate::config::rules::Busy;
use crate::driver::{Target, counted};
use crate::engine::{Engine, Networking, Observed};

/// Less is not worth measuring: the kernel itself counts some figures by ticks of 10 ms.
const AT_LEAST: Duration = Duration::from_secs(1);

/// What was measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Load {
    /// No more than is allowed.
    Quiet,
    /// More.
    Busy(String),
    /// Nothing.
    Unread {
        what: &'static str,
        /// The reason, as far as one was given.
        why: Option<String>,
        to_do: &'static str,
    },
}

/// Measures for so long, or a second if that is longer.
pub(super) async fn over<E: Engine>(
    lead: Duration,
    engine: &E,
    target: &Target,
    observed: &Observed,
) -> Load {
    let first = Sample::take(engine, target, observed).await;
    sleep_until(first.at + lead.max(AT_LEAST)).await;
    let second = Sample::take(engine, target, observed).await;
    between(&first, &second, target.may_sleep.busy)
}

/// Who has counted: figures of two are not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    Kernel,
    Engine,
}

/// The state of the counters at a moment.
#[derive(Debug)]
struct Sample {
    at: Instant,
    cpu: Option<(By, Duration)>,
    net: Option<(By, u64)>,
    /// What the engine said instead.
    error: Option<String>,
}

impl Sample {
    /// Of the kernel, as far as it can be asked; the rest of the engine.
    async fn take<E: Engine>(engine: &E, target: &Target, observed: &Observed) -> Self {
        let at = clock::instant();
        let Busy { cpu: most_cpu, net: most_net } = target.may_sleep.busy;
        let wants_cpu = most_cpu.is_some();
        let wants_net = most_net.is_some() && has_own_network(observed);
        let mut cpu = None;
        if wants_cpu {
            let group = counted::cgroup_of(engine, target, observed).await;
            cpu = group.and_then(|group| group.cpu()).map(|used| (By::Kernel, used));
        }
        let mut net = None;
        if wants_net && let Some(pid) = observed.pid {
            net = net_bytes(Path::new(PROC), pid, &observed.id).map(|bytes| (By::Kernel, bytes));
        }
        let mut error = None;
        if (wants_cpu && cpu.is_none()) || (wants_net && net.is_none()) {
            match engine.usage(&target.name).await {
                Ok(usage) => {
                    cpu = cpu.or(usage.cpu.map(|used| (By::Engine, used)));
                    net = net.or(usage.net.map(|bytes| (By::Engine, bytes)).filter(|_| wants_net));
                }
                Err(wrong) => error = Some(wrong.to_string()),
            }
        }
        Self { at, cpu, net, error }
    }
}

/// Of one that uses the host's nobody can say what is its part.
fn has_own_network(observed: &Observed) -> bool {
    match observed.networking {
        Networking::Own(_) | Networking::Container(_) | Networking::None => true,
        Networking::Host | Networking::Forwarded => false,
    }
}

fn between(first: &Sample, second: &Sample, most: Busy) -> Load {
    let elapsed = second.at - first.at;
    let error = || second.error.clone().or_else(|| first.error.clone());
    if let Some(most) = most.cpu {
        let Some((before, now)) = both(first.cpu, second.cpu) else {
            return Load::Unread {
                what: "its processor time",
                why: error(),
                to_do: "let this daemon read its cgroup or ask its engine for it (of a unit: \
                        CPUAccounting=yes), or take away --busy-cpu",
            };
        };
        let Some(used) = now.checked_sub(before) else { return anew() };
        let share = used.as_secs_f64() / elapsed.as_secs_f64();
        if share > most.as_secs_f64() {
            let (share, most) = (Percent(share), Percent(most.as_secs_f64()));
            return Load::Busy(format!("cpu {share:.1} > {most}"));
        }
    }
    if let Some(most) = most.net {
        let Some((before, now)) = both(first.net, second.net) else {
            return Load::Unread {
                what: "its network traffic",
                why: error(),
                to_do: "give it a network of its own, or take away --busy-net",
            };
        };
        let Some(bytes) = now.checked_sub(before) else { return anew() };
        let rate = as_f64(bytes) / elapsed.as_secs_f64();
        if rate > as_f64(most) {
            return Load::Busy(format!("net {:.1} > {}", Rate(rate), Rate(as_f64(most))));
        }
    }
    Load::Quiet
}

/// Counters that have gone back are of another life.
fn anew() -> Load {
    Load::Busy("it was started anew while it was measured".to_owned())
}

fn both<T>(first: Option<(By, T)>, second: Option<(By, T)>) -> Option<(T, T)> {
    let ((by, before), (then_by, now)) = (first?, second?);
    (by == then_by).then_some((before, now))
}

#[expect(clippy::cast_precision_loss, reason = "a rate is compared and shown, not counted")]
fn as_f64(bytes: u64) -> f64 {
    bytes as f64
}

/// A share of one processor: as precise as it is asked for, else as it is.
struct Percent(f64);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        number(f, self.0 * 100.0)?;
        f.write_str("%")
    }
}

/// Bytes a second, in the largest unit that fits.
struct Rate(f64);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1024.0 * 1024.0 * 1024.0, "GiB"), (1024.0 * 1024.0, "MiB"), (1024.0, "KiB")];
        let fits = units.into_iter().find(|(size, _)| self.0 >= *size);
        let (size, unit) = fits.unwrap_or((1.0, "B"));
        number(f, self.0 / size)?;
        write!(f, "{unit}/s")
    }
}

fn number(f: &mut fmt::Formatter<'_>, number: f64) -> fmt::Result {
    match f.precision() {
        Some(digits) => write!(f, "{number:.digits$}"),
        // What was given had no more digits than that.
        None => write!(f, "{}", (number * 1000.0).round() / 1000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn samples(cpu: [Option<(By, u64)>; 2], net: [Option<(By, u64)>; 2]) -> (Sample, Sample) {
        let at = clock::instant();
        let sample = |which: usize, at| Sample {
            at,
            cpu: cpu[which].map(|(by, ms)| (by, Duration::from_millis(ms))),
            net: net[which],
            error: None,
        };
        (sample(0, at), sample(1, at + 10 * SECOND))
    }

    fn cpu(first: Option<(By, u64)>, second: Option<(By, u64)>) -> Load {
        let (first, second) = samples([first, second], [None; 2]);
        between(&first, &second, Busy { cpu: Some(SECOND / 20), net: None })
    }

    fn net(first: Option<(By, u64)>, second: Option<(By, u64)>) -> Load {
        let (first, second) = samples([None; 2], [first, second]);
        between(&first, &second, Busy { cpu: None, net: Some(10 * 1024) })
    }

    #[expect(clippy::unnecessary_wraps, reason = "a sample has it or not")]
    fn by_kernel(number: u64) -> Option<(By, u64)> {
        Some((By::Kernel, number))
    }

    #[test]
    fn more_than_is_allowed_is_busy() {
        assert_eq!(cpu(by_kernel(1000), by_kernel(1500)), Load::Quiet);
        let busy = cpu(by_kernel(1000), by_kernel(2200));
        assert_eq!(busy, Load::Busy("cpu 12.0% > 5%".to_owned()));
        assert_eq!(net(by_kernel(0), by_kernel(10 * 10240)), Load::Quiet);
        let busy = net(by_kernel(0), by_kernel(10 * 35021));
        assert_eq!(busy, Load::Busy("net 34.2KiB/s > 10KiB/s".to_owned()));
    }

    #[test]
    fn what_is_not_measured_twice_by_one_is_unread() {
        let by_engine = |number| Some((By::Engine, number));
        assert_eq!(cpu(by_engine(1), by_engine(1)), Load::Quiet);
        for (first, second) in
            [(None, None), (by_kernel(1), None), (None, by_kernel(1)), (by_kernel(1), by_engine(1))]
        {
            assert!(matches!(cpu(first, second), Load::Unread { what: "its processor time", .. }));
            assert!(matches!(net(first, second), Load::Unread { what: "its network traffic", .. }));
        }
    }

    #[test]
    fn a_new_life_is_no_measure_of_the_old_one() {
        for load in [cpu(by_kernel(2), by_kernel(1)), net(by_kernel(2), by_kernel(1))] {
            assert!(matches!(load, Load::Busy(why) if why.contains("anew")));
        }
    }

    #[test]
    fn limits_are_shown_as_they_were_given() {
        assert_eq!(Percent(0.005).to_string(), "0.5%");
        assert_eq!(Percent(1.5).to_string(), "150%");
        let rates = [(1.0, "1B/s"), (1536.0, "1.5KiB/s"), (3e9, "2.794GiB/s")];
        for (rate, text) in rates {
            assert_eq!(Rate(rate).to_string(), text);
        }
    }
}
