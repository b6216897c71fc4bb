//! Services of a file that cannot both be had.

use std::collections::HashMap;

use super::ListenAddress;
use super::listen::Spot;
use super::plan::Described;
use crate::engine::TargetName;

/// What the services so far have taken. Each question takes as long for a thousand of them as for ten.
#[derive(Debug, Default)]
pub(super) struct Taken {
    places: HashMap<Spot, Vec<(ListenAddress, String)>>,
    targets: HashMap<(String, Of), String>,
}

/// What a service wakes.
#[derive(Debug, PartialEq, Eq, Hash)]
enum Of {
    Target(TargetName),
    /// The whole of that compose project; what it is reached by is not known yet.
    Project(String),
}

impl Of {
    fn new(described: &Described) -> Self {
        let target = &described.service.settings.target;
        match &described.compose {
            Some(compose)
                if compose.service.is_none() && compose.conventional() == target.as_str() =>
            {
                Self::Project(compose.project.clone())
            }
            Some(_) | None => Self::Target(target.clone()),
        }
    }
}

impl Taken {
    /// Takes what `new` wants, and tells what of it another has: each with the key that says so.
    pub(super) fn take(&mut self, new: &Described) -> Vec<(&'static str, String)> {
        let mut found = Vec::new();
        let (name, settings) = (&new.service.name, &new.service.settings);
        let listens = settings.listens();
        for listen in &listens {
            let there = self.places.get(&listen.address.spot()).into_iter().flatten();
            for (_, other) in there.filter(|(there, _)| listen.address.clashes(there)) {
                let at = &listen.address;
                let text = format!(
                    "listens on {at}, as services.{other} does: give one of them another place"
                );
                found.push(("listen", text));
            }
        }
        for listen in listens {
            let there = self.places.entry(listen.address.spot()).or_default();
            there.push((listen.address, name.clone()));
        }
        if let Some(other) =
            self.targets.insert((settings.engine.clone(), Of::new(new)), name.clone())
        {
            let text = format!(
                "is {}, as services.{other} is: one service may have several ports",
                settings.what()
            );
            let key = if settings.manager().is_some() { "unit" } else { "container" };
            found.push((key, text));
        }
        found
    }
}
