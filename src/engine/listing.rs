//! All containers of an engine, with what is written on them: one call, and only what is needed of
//! its answer, so that no odd word of an engine fails the whole.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Deserializer};

use super::api::LOOK_LIMIT;
use super::{Api, EngineError, TargetName, plain};
use crate::port::{Port, Protocol};

/// A container takes 1 to 3 KiB, so this is room for some thousands.
const LIST_LIMIT: usize = 16 * 1024 * 1024;

/// The containers of an engine at a moment, whether they run or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// In the order of their names, none twice.
    pub containers: Vec<Listed>,
}

/// A container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: TargetName,
    /// Its ID.
    pub id: String,
    /// Its labels, those of its image among them.
    pub labels: BTreeMap<String, String>,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// The ports that it exposes or publishes, as far as they are known: Docker tells those of a
    /// container that runs.
    pub ports: BTreeSet<Port>,
}

impl Snapshot {
    /// The container of that name, or of an ID that begins so.
    pub fn find(&self, name: &str) -> Option<&Listed> {
        let by_name = self.containers.binary_search_by(|listed| listed.name.as_str().cmp(name));
        let by_id = || {
            // As the event watch has it: shorter ones are names.
            let mut all = self.containers.iter();
            all.find(|listed| name.len() >= 4 && listed.id.starts_with(name))
        };
        by_name.ok().and_then(|at| self.containers.get(at)).or_else(by_id)
    }

    /// Takes over the ports that an older snapshot knew; those of a container do not change.
    pub(crate) fn remember(&mut self, older: &Self) {
        let known: BTreeMap<&str, &BTreeSet<Port>> =
            older.containers.iter().map(|listed| (listed.id.as_str(), &listed.ports)).collect();
        for listed in self.containers.iter_mut().filter(|listed| listed.ports.is_empty()) {
            if let Some(ports) = known.get(listed.id.as_str()) {
                listed.ports.clone_from(ports);
            }
        }
    }
}

impl Api {
    /// All containers, also those that do not run.
    pub async fn list(&self) -> Result<Snapshot, EngineError> {
        Box::pin(async {
            let client = self.client().await?;
            let version = client.docker.client_version();
            let (major, minor) = (version.major_version, version.minor_version);
            let path = format!("/v{major}.{minor}/containers/json?all=true");
            match self.get(&path, LIST_LIMIT, LOOK_LIMIT).await? {
                (200, body) => snapshot_from_json(&body),
                (status, body) => Err(EngineError::Refused {
                    status,
                    message: plain(&String::from_utf8_lossy(&body)),
                }),
            }
        })
        .await
    }
}

/// From the bytes of the answer.
#[doc(hidden)]
pub fn snapshot_from_json(bytes: &[u8]) -> Result<Snapshot, EngineError> {
    let written: Vec<Written> =
        serde_json::from_slice(bytes).map_err(|error| EngineError::Garbled(error.to_string()))?;
    let all: BTreeMap<TargetName, Listed> = written
        .into_iter()
        .filter_map(Written::listed)
        .map(|listed| (listed.name.clone(), listed))
        .collect();
    Ok(Snapshot { containers: all.into_values().collect() })
}

/// A container as the engines write it. What is missing, or of another kind, is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Written {
    #[serde(deserialize_with = "lenient")]
    id: String,
    #[serde(deserialize_with = "lenient")]
    names: Vec<String>,
    #[serde(deserialize_with = "lenient")]
    labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "lenient")]
    created: i64,
    #[serde(deserialize_with = "lenient")]
    ports: Vec<WrittenPort>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct WrittenPort {
    private_port: u16,
    #[serde(rename = "Type")]
    protocol: String,
}

impl Written {
    /// Nothing if it bears no name that could be asked for.
    fn listed(self) -> Option<Listed> {
        // A name with another '/' in it is a link's.
        let mut names = self.names.iter().map(|name| name.strip_prefix('/').unwrap_or(name));
        let name = names.find_map(|name| TargetName::container(name).ok())?;
        let port = |written: &WrittenPort| {
            let protocol = match written.protocol.as_str() {
                "tcp" => Protocol::Tcp,
                "udp" => Protocol::Udp,
                _ => return None,
            };
            Some(Port { number: written.private_port, protocol })
        };
        Some(Listed {
            name,
            id: self.id,
            labels: self.labels,
            created: self.created,
            ports: self.ports.iter().filter_map(port).filter(|port| port.number > 0).collect(),
        })
    }
}

fn lenient<'de, T, D>(value: D) -> Result<T, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either<T> {
        As(T),
        Other(serde::de::IgnoredAny),
    }
    Ok(match Either::deserialize(value)? {
        Either::As(value) => value,
        Either::Other(_) => T::default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_engines_lists_are_understood() {
        let docker = br#"[{"Id":"53e6","Names":["/shop-web-1/db","/web"],"Created":1795423868,
            "Ports":[{"IP":"::","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},
            {"PrivatePort":53,"Type":"udp"},{"PrivatePort":9,"Type":"sctp"}],
            "Labels":{"a":"b"},"State":"created","Status":"Created"}]"#;
        let snapshot = snapshot_from_json(docker).unwrap();
        let web = &snapshot.containers[0];
        assert_eq!((web.name.as_str(), web.created), ("web", 1_795_423_868));
        assert_eq!(web.ports, [Port::tcp(80), Port::udp(53)].into());
        assert_eq!(web.labels["a"], "b");
        assert_eq!(snapshot.find("53e6"), Some(web));
        assert_eq!(snapshot.find("53e"), None);
        let podman =
            br#"[{"Id":"3bf4","Names":["/app"],"Labels":null,"Ports":null,"Config":null}]"#;
        let app = &snapshot_from_json(podman).unwrap().containers[0];
        assert!(app.labels.is_empty() && app.ports.is_empty());
    }

    #[test]
    fn odd_words_cost_what_they_stand_for_and_nothing_else() {
        let odd = br#"[{"Id":1,"Names":["/web"],"Labels":{"a":1},"Created":"soon","State":7},
            {"Names":[]},{"Names":["/../x"]},{"Names":["/db"],"Labels":{"b":"c"}}]"#;
        let names: Vec<_> = snapshot_from_json(odd)
            .unwrap()
            .containers
            .iter()
            .map(|listed| (listed.name.to_string(), listed.labels.len()))
            .collect();
        assert_eq!(names, [("db".to_owned(), 1), ("web".to_owned(), 0)]);
        for garbled in [&b""[..], b"{}", b"[1]", b"null"] {
            assert!(matches!(snapshot_from_json(garbled), Err(EngineError::Garbled(_))));
        }
    }

    #[test]
    fn ports_that_were_known_stay_known() {
        let with = |ports: &str| {
            let text = format!(r#"[{{"Id":"1","Names":["/web"],"Ports":{ports}}}]"#);
            snapshot_from_json(text.as_bytes()).unwrap()
        };
        let older = with(r#"[{"PrivatePort":80,"Type":"tcp"}]"#);
        let mut newer = with("[]");
        newer.remember(&older);
        assert_eq!(newer, older);
    }
}
