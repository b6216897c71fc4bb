//! Mistakes about who is served, what is started and what is stopped.

use super::Mutation;

/// The first five are those that a first sketch of the core had for real.
pub(crate) const MUTATIONS: &[Mutation] = &[
    Mutation {
        name: "a_start_deadline_stops_while_the_start_is_in_flight",
        setup: "no idle window",
        file: "service.rs",
        text: "            Phase::Probing { give_up } if give_up <= now => {",
        instead: "            Phase::Starting { .. } if self.waiting.values().any(|due| *due <= now) => {
                self.fail(now, Cause::NotReady, out);
            }
            Phase::Probing { give_up } if give_up <= now => {",
        breaks: "2: one engine operation at a time",
    },
    Mutation {
        name: "b_failed_stop_ends_asleep",
        setup: "no idle window, failing",
        file: "service.rs",
        text: "                let retry = self.stops.fail(now);
                self.runs_unproven(now, out);",
        instead: "                let retry = self.stops.fail(now);
                self.rest(now, Rest::Stopped, out);",
        breaks: "6: a running target is never forgotten",
    },
    Mutation {
        name: "c_late_look_of_an_earlier_run_counts",
        setup: "no idle window",
        file: "service.rs",
        text: "Event::Observed(run, seen) if run == self.run =>",
        instead: "Event::Observed(_, seen) =>",
        breaks: "nobody is refused because an earlier life has ended",
    },
    Mutation {
        name: "d_late_probe_answer_wakes_a_later_run",
        setup: "a used target ends",
        file: "service.rs",
        text: "Event::Ready(run) if run == self.run =>",
        instead: "Event::Ready(_) =>",
        breaks: "5: nobody is granted before this life was seen ready",
    },
    Mutation {
        name: "e_what_a_failed_start_left_running_is_not_settled",
        setup: "the engine fails",
        file: "service.rs",
        text: "            (
                Phase::Unknown | Phase::Asleep { .. } | Phase::Failed(_),",
        instead: "            (Phase::Failed(_), Seen::Running | Seen::Renewed) => {}
            (
                Phase::Unknown | Phase::Asleep { .. } | Phase::Failed(_),",
        breaks: "6: a running target is never forgotten",
    },
    Mutation {
        name: "runs_are_not_told_apart",
        setup: "a used target ends",
        file: "event.rs",
        text: "        Self(self.0.wrapping_add(1))
    }
}

/// One client",
        instead: "        Self(self.0)
    }
}

/// One client",
        breaks: "5: nobody is granted before this life was seen ready",
    },
    Mutation {
        name: "a_start_and_the_life_it_opens_have_one_run",
        setup: "no idle window",
        file: "service.rs",
        text: "                // A look that was begun before the start was carried out may yet come in.
                self.run = self.run.next();
",
        instead: "",
        breaks: "nobody is refused because an earlier life has ended",
    },
    Mutation {
        name: "the_idle_window_goes_on_while_it_is_used",
        setup: "no idle window",
        file: "service.rs",
        text: "            *idle = Idle::Never;
            self.leases += 1;
",
        instead: "            self.leases += 1;
",
        breaks: "1: no stop while a lease is held or somebody waits",
    },
    Mutation {
        name: "the_idle_window_begins_before_the_last_lease_ends",
        setup: "no idle window",
        file: "rest.rs",
        text: "        if self.leases > 0 || !self.waiting.is_empty() {",
        instead: "        if self.leases > 1 || !self.waiting.is_empty() {",
        breaks: "1: no stop while a lease is held or somebody waits",
    },
    Mutation {
        name: "the_idle_window_is_cut_short",
        setup: "clients come and go",
        file: "rest.rs",
        text: ".filter(|(at, _)| *at <= now) else",
        instead: ".filter(|_| true) else",
        breaks: "1: no sleep before the idle window has passed",
    },
    Mutation {
        name: "a_release_begins_no_idle_window",
        setup: "no idle window",
        file: "rest.rs",
        text: "        let idle = self.idle_since(now, used);
",
        instead: "        let idle = Idle::Never;
",
        breaks: "6: a running target is never forgotten",
    },
    Mutation {
        name: "a_target_that_never_gets_ready_is_left_running",
        setup: "the engine fails",
        file: "service.rs",
        text: "        } else if self.leases == 0 {
            self.stop(Depth::Stop, From::Running, out);
",
        instead: "        } else if self.leases == 0 {
            self.phase = Phase::Failed(cause);
",
        breaks: "6: a running target is never forgotten",
    },
    Mutation {
        name: "an_acquire_starts_over_a_stop_in_flight",
        setup: "no idle window",
        file: "service.rs",
        text: "            Phase::Asleep { .. } | Phase::Failed(_) => self.start(now, out),",
        instead: "            Phase::Asleep { .. } | Phase::Failed(_) | Phase::Stopping { .. } => self.start(now, out),",
        breaks: "2: one engine operation at a time",
    },
    Mutation {
        name: "whoever_waits_is_dropped_at_the_end_of_a_stop",
        setup: "no idle window",
        file: "service.rs",
        text: "                self.stops.succeed();
",
        instead: "                self.stops.succeed();
                self.waiting.clear();
",
        breaks: "4: an acquire during a stop leads to a start",
    },
    Mutation {
        name: "nobody_times_out_during_a_start",
        setup: "no idle window",
        file: "service.rs",
        text: "                let late = *until <= now;
",
        instead: "                let late = *until <= now && !matches!(self.phase, Phase::Starting { .. });
",
        breaks: "3: whoever waits is owed a deadline no later than its time",
    },
    Mutation {
        name: "whoever_leaves_is_waited_for",
        setup: "clients come and go",
        file: "service.rs",
        text: "                self.waiting.remove(&client);
",
        instead: "                let _ = client;
",
        breaks: "3: nobody who waits is forgotten, and nobody is answered twice",
    },
    Mutation {
        name: "a_failed_wake_refuses_nobody",
        setup: "the engine fails",
        file: "service.rs",
        text: "        out.push(Action::Report(cause));
        for client in std::mem::take(&mut self.waiting).into_keys() {",
        instead: "        out.push(Action::Report(cause));
        for client in std::iter::empty() {",
        breaks: "3: whoever waits has an operation, a probe or a look on the way",
    },
    Mutation {
        name: "a_life_that_replaced_the_probed_one_is_not_probed",
        setup: "a used target ends",
        file: "service.rs",
        text: "                self.rise(now);
                out.push(Action::Probe { run: self.run });",
        instead: "                self.rise(now);",
        breaks: "3: whoever waits has an operation, a probe or a look on the way",
    },
    Mutation {
        name: "a_started_target_counts_as_ready",
        setup: "a used target ends",
        file: "service.rs",
        text: "                    self.probe(began, out);
",
        instead: "                    self.probe(began, out);
                    self.ready(now, out);
",
        breaks: "5: nobody is granted before this life was seen ready",
    },
    Mutation {
        name: "another_life_is_taken_for_the_proven_one",
        setup: "a used target ends",
        file: "service.rs",
        text: "    fn observed(&mut self, now: Moment, seen: Seen, out: &mut Vec<Action>) {
        match (self.phase, seen) {
",
        instead: "    fn observed(&mut self, now: Moment, seen: Seen, out: &mut Vec<Action>) {
        match (self.phase, seen) {
            (Phase::Awake { .. }, Seen::Renewed) => {}
",
        breaks: "5: nobody is granted before this life was seen ready",
    },
    Mutation {
        name: "the_back_off_is_ignored",
        setup: "the engine fails",
        file: "service.rs",
        text: "        if let Some(left) = self.starts.left(now) {",
        instead: "        if let Some(left) = self.starts.left(now).filter(|_| false) {",
        breaks: "7: no start before the back-off has passed",
    },
    Mutation {
        name: "a_failure_that_others_mended_is_not_forgiven",
        setup: "the engine fails",
        file: "service.rs",
        text: "                // Somebody else has mended what failed: there is nothing left to wait for.
                self.starts.forgive();
",
        instead: "",
        breaks: "7: nobody is refused for a back-off that is over",
    },
    Mutation {
        name: "a_sleep_that_is_asked_for_minds_nobody",
        setup: "a sleep is asked for",
        file: "service.rs",
        text: "            Event::Sleep if self.leases > 0 => {}",
        instead: "            Event::Sleep if self.leases > u32::MAX - 1 => {}",
        breaks: "1: no stop while a lease is held or somebody waits",
    },
    Mutation {
        name: "a_sleep_that_is_asked_for_minds_no_probe",
        setup: "a sleep is asked for",
        file: "service.rs",
        text: "                if self.waiting.is_empty() =>",
        instead: "                if true =>",
        breaks: "1: no stop while a lease is held or somebody waits",
    },
    Mutation {
        name: "a_sleep_that_is_asked_for_over_an_operation",
        setup: "a sleep is asked for",
        file: "service.rs",
        text: "            Event::Sleep | Event::SleepAnyway => self.sleep(out),",
        instead: "            Event::Sleep | Event::SleepAnyway => self.stop(Depth::Stop, From::Running, out),",
        breaks: "2: one engine operation at a time",
    },
    Mutation {
        name: "a_sleep_that_is_asked_for_is_not_heeded",
        setup: "a sleep is asked for",
        file: "service.rs",
        text: "            Event::Sleep | Event::SleepAnyway => self.sleep(out),",
        instead: "            Event::Sleep | Event::SleepAnyway => {}",
        breaks: "a sleep that is asked for begins unless the target is used",
    },
    Mutation {
        name: "a_pin_lets_the_idle_window_go_on",
        setup: "pinned, no idle window",
        file: "service.rs",
        text: "        self.leases += 1;
        self.set_idle(Idle::Never, out);
",
        instead: "        self.leases += 1;
",
        breaks: "1: no stop while a lease is held or somebody waits",
    },
    Mutation {
        name: "a_pin_of_what_rests_is_not_counted",
        setup: "pinned",
        file: "service.rs",
        text: "        self.leases += 1;
        self.set_idle(Idle::Never, out);
",
        instead: "        if self.phase.idle().is_some() {
            self.leases += 1;
        }
        self.set_idle(Idle::Never, out);
",
        breaks: "the leases held are the leases counted",
    },
    Mutation {
        name: "a_pin_starts_what_rests",
        setup: "pinned",
        file: "service.rs",
        text: "            Event::Pin => self.pin(out),",
        instead: "            Event::Pin => {
                self.pin(out);
                if let Phase::Asleep { .. } = self.phase {
                    self.start(now, out);
                }
            }",
        breaks: "nothing is started for nobody",
    },
    Mutation {
        name: "what_runs_without_what_it_needs_is_left_running",
        setup: "the engine fails",
        file: "service.rs",
        text: "            Cause::Dependency => matches!(self.phase, Phase::Probing { .. }),",
        instead: "            Cause::Dependency => false,",
        breaks: "6: a running target is never forgotten",
    },
    Mutation {
        name: "whatever_rests_is_started",
        setup: "no idle window",
        file: "service.rs",
        text: "        self.phase = Phase::Asleep { rest, deeper_at: self.deeper_at(now, rest) };
        if !self.waiting.is_empty() {",
        instead: "        self.phase = Phase::Asleep { rest, deeper_at: self.deeper_at(now, rest) };
        if true {",
        breaks: "nothing is started for nobody",
    },
];
