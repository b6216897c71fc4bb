//! Gaps between uses, in seconds: made by chance that is the same every time, or written down.

use ondemand_container::economy::{Choice, Ledger, Terms};
use std::time::Duration;

const DAY: f64 = 86_400.0;
const YEAR: f64 = 365.0 * DAY;

/// splitmix64: good enough, and the same on every machine.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0, exclusive, to 1.
    fn part(&mut self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
        let bits = ((self.next() >> 11) + 1) as f64;
        bits / 9_007_199_254_740_992.0
    }

    fn between(&mut self, from: f64, to: f64) -> f64 {
        from + self.part() * (to - from)
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -self.part().ln() * mean
    }
}

/// Uses that know nothing of each other, so long apart on average.
pub(crate) fn poisson(mean: f64) -> Vec<f64> {
    let mut chance = Chance(1);
    gaps(|| chance.exponential(mean))
}

/// Monday to Friday, 9 to 17 h, every ten minutes or so; some weeks of that.
pub(crate) fn office() -> Vec<f64> {
    let mut chance = Chance(2);
    let mut times = Vec::new();
    for day in 0..45_u32 {
        let (nine, seventeen) =
            (f64::from(day) * DAY + 9.0 * 3600.0, f64::from(day) * DAY + 17.0 * 3600.0);
        let mut now = nine + chance.exponential(600.0);
        while day % 7 < 5 && now < seventeen {
            times.push(now);
            now += chance.exponential(600.0);
        }
    }
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// A quarter of an hour of use, every half a minute or so, some four times a day.
pub(crate) fn bursts() -> Vec<f64> {
    let mut chance = Chance(3);
    let mut left = 0.0;
    gaps(|| {
        if left <= 0.0 {
            left = 900.0;
            chance.exponential(DAY / 4.0)
        } else {
            let gap = chance.exponential(30.0);
            left -= gap;
            gap
        }
    })
}

/// Somebody looks every so many seconds, as exactly as timers are.
pub(crate) fn monitor(every: f64) -> Vec<f64> {
    let mut chance = Chance(4);
    gaps(|| every + chance.between(-0.5, 0.5))
}

/// Once a day, about the same time.
pub(crate) fn daily() -> Vec<f64> {
    let mut chance = Chance(5);
    gaps(|| DAY + chance.between(-3600.0, 3600.0))
}

/// Two days like a monitor, and then half a year once a day.
pub(crate) fn changing() -> Vec<f64> {
    monitor(50.0).into_iter().take(3456).chain(daily().into_iter().take(180)).collect()
}

/// Two weeks of a small team's Gitea, bots included: made up, second by second.
pub(crate) fn recorded() -> Vec<f64> {
    let log = include_str!("../data/access.log");
    let times: Vec<f64> = log.lines().map(in_june).collect();
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

/// Of `[03/Jun/2024:04:58:55 +0200]`, the seconds of the month.
fn in_june(line: &str) -> f64 {
    let (_, time) = line.split_once('[').unwrap();
    let number = |at: usize| time[at..at + 2].parse::<f64>().unwrap();
    ((number(0) * 24.0 + number(12)) * 60.0 + number(15)) * 60.0 + number(18)
}

/// Whatever hurts most: each gap ends just after the window that was chosen for it.
pub(crate) fn adversary(terms: Terms) -> Vec<f64> {
    against(terms, |choice| choice.window + 0.001)
}

/// Each gap is what makes the window chosen for it look worst: just longer than a short one, far shorter
/// than a long one.
pub(crate) fn contrarian(terms: Terms) -> Vec<f64> {
    against(terms, |choice| {
        if choice.window > terms.price { terms.most + 1.0 } else { choice.window + 0.001 }
    })
}

fn against(terms: Terms, gap: impl Fn(&Choice) -> f64) -> Vec<f64> {
    let mut ledger = Ledger::default();
    let mut choice = ledger.choose(terms);
    let next = |_| {
        let gap = gap(&choice);
        choice = ledger.after(Duration::from_secs_f64(gap), Some(&choice), terms);
        gap
    };
    (0..1500).map(next).collect()
}

/// A year of them, and 1,500 at most.
fn gaps(mut next: impl FnMut() -> f64) -> Vec<f64> {
    let mut all = Vec::new();
    let mut now = 0.0;
    while now < YEAR && all.len() < 1500 {
        let gap = next();
        now += gap;
        all.push(gap);
    }
    all
}
