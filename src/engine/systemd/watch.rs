//! What systemd says of its units, unasked: hints to look, for all that are watched on a bus.
//!
//! `UnitNew` and `UnitRemoved` are no hints: a unit at rest is loaded by being looked at, and
//! unloaded right after.

use futures_util::StreamExt;
use futures_util::stream::{Stream, select};
use tokio::sync::Notify;
use tracing::{debug, info, warn};
use zbus::message::Type;
use zbus::{MatchRule, Message, MessageStream};

use super::Systemd;
use super::bus::{MANAGER_PATH, SYSTEMD};
use super::error::Doing;
use super::job::JobRemoved;
use super::unit::path_of;
use crate::activation::Pauses;
use crate::clock;
use crate::engine::watch::{LIVED, Whom};
use crate::engine::{EngineError, TargetName};

/// Watches for ever; see [`Engine::watch`](crate::engine::Engine::watch).
pub(super) async fn watch(systemd: &Systemd, name: &TargetName, look: &Notify) {
    systemd.watchers().watch(Whom::Target(name.clone()), look, || follow_all(systemd)).await;
}

/// Follows connection after connection, for ever.
async fn follow_all(systemd: &Systemd) {
    let mut pauses = Pauses::watch();
    let mut away = false;
    loop {
        let began = clock::instant();
        match begin(systemd).await {
            Ok(signals) => {
                if away {
                    info!(engine = %systemd.bus().manager(), "the engine is back");
                    away = false;
                }
                systemd.watchers().tell(|_| true);
                follow(systemd, signals).await;
                if began.elapsed() >= LIVED {
                    pauses = Pauses::watch();
                }
                debug!(engine = %systemd.bus().manager(), "the signals have ended");
            }
            Err(error) => {
                if !away {
                    warn!(
                        engine = %systemd.bus().manager(), reason = %error,
                        "the engine cannot be asked; connections go on, new wakes wait for it"
                    );
                    away = true;
                }
            }
        }
        tokio::time::sleep(pauses.pause()).await;
    }
}

/// Subscribes on a connection that works.
async fn begin(
    systemd: &Systemd,
) -> Result<impl Stream<Item = zbus::Result<Message>> + Unpin, EngineError> {
    // Whatever ended the last one, a connection that systemd does not answer on is of no use.
    systemd.connect().await?;
    let bus = systemd.bus();
    let connection = bus.connection().await?;
    let rules = || {
        let owner = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender("org.freedesktop.DBus")?
            .interface("org.freedesktop.DBus")?
            .member("NameOwnerChanged")?
            .add_arg(SYSTEMD)?
            .build();
        let signals = MatchRule::builder()
            .msg_type(Type::Signal)
            .sender(SYSTEMD)?
            .path_namespace(MANAGER_PATH)?
            .build();
        Ok((owner, signals))
    };
    let (owner, signals) =
        rules().map_err(|error: zbus::Error| EngineError::Garbled(error.to_string()))?;
    // The signals last, as nobody empties their queue before all is set up.
    match bus.manager_call::<_, ()>("Subscribe", &(), Doing::Asking).await {
        Ok(()) => {}
        // By an earlier watch on this connection.
        Err(EngineError::Refused { message, .. }) if message.contains("already") => {}
        Err(error) => return Err(error),
    }
    let owner = MessageStream::for_match_rule(owner, &connection, None);
    let owner = bus.within("AddMatch", owner).await?;
    let signals = MessageStream::for_match_rule(signals, &connection, None);
    let signals = bus.within("AddMatch", signals).await?;
    Ok(select(owner, signals))
}

/// Whether it is the unit at `path` that is watched.
fn is_at(systemd: &Systemd, whom: &Whom, path: &str) -> bool {
    match whom {
        Whom::Target(name) => systemd.is_at(name, path),
        Whom::Everybody => true,
    }
}

/// Tells the watchers until the connection breaks, or systemd leaves the bus.
async fn follow(systemd: &Systemd, mut signals: impl Stream<Item = zbus::Result<Message>> + Unpin) {
    while let Some(Ok(message)) = signals.next().await {
        let header = message.header();
        let path = header.path().map_or("", |path| path.as_str());
        match header.member().map_or("", |member| member.as_str()) {
            "NameOwnerChanged" => return,
            "PropertiesChanged" => {
                let concerned = systemd.watchers().tell(|whom| is_at(systemd, whom, path));
                if concerned {
                    debug!(path, "the unit has changed");
                }
            }
            // At its end units may have come or gone.
            "Reloading" => {
                systemd.watchers().tell(|_| true);
            }
            "JobRemoved" => {
                if let Ok((_, _, unit, _)) = message.body().deserialize::<JobRemoved>() {
                    let path = path_of(&unit);
                    systemd.watchers().tell(|whom| is_at(systemd, whom, &path));
                }
            }
            _ => {}
        }
    }
}
