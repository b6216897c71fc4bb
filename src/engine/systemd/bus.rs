//! The message bus that a systemd manager is reached on, and calls of that manager.
//!
//! One connection serves all units of a manager. It is made when it is needed, and given up when a
//! call or the watch finds it broken.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::sync::Mutex;
use tokio::time::timeout;
use zbus::Connection;
use zbus::connection::Builder;
use zbus::zvariant::{DynamicType, ObjectPath, OwnedValue, Type};

use super::error::{Doing, translate, unreached, unwelcome};
use crate::engine::api::LOOK_LIMIT;
use crate::engine::{EngineError, Sent};

/// What systemd is called on every bus (org.freedesktop.systemd1(5)).
pub(super) const SYSTEMD: &str = "org.freedesktop.systemd1";

/// Its manager object.
pub(super) const MANAGER_PATH: &str = "/org/freedesktop/systemd1";

/// The interfaces that are spoken.
pub(super) const MANAGER: &str = "org.freedesktop.systemd1.Manager";
pub(super) const UNIT: &str = "org.freedesktop.systemd1.Unit";
pub(super) const SERVICE: &str = "org.freedesktop.systemd1.Service";
pub(super) const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Where the system bus is, if nothing else is said (D-Bus specification, "Well-known Message Bus
/// Instances"; /var/run is /run wherever systemd is).
const SYSTEM_BUS: &str = "/run/dbus/system_bus_socket";

/// Whose units: the machine's or a user's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manager {
    /// Process 1, on the system bus: `systemctl`.
    System,
    /// The user's own, on the user's bus: `systemctl --user`.
    User,
}

impl Manager {
    /// The manager that a word of `--engine` means, if it means one.
    pub fn of_word(word: &str) -> Option<Self> {
        match word {
            "systemd" => Some(Self::System),
            "systemd-user" => Some(Self::User),
            _ => None,
        }
    }

    /// How its units are asked about on a command line.
    pub fn systemctl(self) -> &'static str {
        match self {
            Self::System => "systemctl",
            Self::User => "systemctl --user",
        }
    }

    /// The bus's socket, by the environment that `env` reads; or what is wrong with that.
    fn socket(self, env: impl Fn(&str) -> Option<String>) -> Result<PathBuf, String> {
        let (variable, default) = match self {
            Self::System => ("DBUS_SYSTEM_BUS_ADDRESS", Some(PathBuf::from(SYSTEM_BUS))),
            Self::User => {
                let runtime = env("XDG_RUNTIME_DIR").filter(|dir| !dir.is_empty());
                ("DBUS_SESSION_BUS_ADDRESS", runtime.map(|dir| Path::new(&dir).join("bus")))
            }
        };
        match env(variable).filter(|address| !address.is_empty()) {
            Some(address) => path_of(&address)
                .ok_or_else(|| format!("{variable}={address:?} is no bus on a Unix socket's path")),
            None => default.ok_or_else(|| {
                "XDG_RUNTIME_DIR is not set, so there is no bus of this user: log in, or `loginctl \
                 enable-linger`, or run as a unit of the user's manager"
                    .to_owned()
            }),
        }
    }
}

impl fmt::Display for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::System => "systemd (system bus)",
            Self::User => "systemd (user bus)",
        })
    }
}

/// The first `unix:path=` of a bus address, its escapes undone (D-Bus specification, "Server
/// Addresses").
fn path_of(address: &str) -> Option<PathBuf> {
    let keys = address.split(';').filter_map(|one| one.strip_prefix("unix:"));
    let path = keys.flat_map(|keys| keys.split(',')).find_map(|key| key.strip_prefix("path="))?;
    let mut bytes = Vec::new();
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    Some(PathBuf::from(String::from_utf8(bytes).ok()?))
}

/// The bus of a manager.
#[derive(Debug)]
pub(super) struct Bus {
    manager: Manager,
    socket: Result<PathBuf, String>,
    connection: Mutex<Option<Connection>>,
}

impl Bus {
    /// The manager's bus, as `env` says; nothing is sent yet.
    pub(super) fn new(manager: Manager, env: impl Fn(&str) -> Option<String>) -> Self {
        Self { manager, socket: manager.socket(env), connection: Mutex::default() }
    }

    pub(super) fn manager(&self) -> Manager {
        self.manager
    }

    /// The connection, made now if there is none.
    pub(super) async fn connection(&self) -> Result<Connection, EngineError> {
        let mut kept = self.connection.lock().await;
        if let Some(connection) = &*kept {
            return Ok(connection.clone());
        }
        let away = |reason: String| EngineError::Unavailable { reason, sent: Sent::No };
        let socket = self.socket.as_ref().map_err(|why| away(why.clone()))?;
        let connect = async {
            let stream = UnixStream::connect(socket)
                .await
                .map_err(|error| away(unreached(&error, self.manager, socket)))?;
            Builder::unix_stream(stream)
                .build()
                .await
                .map_err(|error| away(unwelcome(&error, self.manager, socket)))
        };
        let connection = timeout(LOOK_LIMIT, connect)
            .await
            .unwrap_or_else(|_| Err(EngineError::timed_out("hello to the bus", LOOK_LIMIT)))?;
        *kept = Some(connection.clone());
        Ok(connection)
    }

    /// The next call connects anew.
    pub(super) async fn forget(&self) {
        *self.connection.lock().await = None;
    }

    /// Calls a method of systemd's manager.
    pub(super) async fn manager_call<B, T>(
        &self,
        method: &'static str,
        body: &B,
        doing: Doing<'_>,
    ) -> Result<T, EngineError>
    where
        B: serde::Serialize + DynamicType + Sync,
        T: DeserializeOwned + Type,
    {
        let path = ObjectPath::from_static_str_unchecked(MANAGER_PATH);
        self.call(path, MANAGER, method, body, doing).await
    }

    /// One property of one of systemd's objects.
    pub(super) async fn property<T: TryFrom<OwnedValue>>(
        &self,
        path: ObjectPath<'_>,
        interface: &'static str,
        property: &'static str,
        doing: Doing<'_>,
    ) -> Result<T, EngineError> {
        let body = (interface, property);
        let value: OwnedValue = self.call(path, PROPERTIES, "Get", &body, doing).await?;
        T::try_from(value)
            .map_err(|_| EngineError::Garbled(format!("{property} is of another type")))
    }

    /// Calls a method of one of systemd's objects, under a time limit.
    pub(super) async fn call<B, T>(
        &self,
        path: ObjectPath<'_>,
        interface: &'static str,
        method: &'static str,
        body: &B,
        doing: Doing<'_>,
    ) -> Result<T, EngineError>
    where
        B: serde::Serialize + DynamicType + Sync,
        T: DeserializeOwned + Type,
    {
        let connection = self.connection().await?;
        let call = connection.call_method(Some(SYSTEMD), path, Some(interface), method, body);
        let answer = match timeout(LOOK_LIMIT, call).await {
            Err(_) => return Err(EngineError::timed_out(method, LOOK_LIMIT)),
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                if matches!(error, zbus::Error::InputOutput(_)) {
                    self.forget().await;
                }
                return Err(translate(&error, self.manager, doing));
            }
        };
        answer
            .body()
            .deserialize()
            .map_err(|error| EngineError::Garbled(format!("{method} answers: {error}")))
    }

    /// Waits for something that the connection needs, under the time limit of a call.
    pub(super) async fn within<T>(
        &self,
        what: &str,
        call: impl Future<Output = zbus::Result<T>>,
    ) -> Result<T, EngineError> {
        match timeout(LOOK_LIMIT, call).await {
            Err(_) => Err(EngineError::timed_out(what, LOOK_LIMIT)),
            Ok(answer) => answer.map_err(|error| translate(&error, self.manager, Doing::Asking)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn socket(manager: Manager, env: &[(&str, &str)]) -> Result<String, String> {
        let env = |name: &str| {
            env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        manager.socket(env).map(|path| path.display().to_string())
    }

    #[test]
    fn the_bus_is_where_the_environment_says_or_where_it_always_is() {
        assert_eq!(socket(Manager::System, &[]).unwrap(), SYSTEM_BUS);
        let address = ("DBUS_SYSTEM_BUS_ADDRESS", "tcp:host=h;unix:guid=0,path=/a%20b%2fc,x=y");
        assert_eq!(socket(Manager::System, &[address]).unwrap(), "/a b/c");
        let runtime = ("XDG_RUNTIME_DIR", "/run/user/1");
        assert_eq!(socket(Manager::User, &[runtime]).unwrap(), "/run/user/1/bus");
        let session = ("DBUS_SESSION_BUS_ADDRESS", "unix:path=/s");
        assert_eq!(socket(Manager::User, &[runtime, session]).unwrap(), "/s");
        assert!(socket(Manager::User, &[]).unwrap_err().contains("enable-linger"));
        for bad in ["tcp:host=h", "unix:abstract=x", "unix:path=/a%2", "nonsense"] {
            assert!(socket(Manager::System, &[("DBUS_SYSTEM_BUS_ADDRESS", bad)]).is_err(), "{bad}");
        }
    }

    #[test]
    fn two_words_mean_a_manager() {
        assert_eq!(Manager::of_word("systemd"), Some(Manager::System));
        assert_eq!(Manager::of_word("systemd-user"), Some(Manager::User));
        assert_eq!(Manager::of_word("docker"), None);
    }
}
