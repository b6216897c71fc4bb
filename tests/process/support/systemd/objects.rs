//! The objects on the scripted bus: the bus itself, the manager, the units.
#![allow(
    clippy::unused_self,
    clippy::used_underscore_binding,
    reason = "methods and properties of a bus interface have the shape that it gives them"
)]

use zbus::message::Header;
use zbus::names::ErrorName;
use zbus::zvariant::OwnedObjectPath;
use zbus::{DBusError, Message, interface};

use super::super::lock;
use super::{Asked, Systemd, Unit};

/// An error's name and text.
#[derive(Debug)]
pub(super) struct Refusal(pub(super) &'static str, pub(super) &'static str);

impl DBusError for Refusal {
    fn create_reply(&self, call: &Header<'_>) -> zbus::Result<Message> {
        Message::error(call, self.0)?.build(&self.1)
    }

    fn name(&self) -> ErrorName<'_> {
        ErrorName::from_static_str_unchecked(self.0)
    }

    fn description(&self) -> Option<&str> {
        Some(self.1)
    }
}

pub(super) struct TheBus;

#[interface(name = "org.freedesktop.DBus")]
impl TheBus {
    fn hello(&self) -> String {
        ":1.1".to_owned()
    }

    fn add_match(&self, _rule: &str) {}

    fn remove_match(&self, _rule: &str) {}
}

pub(super) struct Manager(pub(super) Systemd);

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Manager {
    fn subscribe(&self) {}

    async fn start_unit(&self, name: &str, mode: &str) -> Result<OwnedObjectPath, Refusal> {
        assert_eq!((name, mode), ("app.service", "replace"));
        self.0.job(Asked::Start).await
    }

    async fn stop_unit(&self, name: &str, mode: &str) -> Result<OwnedObjectPath, Refusal> {
        assert_eq!((name, mode), ("app.service", "replace"));
        self.0.job(Asked::Stop).await
    }

    async fn thaw_unit(&self, name: &str) {
        assert_eq!(name, "app.service");
        self.0.0.app.thaw();
        "running".clone_into(&mut lock(&self.0.0.world).unit.freezer);
        self.0.emit_changed().await;
    }

    #[zbus(property)]
    fn version(&self) -> String {
        "252 (scripted)".to_owned()
    }
}

/// `app.service`, or that unit of no program.
pub(super) struct UnitObject(pub(super) Systemd, pub(super) Option<String>);

impl UnitObject {
    fn unit(&self) -> Unit {
        if self.1.is_some() { Unit::default() } else { self.0.unit() }
    }
}

#[interface(name = "org.freedesktop.systemd1.Unit")]
impl UnitObject {
    #[zbus(property)]
    fn id(&self) -> String {
        self.1.clone().unwrap_or_else(|| "app.service".to_owned())
    }

    #[zbus(property)]
    fn load_state(&self) -> String {
        self.unit().load
    }

    #[zbus(property)]
    fn load_error(&self) -> (String, String) {
        (String::new(), String::new())
    }

    #[zbus(property)]
    fn active_state(&self) -> String {
        self.unit().active
    }

    #[zbus(property)]
    fn sub_state(&self) -> String {
        self.unit().sub
    }

    #[zbus(property)]
    fn freezer_state(&self) -> String {
        self.unit().freezer
    }

    #[zbus(property, name = "InvocationID")]
    fn invocation_id(&self) -> Vec<u8> {
        vec![self.unit().invocation; 16]
    }

    #[zbus(property)]
    fn inactive_exit_timestamp_monotonic(&self) -> u64 {
        self.unit().left_rest
    }

    #[zbus(property)]
    fn active_enter_timestamp_monotonic(&self) -> u64 {
        self.unit().active_since
    }

    #[zbus(property)]
    fn triggered_by(&self) -> Vec<String> {
        vec!["app.timer".to_owned()]
    }
}

pub(super) struct ServiceObject(pub(super) Systemd);

#[interface(name = "org.freedesktop.systemd1.Service")]
impl ServiceObject {
    #[zbus(property)]
    fn result(&self) -> String {
        self.0.unit().result
    }

    #[zbus(property)]
    fn exec_main_code(&self) -> i32 {
        1
    }

    #[zbus(property)]
    fn exec_main_status(&self) -> i32 {
        self.0.unit().status
    }

    #[zbus(property, name = "CPUUsageNSec")]
    fn cpu_usage_nsec(&self) -> u64 {
        1_500_000_000
    }

    /// Not accounted for.
    #[zbus(property)]
    fn memory_current(&self) -> u64 {
        u64::MAX
    }

    #[zbus(property, name = "IPIngressBytes")]
    fn ip_ingress_bytes(&self) -> u64 {
        40
    }

    #[zbus(property, name = "IPEgressBytes")]
    fn ip_egress_bytes(&self) -> u64 {
        2
    }

    #[zbus(property)]
    fn control_group(&self) -> String {
        "/system.slice/app.service".to_owned()
    }

    #[zbus(property, name = "TimeoutStopUSec")]
    fn timeout_stop_usec(&self) -> u64 {
        90_000_000
    }
}
