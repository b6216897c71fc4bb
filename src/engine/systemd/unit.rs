//! From a unit's properties to [`Observed`].
//!
//! Names of states are those of systemd's `unit-def.c`. A unit that gets active counts as running,
//! and not yet as healthy: so whoever waits for it waits for what it calls ready (`Type=notify`,
//! Quadlet's `Notify=healthy`), under the service's own start timeout. One that ends counts as
//! stopped: systemd keeps a start of it until it has ended.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use zbus::zvariant::{DeserializeDict, Type};

use super::bus::Manager;
use crate::engine::api::LOOK_LIMIT;
use crate::engine::{EngineError, Exit, Health, HealthCheck, Lasting, Networking, Observed, State};

/// Those properties of org.freedesktop.systemd1.Unit that tell something here. None but the state is
/// insisted on: older versions lack some.
#[derive(Debug, Default, DeserializeDict, Type)]
#[zvariant(signature = "dict", rename_all = "PascalCase")]
pub(super) struct Properties {
    pub(super) id: Option<String>,
    load_state: Option<String>,
    /// The error's name and its text.
    load_error: Option<(String, String)>,
    active_state: Option<String>,
    sub_state: Option<String>,
    freezer_state: Option<String>,
    #[zvariant(rename = "InvocationID")]
    invocation_id: Option<Vec<u8>>,
    /// When it left rest, in microseconds; the start of a life.
    inactive_exit_timestamp_monotonic: Option<u64>,
    active_enter_timestamp_monotonic: Option<u64>,
    condition_result: Option<bool>,
    condition_timestamp_monotonic: Option<u64>,
    /// What a generator made it from, as Quadlet does.
    source_path: Option<String>,
    pub(super) triggered_by: Option<Vec<String>>,
}

/// Those of org.freedesktop.systemd1.Service that tell how it ended.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Ended {
    pub(super) result: String,
    /// A `CLD_` number of waitid(2).
    pub(super) code: i32,
    pub(super) status: i32,
}

impl Properties {
    /// Whether there is such a unit. One whose file was taken away while it runs is there.
    pub(super) fn exists(&self, name: &str) -> Result<(), EngineError> {
        match self.load_state.as_deref() {
            None => Err(EngineError::Garbled("a unit without a load state".to_owned())),
            Some("not-found") if self.state()? == State::Stopped => {
                Err(EngineError::Missing(format!("unit {name} not found")))
            }
            Some(_) => Ok(()),
        }
    }

    /// What keeps it from being started, and what to do; systemd says so, too, when it is tried.
    pub(super) fn trouble(&self, name: &str, manager: Manager) -> Option<String> {
        let ctl = manager.systemctl();
        match self.load_state.as_deref() {
            None | Some("loaded" | "merged" | "not-found") => None,
            Some("masked") => Some(format!("unit {name} is masked: `{ctl} unmask {name}`")),
            Some(other) => {
                let why = self.load_error.as_ref().map_or("", |(_, text)| text.as_str());
                Some(format!(
                    "unit {name} cannot be used ({}: {}): mend its file and `{ctl} daemon-reload`",
                    crate::engine::plain(other),
                    crate::engine::plain(why)
                ))
            }
        }
    }

    /// Whether it runs.
    pub(super) fn state(&self) -> Result<State, EngineError> {
        let frozen = !matches!(self.freezer_state.as_deref(), None | Some("running" | "thawing"));
        let active = self
            .active_state
            .as_deref()
            .ok_or_else(|| EngineError::Garbled("a unit without a state".to_owned()))?;
        let sub = self.sub_state.as_deref().unwrap_or_default();
        Ok(match active {
            "active" | "reloading" | "refreshing" if frozen => State::Paused,
            // auto-restart, auto-restart-queued: it has ended, and will be started again.
            "activating" if sub.starts_with("auto-restart") => State::Restarting,
            "active" | "reloading" | "refreshing" | "activating" => State::Running,
            "inactive" | "failed" | "deactivating" | "maintenance" => State::Stopped,
            other => {
                let other = crate::engine::plain(other);
                return Err(EngineError::Garbled(format!("{other:?} is no state of a unit")));
            }
        })
    }

    /// Whether it is what it calls ready.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.active_state.as_deref(), Some("active" | "reloading" | "refreshing"))
    }

    /// `activating (start-pre)`, as `systemctl` shows it.
    pub(super) fn shown(&self) -> String {
        let word = |word: &Option<String>| crate::engine::plain(word.as_deref().unwrap_or("?"));
        format!("{} ({})", word(&self.active_state), word(&self.sub_state))
    }

    /// In our words; `ended` is known of a service at rest.
    pub(super) fn observed(
        &self,
        name: &str,
        manager: Manager,
        ended: Option<&Ended>,
    ) -> Result<Observed, EngineError> {
        let state = self.state()?;
        let invocation = self.invocation_id.as_deref().unwrap_or_default();
        let id = invocation.iter().fold(String::new(), |mut hex, byte| {
            _ = write!(hex, "{byte:02x}");
            hex
        });
        let stamp = |stamp: Option<u64>| stamp.unwrap_or_default().to_string();
        Ok(Observed {
            id,
            name: self.id.clone().unwrap_or_else(|| name.to_owned()),
            started_at: stamp(self.inactive_exit_timestamp_monotonic),
            // Its main process may be a supervisor (conmon) in a network other than the application's,
            // so what that process listens on would tell nothing.
            pid: None,
            state,
            exit: self.exit(ended),
            check: Some(HealthCheck { argv: Vec::new(), timeout: LOOK_LIMIT }),
            health: Health {
                healthy: state == State::Running && self.is_ready(),
                last: Some(stamp(self.active_enter_timestamp_monotonic)),
                output: self.shown(),
            },
            networking: self.networking(manager),
            networks: Vec::new(),
            published: BTreeMap::new(),
            publishes: BTreeMap::new(),
            stop_timeout: None,
            lasting: Lasting::Yes,
            restart_policy: String::new(),
        })
    }

    /// A rootless container is behind a forwarder that accepts before the application listens; of a
    /// rootful one the ports are forwarded by packet rules, which do not lie.
    fn networking(&self, manager: Manager) -> Networking {
        let quadlet = self.source_path.as_deref().is_some_and(|path| {
            [".container", ".kube", ".pod"].iter().any(|kind| path.ends_with(kind))
        });
        match manager {
            Manager::User if quadlet => Networking::Forwarded,
            Manager::User | Manager::System => Networking::Host,
        }
    }

    fn exit(&self, ended: Option<&Ended>) -> Exit {
        let unmet = self.condition_result == Some(false)
            && self.condition_timestamp_monotonic.is_some_and(|checked| checked > 0);
        let Some(ended) = ended else { return Exit::default() };
        // CLD_KILLED and CLD_DUMPED.
        let by_signal = matches!(ended.code, 2 | 3);
        let error = match ended.result.as_str() {
            _ if unmet => {
                "a condition of the unit (Condition...=) is not met, so it was not started"
            }
            "" | "success" | "exit-code" | "signal" => "",
            "start-limit-hit" => {
                "start-limit-hit: it was started too often; raise StartLimitBurst= of the unit, or \
                 the idle window, and `systemctl reset-failed`"
            }
            "timeout" => "timeout: it did not get ready within TimeoutStartSec= of the unit",
            other => other,
        };
        Exit {
            code: i64::from(ended.status) + if by_signal { 128 } else { 0 },
            error: crate::engine::plain(error),
            out_of_memory: ended.result == "oom-kill",
        }
    }
}

/// The path of a unit's object: letters and digits as they are, but no digit first; of anything else
/// `_` and two digits (`bus_label_escape` of systemd).
pub(super) fn path_of(unit: &str) -> String {
    let mut path = String::from("/org/freedesktop/systemd1/unit/");
    for (place, byte) in unit.bytes().enumerate() {
        if byte.is_ascii_alphabetic() || (place > 0 && byte.is_ascii_digit()) {
            path.push(char::from(byte));
        } else {
            _ = write!(path, "_{byte:02x}");
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(active: &str, sub: &str) -> Properties {
        Properties {
            load_state: Some("loaded".to_owned()),
            active_state: Some(active.to_owned()),
            sub_state: Some(sub.to_owned()),
            ..Properties::default()
        }
    }

    fn observed(unit: &Properties) -> Observed {
        unit.observed("web.service", Manager::System, None).unwrap()
    }

    #[test]
    fn every_state_of_a_unit_is_one_of_ours() {
        for (active, sub, state, healthy) in [
            ("active", "running", State::Running, true),
            ("active", "exited", State::Running, true),
            ("reloading", "reload", State::Running, true),
            ("refreshing", "refresh", State::Running, true),
            ("activating", "start-pre", State::Running, false),
            ("activating", "start", State::Running, false),
            ("activating", "auto-restart", State::Restarting, false),
            ("activating", "auto-restart-queued", State::Restarting, false),
            ("deactivating", "stop-sigterm", State::Stopped, false),
            ("inactive", "dead", State::Stopped, false),
            ("failed", "failed", State::Stopped, false),
            ("maintenance", "maintenance", State::Stopped, false),
        ] {
            let seen = observed(&unit(active, sub));
            assert_eq!((seen.state, seen.health.healthy), (state, healthy), "{active} ({sub})");
        }
        assert!(matches!(unit("odd", "").state(), Err(EngineError::Garbled(_))));
        assert!(matches!(Properties::default().state(), Err(EngineError::Garbled(_))));
    }

    #[test]
    fn a_frozen_unit_is_paused_until_it_thaws() {
        for (freezer, state) in [
            ("frozen", State::Paused),
            ("freezing", State::Paused),
            ("frozen-by-parent", State::Paused),
            ("thawing", State::Running),
            ("running", State::Running),
        ] {
            let frozen =
                Properties { freezer_state: Some(freezer.to_owned()), ..unit("active", "running") };
            assert_eq!(observed(&frozen).state, state, "{freezer}");
        }
    }

    #[test]
    fn a_life_is_told_from_the_next_and_from_nothing_else() {
        let life = |id: u8, left_rest: u64, active: u64| {
            observed(&Properties {
                invocation_id: Some(vec![id; 16]),
                inactive_exit_timestamp_monotonic: Some(left_rest),
                active_enter_timestamp_monotonic: Some(active),
                ..unit("active", "running")
            })
        };
        assert_eq!(life(0xab, 1, 2).id, "ab".repeat(16));
        assert!(life(1, 5, 4).same_life(&life(1, 5, 6)), "it got active");
        assert!(!life(1, 5, 6).same_life(&life(2, 5, 6)));
        assert!(!life(1, 5, 6).same_life(&life(1, 7, 8)));
        assert_ne!(life(1, 5, 4).health.last, life(1, 5, 6).health.last);
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let loaded = |load: &str| Properties {
            load_state: Some(load.to_owned()),
            load_error: Some(("x".to_owned(), "no\nExecStart".to_owned())),
            ..unit("inactive", "dead")
        };
        let trouble = |load: &str| loaded(load).trouble("web.service", Manager::User);
        assert_eq!(trouble("loaded"), None);
        for (load, words) in [
            ("masked", "systemctl --user unmask web.service"),
            ("bad-setting", "no\\nExecStart"),
            ("error", "daemon-reload"),
        ] {
            assert!(trouble(load).unwrap().contains(words), "{load}");
            assert_eq!(loaded(load).exists("web.service"), Ok(()));
        }
        assert!(matches!(loaded("not-found").exists("web"), Err(EngineError::Missing(_))));
        let orphan = Properties { active_state: Some("active".to_owned()), ..loaded("not-found") };
        assert_eq!(orphan.exists("web"), Ok(()));
        assert!(matches!(Properties::default().exists("web"), Err(EngineError::Garbled(_))));
    }

    #[test]
    fn how_it_ended_is_told_in_the_words_of_containers() {
        let exit = |result: &str, code, status| {
            let ended = Ended { result: result.to_owned(), code, status };
            unit("failed", "failed").exit(Some(&ended))
        };
        assert_eq!(exit("exit-code", 1, 3), Exit { code: 3, ..Exit::default() });
        assert_eq!(exit("signal", 2, 9).code, 137);
        assert!(exit("oom-kill", 2, 9).out_of_memory);
        assert!(exit("start-limit-hit", 0, 0).error.contains("StartLimitBurst="));
        let unmet = Properties {
            condition_result: Some(false),
            condition_timestamp_monotonic: Some(1),
            ..unit("inactive", "dead")
        };
        assert!(unmet.exit(Some(&Ended::default())).error.contains("condition"));
    }

    #[test]
    fn only_a_rootless_quadlet_is_behind_a_forwarder() {
        let made_from = |path: &str| Properties {
            source_path: Some(path.to_owned()),
            ..unit("active", "running")
        };
        let quadlet = made_from("/home/u/.config/containers/systemd/web.container");
        assert_eq!(quadlet.networking(Manager::User), Networking::Forwarded);
        assert_eq!(quadlet.networking(Manager::System), Networking::Host);
        assert_eq!(made_from("/etc/init.d/web").networking(Manager::User), Networking::Host);
    }

    #[test]
    fn paths_are_escaped_as_systemd_does() {
        assert_eq!(path_of("web.service"), "/org/freedesktop/systemd1/unit/web_2eservice");
        assert_eq!(
            path_of("1a-b@x:y_z.service"),
            "/org/freedesktop/systemd1/unit/_31a_2db_40x_3ay_5fz_2eservice"
        );
    }
}
