//! Mistakes about when it sleeps and how deep: questions, silent clients, tiers, curfews, kills.

use super::Mutation;

pub(crate) const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "a_late_yes_to_an_earlier_question_counts",
        setup: "asked, and clients come",
        file: "rest.rs",
        text: "        if asked != question {",
        instead: "        if false {",
        breaks: "no sleep without the permission that is asked for",
    },
    Mutation {
        name: "questions_are_not_told_apart_when_the_window_begins_anew",
        setup: "asked, and clients come",
        file: "event.rs",
        text: "        Self(self.0.wrapping_add(1))
    }
}

/// The answer",
        instead: "        Self(self.0)
    }
}

/// The answer",
        breaks: "no sleep without the permission that is asked for",
    },
    Mutation {
        name: "it_sleeps_without_the_question",
        setup: "asked, and clients come",
        file: "rest.rs",
        text: "                if self.policy.asking.is_some() {",
        instead: "                if false {",
        breaks: "no sleep without the permission that is asked for",
    },
    Mutation {
        name: "a_no_is_taken_for_a_yes",
        setup: "asked, and clients come",
        file: "rest.rs",
        text: "            Permission::Denied => self.put_off(now + interval),",
        instead: "            Permission::Denied => self.doze_off(out),",
        breaks: "no sleep without the permission that is asked for",
    },
    Mutation {
        name: "after_a_no_nobody_is_asked_again",
        setup: "asked, and ended",
        file: "rest.rs",
        text: "            Permission::Denied => self.put_off(now + interval),",
        instead: "            Permission::Denied => self.set_idle(Idle::Never, out),",
        breaks: "6: a running target is never forgotten",
    },
    Mutation {
        name: "a_client_that_comes_does_not_end_the_asking",
        setup: "asked, and clients come",
        file: "service.rs",
        text: "                out.push(Action::EndAsking);
            }
            *idle = Idle::Never;",
        instead: "            }
            *idle = Idle::Never;",
        breaks: "no sleep without the permission that is asked for",
    },
    Mutation {
        name: "a_silent_client_is_counted_for_ever",
        setup: "silent clients",
        file: "rest.rs",
        text: "        self.silent += 1;
        self.unused(now, since, out);
",
        instead: "        self.silent += 1;
",
        breaks: "the leases held are the leases counted",
    },
    Mutation {
        name: "a_silent_client_that_leaves_is_counted_on",
        setup: "silent clients",
        file: "service.rs",
        text: "            Event::ReleaseSilent => self.silent = self.silent.saturating_sub(1),",
        instead: "            Event::ReleaseSilent => {}",
        breaks: "the leases held are the leases counted",
    },
    Mutation {
        name: "a_client_that_stirs_is_not_counted",
        setup: "silent clients",
        file: "rest.rs",
        text: "        self.silent -= 1;
        self.leases += 1;
        self.set_idle(Idle::Never, out);
",
        instead: "        self.silent -= 1;
        self.set_idle(Idle::Never, out);
",
        breaks: "the leases held are the leases counted",
    },
    Mutation {
        name: "a_silent_client_stirs_under_a_stop",
        setup: "silent clients",
        file: "rest.rs",
        text: "        if self.silent == 0 || self.phase.idle().is_none() {",
        instead: "        if self.silent == 0 {",
        breaks: "1: no stop while a lease is held or somebody waits",
    },
    Mutation {
        name: "a_silent_client_hides_how_long_another_used_it",
        setup: "silent clients",
        file: "rest.rs",
        text: "        let used = since.max(self.used);
",
        instead: "        let used = since;
",
        breaks: "1: no sleep before the idle window has passed",
    },
    Mutation {
        name: "it_sleeps_deeper_under_a_lease",
        setup: "two tiers, pinned",
        file: "rest.rs",
        text: "            (Rest::Paused, Some(after)) if self.leases == 0 =>",
        instead: "            (Rest::Paused, Some(after)) =>",
        breaks: "1: no stop while a lease is held or somebody waits",
    },
    Mutation {
        name: "a_pin_lets_it_sleep_deeper",
        setup: "two tiers, pinned",
        file: "service.rs",
        text: "        if let Phase::Asleep { deeper_at, .. } = &mut self.phase {
            *deeper_at = None;",
        instead: "        if let Phase::Asleep { deeper_at, .. } = &mut self.phase {",
        breaks: "1: no stop while a lease is held or somebody waits",
    },
    Mutation {
        name: "a_deeper_sleep_that_failed_is_tried_again_under_a_lease",
        setup: "two tiers, pinned, failing",
        file: "service.rs",
        text: "                if let Phase::Asleep { deeper_at: Some(at), .. } = &mut self.phase {
                    *at = retry;",
        instead: "                if let Phase::Asleep { deeper_at, .. } = &mut self.phase {
                    *deeper_at = Some(retry);",
        breaks: "1: no stop while a lease is held or somebody waits",
    },
    Mutation {
        name: "the_deeper_tier_is_forgotten_after_a_failed_stop",
        setup: "two tiers in trouble",
        file: "service.rs",
        text: "                if let Phase::Asleep { deeper_at: Some(at), .. } = &mut self.phase {
                    *at = retry;",
        instead: "                if let Phase::Asleep { deeper_at, .. } = &mut self.phase {
                    *deeper_at = None;",
        breaks: "6: a running target is never forgotten",
    },
    Mutation {
        name: "the_deeper_tier_is_forgotten_under_a_lease",
        setup: "two tiers, pinned",
        file: "rest.rs",
        text:
            "            self.phase = Phase::Asleep { rest, deeper_at: self.deeper_at(now, rest) };
",
        instead: "",
        breaks: "6: a running target is never forgotten",
    },
    Mutation {
        name: "it_sleeps_deeper_too_early",
        setup: "two tiers",
        file: "rest.rs",
        text: "if self.leases == 0 => Some(now + after),",
        instead: "if self.leases == 0 => Some(now),",
        breaks: "1: no sleep before the idle window has passed",
    },
    Mutation {
        name: "a_curfew_admits_clients",
        setup: "the hours",
        file: "service.rs",
        text: "                Admission::Refused(Refused::Curfew(self.curfew_left(now)))
",
        instead: "                self.admit(now, client, out)
",
        breaks: "nobody is admitted in the hours in which it is kept asleep",
    },
    Mutation {
        name: "who_is_held_by_a_curfew_is_forgotten_at_its_end",
        setup: "the hours",
        file: "rest.rs",
        text: "Some(Curfew { clients: Latecomers::Served, .. }) | None => self.let_in(now, out),",
        instead: "Some(Curfew { clients: Latecomers::Served, .. }) | None => self.held.clear(),",
        breaks: "3: nobody who waits is forgotten, and nobody is answered twice",
    },
    Mutation {
        name: "who_is_held_by_a_curfew_has_no_deadline",
        setup: "the hours",
        file: "service.rs",
        text: "        client.into_iter().chain(held).chain(phase).min()",
        instead: "        client.into_iter().chain(phase).min()",
        breaks: "3: whoever waits is owed a deadline no later than its time",
    },
    Mutation {
        name: "a_curfew_forgets_the_idle_deadline",
        setup: "the hours",
        file: "rest.rs",
        text: "            let idle = self.idle(now);
            self.set_idle(idle, out);
",
        instead: "            self.set_idle(Idle::Never, out);
",
        breaks: "6: a running target is never forgotten",
    },
    Mutation {
        name: "a_curfew_that_is_over_puts_it_to_sleep",
        setup: "the hours, never idle",
        file: "rest.rs",
        text: "(before.is_some() != curfew.is_some())",
        instead: "(before.is_none() && curfew.is_some())",
        breaks: "1: no sleep before the idle window has passed",
    },
    Mutation {
        name: "the_least_time_awake_is_ignored",
        setup: "awake for a while at least",
        file: "rest.rs",
        text: "                Idle::At((since + window).max(self.risen + self.policy.min_awake))
",
        instead: "                Idle::At(since + window)
",
        breaks: "1: no sleep before the idle window has passed",
    },
    Mutation {
        name: "it_is_killed_though_nobody_waits_any_more",
        setup: "a stop that is hastened",
        file: "rest.rs",
        text: "            (Kill::At(_), None, _) | (Kill::At(_), _, false) => *kill = Kill::Unarmed,",
        instead: "            (Kill::At(_), None, _) | (Kill::At(_), _, false) => {}",
        breaks: "it is killed once a stop, and only where somebody waits",
    },
    Mutation {
        name: "it_is_killed_for_who_has_just_been_refused",
        setup: "a stop that is hastened too late",
        file: "service.rs",
        text: "        self.arm_kill(now);
        // Last",
        instead: "        // Last",
        breaks: "it is killed once a stop, and only where somebody waits",
    },
    Mutation {
        name: "it_is_killed_twice",
        setup: "a stop that is hastened",
        file: "rest.rs",
        text: "                *kill = Kill::Asked;",
        instead: "                *kill = Kill::Unarmed;",
        breaks: "it is killed once a stop, and only where somebody waits",
    },
    Mutation {
        name: "a_dry_run_sleeps",
        setup: "a dry run",
        file: "rest.rs",
        text: "            Practice::Real => self.stop(self.policy.tiers.first, From::Running, out),",
        instead: "            Practice::Real | Practice::Dry => self.stop(self.policy.tiers.first, From::Running, out),",
        breaks: "in a dry run nothing is put to sleep",
    },
];
