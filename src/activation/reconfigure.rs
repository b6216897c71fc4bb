//! Another policy for a service that runs on.

use super::{Action, Moment, Phase, Policy, Service};

/// Whether the target is still reached as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// It is.
    Same,
    /// By other ports, at another address, or it counts as ready otherwise: what was seen ready says
    /// nothing any more.
    Changed,
}

impl Service {
    /// Takes on another policy. Nothing is lost of what was: an idle window that runs has begun when
    /// it began, and whoever waits keeps the deadline it has.
    pub fn reconfigure(
        &mut self,
        now: Moment,
        policy: Policy,
        reach: Reach,
        out: &mut Vec<Action>,
    ) {
        let earlier = std::mem::replace(&mut self.policy, policy);
        if earlier.min_awake.is_zero() {
            // Nobody knows any more when it got up.
            self.rise(now);
        }
        if let Some(idle) = self.idle_again(now, &earlier) {
            self.set_idle(idle, out);
        }
        self.deeper_again(now, &earlier);
        self.arm_kill(now);
        match (reach, self.phase) {
            (Reach::Changed, Phase::Awake { .. } | Phase::Found { .. }) => {
                let before = self.phase.idle();
                self.run = self.run.next();
                self.runs_unproven(now, out);
                // The window runs on.
                if let (Some(idle), Phase::Found { .. }) = (before, self.phase) {
                    self.phase = Phase::Found { idle };
                }
            }
            (Reach::Changed, Phase::Probing { .. }) => {
                self.run = self.run.next();
                out.push(Action::Probe { run: self.run });
            }
            (
                Reach::Changed,
                Phase::Unknown
                | Phase::Asleep { .. }
                | Phase::Starting { .. }
                | Phase::Stopping { .. }
                | Phase::Failed(_),
            )
            | (Reach::Same, _) => {}
        }
        self.check();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::rig::{ALMOST, IDLE, Rig, SECOND, TIMEOUT};
    use super::super::{Action, Admission, Event, Policy, Window};
    use super::Reach;

    #[test]
    fn another_policy_keeps_the_idle_window_that_runs_and_the_deadlines_of_who_waits() {
        let policy = Policy::new;
        let mut rig = Rig::awake();
        rig.tell(Event::Release);
        rig.pass(100 * SECOND);
        // From its beginning: 100 of 300 s are over.
        assert_eq!(
            rig.reconfigure(policy(Window::After(300 * SECOND), TIMEOUT), Reach::Same),
            vec![]
        );
        assert_eq!(rig.pass(199 * SECOND), vec![]);
        assert!(matches!(rig.pass(SECOND)[..], [Action::Stop { .. }]));

        let mut rig = Rig::awake();
        rig.tell(Event::Release);
        rig.pass(100 * SECOND);
        // A window that is over already ends now.
        rig.reconfigure(policy(Window::After(SECOND), TIMEOUT), Reach::Same);
        assert!(matches!(rig.pass(Duration::ZERO)[..], [Action::Stop { .. }]));

        let mut rig = Rig::awake();
        rig.tell(Event::Release);
        rig.reconfigure(policy(Window::Never, TIMEOUT), Reach::Same);
        assert_eq!(rig.core.deadline(), None);
        rig.reconfigure(policy(Window::After(IDLE), TIMEOUT), Reach::Same);
        assert_eq!(rig.pass(ALMOST), vec![]);
        assert!(matches!(rig.pass(SECOND)[..], [Action::Stop { .. }]));

        let mut rig = Rig::starting();
        rig.reconfigure(policy(Window::After(IDLE), SECOND), Reach::Same);
        // Who comes later is never turned away sooner.
        rig.acquire();
        assert_eq!(rig.pass(119 * SECOND), vec![]);
        let refused = rig.pass(SECOND);
        assert_eq!(refused.len(), 2, "{refused:?}");
    }

    #[test]
    fn another_time_to_be_awake_counts_from_when_it_is_told_and_a_shorter_one_holds() {
        let awake_for =
            |min_awake| Policy { min_awake, ..Policy::new(Window::After(IDLE), TIMEOUT) };
        let mut rig = Rig::awake();
        rig.tell(Event::Release);
        rig.pass(100 * SECOND);
        rig.reconfigure(awake_for(1000 * SECOND), Reach::Same);
        assert_eq!(rig.pass(999 * SECOND), vec![]);
        assert!(matches!(rig.pass(SECOND)[..], [Action::Stop { .. }]));

        let mut rig = Rig::awake();
        rig.tell(Event::Release);
        rig.reconfigure(awake_for(1000 * SECOND), Reach::Same);
        rig.pass(100 * SECOND);
        // Nobody knows any more when the window has begun: now at the latest.
        rig.reconfigure(awake_for(SECOND), Reach::Same);
        assert_eq!(rig.pass(ALMOST), vec![]);
        assert!(matches!(rig.pass(SECOND)[..], [Action::Stop { .. }]));
    }

    #[test]
    fn a_target_that_is_reached_otherwise_is_asked_anew() {
        let same = || Policy::new(Window::After(IDLE), TIMEOUT);
        let mut rig = Rig::awake();
        let run = rig.core.run();
        assert_eq!(rig.reconfigure(same(), Reach::Changed), vec![]);
        assert!(rig.core.run() > run, "what was granted is of another run");
        let (admission, asked) = rig.acquire();
        assert_eq!(admission, Admission::Waiting);
        assert!(matches!(asked[..], [Action::Probe { .. }]));

        let mut rig = Rig::probing();
        assert!(matches!(rig.reconfigure(same(), Reach::Changed)[..], [Action::Probe { .. }]));
        for mut rig in [Rig::asleep(), Rig::starting(), Rig::stopping()] {
            assert_eq!(rig.reconfigure(same(), Reach::Changed), vec![]);
        }
        // An idle window runs on.
        let mut rig = Rig::found();
        rig.pass(ALMOST);
        rig.reconfigure(same(), Reach::Changed);
        assert!(matches!(rig.pass(SECOND)[..], [Action::Stop { .. }]));
    }
}
