//! An engine's list of containers, and the labels on them: JSON that every container's maker has a
//! hand in. Whatever it says, what is served fits together.
#![no_main]

use std::collections::BTreeSet;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use ondemand_container::config::file::DaemonOptions;
use ondemand_container::config::resolve::{Snapshots, resolve};
use ondemand_container::config::{Given, Options, Plan};
use ondemand_container::engine::snapshot_from_json;

fuzz_target!(|bytes: &[u8]| {
    let Ok(snapshot) = snapshot_from_json(bytes) else { return };
    let daemon = DaemonOptions { labels: vec!["docker".to_owned()], ..DaemonOptions::default() };
    let given = Given { daemon, ..Given::default() };
    let plan = Plan::new(given, &Options::default()).expect("a plan");
    let snapshots: Snapshots = [("docker".to_owned(), Arc::new(snapshot))].into();
    let resolved = resolve(&plan, &snapshots);
    let names: BTreeSet<&str> = resolved.services.iter().map(|of| of.name.as_str()).collect();
    assert_eq!(names.len(), resolved.services.len());
    for service in &resolved.services {
        assert!(service.bonds.all().all(|bond| names.contains(bond.to.as_str())));
        assert!(!resolved.wake_order(&service.name).is_empty());
    }
    for complaint in &resolved.complaints {
        assert!(!complaint.to_string().chars().any(char::is_control));
    }
});
