//! What a bus error means, and what to do about it.

use std::io;
use std::path::Path;

use super::bus::Manager;
use crate::engine::error::PERMISSION;
use crate::engine::{EngineError, Sent, plain};

/// What a failed call was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing<'n> {
    /// A question.
    Asking,
    /// That verb of `systemctl` with that unit.
    Managing(&'static str, &'n str),
}

/// Said of whoever may not manage a unit; `check` says the same before it is tried.
pub(super) fn right_needed(unit: &str) -> String {
    format!(
        "run as root, or have polkit allow it: install deploy/polkit/50-ondemand-container.rules \
         in /etc/polkit-1/rules.d with this daemon's user and {unit} in it (polkitd has to run)"
    )
}

/// Translates an error of the bus library.
#[expect(clippy::wildcard_enum_match_arm, reason = "the library's enum: all others are nonsense")]
pub(super) fn translate(error: &zbus::Error, manager: Manager, doing: Doing<'_>) -> EngineError {
    match error {
        zbus::Error::MethodError(name, text, _) => {
            let text = plain(text.as_deref().unwrap_or_default());
            answered(name.as_str(), &text, manager, doing)
        }
        zbus::Error::InputOutput(error) => EngineError::Unavailable {
            reason: format!("{manager}: the connection to the bus is lost: {error}"),
            sent: Sent::Maybe,
        },
        zbus::Error::Handshake(why) => EngineError::Unavailable {
            reason: format!("{manager}: the bus does not let us in: {}", plain(why)),
            sent: Sent::No,
        },
        other => EngineError::Garbled(plain(&other.to_string())),
    }
}

/// What an error that the bus or systemd answered means, by its name (sd-bus-errors(3), and
/// bus-common-errors.h of systemd).
fn answered(name: &str, text: &str, manager: Manager, doing: Doing<'_>) -> EngineError {
    let ctl = manager.systemctl();
    let refused = |status, message| EngineError::Refused { status, message };
    let of_systemd = name.strip_prefix("org.freedesktop.systemd1.");
    let of_bus = name.strip_prefix("org.freedesktop.DBus.Error.");
    match (of_systemd, of_bus) {
        (_, Some("AccessDenied" | "InteractiveAuthorizationRequired" | "AuthFailed")) => {
            let message = match doing {
                Doing::Asking => format!("not allowed to ask {manager}: {text}"),
                Doing::Managing(verb, unit) => {
                    let right = right_needed(unit);
                    format!("this user may not {verb} {unit} ({text}): {right}")
                }
            };
            refused(FORBIDDEN, message)
        }
        (Some("NoSuchUnit"), _) => EngineError::Missing(text.to_owned()),
        (Some("UnitMasked"), _) => refused(LOCKED, format!("{text}; `{ctl} unmask` undoes it")),
        (Some("OnlyByDependency"), _) => refused(
            LOCKED,
            format!(
                "{text}: RefuseManualStart= or RefuseManualStop= forbids it, so take that away"
            ),
        ),
        (
            Some(
                "TransactionIsDestructive"
                | "ShuttingDown"
                | "TransactionJobsConflicting"
                | "JobTypeNotApplicable",
            ),
            _,
        ) => EngineError::Conflict(text.to_owned()),
        // The bus is there, and systemd or its answer is not.
        (
            _,
            Some(
                "NoReply" | "Timeout" | "TimedOut" | "ServiceUnknown" | "NameHasNoOwner"
                | "Disconnected" | "NoServer" | "LimitsExceeded" | "Spawn.ChildExited",
            ),
        ) => EngineError::Unavailable {
            reason: format!("{manager} does not answer ({text}): is systemd running here?"),
            sent: Sent::Maybe,
        },
        _ => refused(FAILED, if text.is_empty() { plain(name) } else { text.to_owned() }),
    }
}

/// What HTTP would have said; only [`EngineError::Refused`] asks for it.
const FORBIDDEN: u16 = 403;
const LOCKED: u16 = 423;
pub(super) const FAILED: u16 = 500;

/// Why the bus's socket could not be connected to, and what to do.
pub(super) fn unreached(error: &io::Error, manager: Manager, socket: &Path) -> String {
    let socket = socket.display();
    let whose = match manager {
        Manager::System => "the system bus",
        Manager::User => "the user's bus",
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "the kernel's errors: all others are rare")]
    match error.kind() {
        io::ErrorKind::NotFound => {
            let to_do = match manager {
                Manager::System => {
                    "is systemd running here, and dbus? (the units of a user: --engine systemd-user)"
                }
                Manager::User => {
                    "is the user's manager running? (`loginctl enable-linger USER`, and the package \
                     dbus-user-session)"
                }
            };
            format!("{socket}, {whose}, is missing: {to_do}")
        }
        io::ErrorKind::PermissionDenied => {
            format!("{PERMISSION} on {socket}, {whose}: it belongs to another user")
        }
        io::ErrorKind::ConnectionRefused => {
            format!("{socket}, {whose}, refuses connections: is dbus running?")
        }
        _ => format!("{socket}, {whose}, cannot be reached: {error}"),
    }
}

/// Why a bus that took the connection did not let us in.
pub(super) fn unwelcome(error: &zbus::Error, manager: Manager, socket: &Path) -> String {
    let at = socket.display();
    let why = plain(&error.to_string());
    if manager == Manager::System && matches!(error, zbus::Error::InputOutput(_)) {
        format!(
            "{at}, the system bus, closes the connection ({why}): dbus-daemon lets no user in whom \
             it cannot look up, such as one of DynamicUser=yes; give the daemon a user (User=)"
        )
    } else {
        format!("{at} speaks no D-Bus, or lets this user not in: {why}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(name: &str, text: &str) -> EngineError {
        answered(name, text, Manager::System, Doing::Managing("start", "web.service"))
    }

    #[test]
    fn what_polkit_denies_names_the_rule_and_the_unit() {
        for name in ["AccessDenied", "InteractiveAuthorizationRequired"] {
            let error = said(&format!("org.freedesktop.DBus.Error.{name}"), "no");
            let EngineError::Refused { status: 403, message } = error else { panic!("{error:?}") };
            for words in ["may not start web.service", "50-ondemand-container.rules", "polkitd"] {
                assert!(message.contains(words), "{message}");
            }
        }
    }

    #[test]
    fn errors_of_the_unit_are_told_from_a_systemd_that_is_away() {
        let systemd = |name: &str| said(&format!("org.freedesktop.systemd1.{name}"), "why");
        assert_eq!(systemd("NoSuchUnit"), EngineError::Missing("why".to_owned()));
        assert_eq!(systemd("ShuttingDown"), EngineError::Conflict("why".to_owned()));
        assert!(matches!(systemd("UnitMasked"), EngineError::Refused { message, .. }
            if message.contains("unmask")));
        assert!(matches!(systemd("Anything"), EngineError::Refused { message, .. }
            if message == "why"));
        let away = said("org.freedesktop.DBus.Error.ServiceUnknown", "why");
        assert!(matches!(away, EngineError::Unavailable { sent: Sent::Maybe, .. }));
    }

    #[test]
    fn a_missing_bus_says_what_to_look_for() {
        let missing = io::Error::from(io::ErrorKind::NotFound);
        let path = Path::new("/run/x");
        assert!(unreached(&missing, Manager::System, path).contains("is systemd running"));
        assert!(unreached(&missing, Manager::User, path).contains("enable-linger"));
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        let reason = unreached(&denied, Manager::User, path);
        assert!(EngineError::Unavailable { reason, sent: Sent::No }.is_permission());
    }
}
