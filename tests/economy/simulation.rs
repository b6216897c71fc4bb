//! What auto costs on a year of believable gaps, beside the best fixed window in hindsight.

use std::time::Duration;

use ondemand_container::activation::{Tiers, Window};
use ondemand_container::config::duration::IdleTimeout;
use ondemand_container::economy::{Plan, Scene, Terms, best, least, replay};

use crate::arrivals;

/// 512 MiB, started within 3 s, under the usual trade: a start costs 123 s of being awake.
pub(crate) const SCENE: Scene =
    Scene { terms: Terms { price: 123.0, least: 10.0, most: 7200.0 }, start: 3.0, reclaimed: 0.0 };

/// What a plan costs, over what the best fixed window in hindsight does.
pub(crate) struct Ratios {
    pub(crate) name: &'static str,
    pub(crate) auto: f64,
    /// 15 minutes, the default.
    pub(crate) fixed: f64,
    /// The break-even window, always.
    pub(crate) break_even: f64,
    /// The best window in hindsight, in seconds.
    pub(crate) best: f64,
}

pub(crate) fn all() -> Vec<Ratios> {
    [
        ("every 30 s, Poisson", arrivals::poisson(30.0)),
        ("every 5 min, Poisson", arrivals::poisson(300.0)),
        ("every hour, Poisson", arrivals::poisson(3600.0)),
        ("two weeks of a team's Gitea", arrivals::recorded()),
        ("office hours", arrivals::office()),
        ("bursts", arrivals::bursts()),
        ("a monitor, every 60 s", arrivals::monitor(60.0)),
        ("a monitor, every 5 min", arrivals::monitor(300.0)),
        ("once a day", arrivals::daily()),
        ("every 50 s, later once a day", arrivals::changing()),
        ("an adversary of auto", arrivals::adversary(SCENE.terms)),
        ("another adversary", arrivals::contrarian(SCENE.terms)),
    ]
    .map(|(name, gaps)| ratios(name, &gaps))
    .into()
}

fn ratios(name: &'static str, gaps: &[f64]) -> Ratios {
    let mut sorted = gaps.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (best, hindsight) = best(&sorted, &SCENE.terms, 1.0);
    let ratio = |idle| {
        let plan = Plan { idle, tiers: Tiers::STOP };
        replay(gaps, &plan, &SCENE).cost / hindsight
    };
    let fixed = |seconds| IdleTimeout::Fixed(Window::After(Duration::from_secs_f64(seconds)));
    Ratios {
        name,
        auto: ratio(IdleTimeout::Auto),
        fixed: ratio(fixed(900.0)),
        break_even: ratio(fixed(SCENE.terms.break_even())),
        best,
    }
}

/// And what it is for: no fixed window suits everybody.
#[test]
fn auto_is_close_to_the_best_window_where_there_is_a_habit() {
    let (adversaries, believable): (Vec<_>, Vec<_>) =
        all().into_iter().partition(|ratios| ratios.name.contains("adversary"));
    for Ratios { name, auto, .. } in &believable {
        // The two cold starts of a life are in it, too.
        assert!(*auto <= 1.05, "{name}: {auto}");
    }
    assert!(believable.iter().any(|ratios| ratios.fixed > 5.0));
    assert!(believable.iter().any(|ratios| ratios.break_even > 1.7));
    assert!(adversaries.iter().all(|ratios| ratios.auto > 1.9 && ratios.auto < 2.01));
}

/// The guarantee is needed, and used: against an adversary it is what stops the leader.
#[test]
fn an_adversary_gets_what_the_guarantee_allows_and_no_more() {
    let terms = SCENE.terms;
    for gaps in [arrivals::adversary(terms), arrivals::contrarian(terms)] {
        let ours = replay(&gaps, &Plan { idle: IdleTimeout::Auto, tiers: Tiers::STOP }, &SCENE);
        let bound: f64 = gaps.iter().map(|gap| least(*gap, &terms)).sum();
        assert!(ours.cost <= 2.0 * bound + 2.0 * terms.price + 1e-3, "{} {bound}", ours.cost);
        assert!(ours.cost >= 1.9 * bound, "{} {bound}", ours.cost);
    }
}
