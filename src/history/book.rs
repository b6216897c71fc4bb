//! The whole file as a value: versioned, bounded, and nothing of it believed that does not fit.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Record;

/// The format that this daemon writes, and reads.
const VERSION: u64 = 1;

/// What was not configured for so long is forgotten, in seconds: 90 days.
const KEPT: u64 = 90 * 24 * 3600;

/// More services than one host has; a record is some 6 KiB at the most.
const MOST: usize = 4000;

/// All records, by the names of their services.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Book {
    /// They.
    pub records: BTreeMap<String, Record>,
}

/// Why a file is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unread {
    /// A later daemon has written it: it is left alone.
    #[error("it is of version {0}, and this daemon knows {VERSION}")]
    Newer(u64),
    /// Nobody has written it so.
    #[error("{0}")]
    Broken(String),
}

#[derive(Serialize)]
struct Written<'a> {
    version: u64,
    services: &'a BTreeMap<String, Record>,
}

#[derive(Deserialize)]
struct Versioned {
    version: u64,
}

#[derive(Deserialize)]
struct Read {
    services: BTreeMap<String, Record>,
}

impl Book {
    /// Reads it. An empty file is none that we have written.
    pub fn parse(text: &[u8]) -> Result<Self, Unread> {
        let broken = |error: serde_json::Error| Unread::Broken(error.to_string());
        let Versioned { version } = serde_json::from_slice(text).map_err(broken)?;
        if version > VERSION {
            return Err(Unread::Newer(version));
        }
        if version == 0 {
            return Err(Unread::Broken("there is no version 0".to_owned()));
        }
        let Read { services } = serde_json::from_slice(text).map_err(broken)?;
        let mut book = Self { records: services };
        book.records.values_mut().for_each(Record::bound);
        Ok(book)
    }

    /// As it is written.
    pub fn text(&self) -> Vec<u8> {
        let written = Written { version: VERSION, services: &self.records };
        // Serialising to memory what has text for keys cannot fail.
        let mut text = serde_json::to_vec(&written).unwrap_or_default();
        text.push(b'\n');
        text
    }

    /// Forgets what was not configured for long, and beyond the bound what was not for longest.
    pub fn forget(&mut self, now: u64) {
        self.records.retain(|_, record| now.saturating_sub(record.configured_at) <= KEPT);
        let surplus = self.records.len().saturating_sub(MOST);
        if surplus > 0 {
            let mut oldest: Vec<(u64, String)> =
                self.records.iter().map(|(name, of)| (of.configured_at, name.clone())).collect();
            oldest.sort_unstable();
            for (_, name) in oldest.into_iter().take(surplus) {
                self.records.remove(&name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::activation::Depth;
    use crate::history::{Asleep, Freed, Hold, Resting, Step};

    fn full() -> Book {
        let step =
            Step { from: Some(Depth::Pause), needs_us: 1, engine_us: 2, ready_us: 3, ours_us: 4 };
        let record = Record {
            configured_at: 1_800_000_000,
            woken: 3,
            asleep: Asleep { stopped_ms: 5, paused_ms: 6 },
            saved_kib_seconds: 7,
            freed: Freed { stopped: Some(8), paused: None },
            wakes: [step; 3].into(),
            hold: Some(Hold { until_ms: Some(1_800_000_100_000) }),
            used_at: Some(1_799_999_999),
            resting: Some(Resting { depth: Depth::Stop, counted_until: 1_800_000_000 }),
            ..Record::default()
        };
        Book { records: [("gitea".to_owned(), record)].into() }
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(Book::parse(&full().text()), Ok(full()));
        let bare = Book::parse(br#"{"version":1,"services":{"a":{}},"later":[]}"#).unwrap();
        assert_eq!(bare.records["a"], Record::default());
    }

    #[test]
    fn other_versions_and_broken_files_are_told_apart() {
        let newer = Book::parse(br#"{"version":2,"services":{"a":{"woken":"often"}}}"#);
        assert_eq!(newer, Err(Unread::Newer(2)));
        let text = full().text();
        for broken in [
            &b""[..],
            b"{}",
            b"[1]",
            b"null",
            br#"{"version":1}"#,
            br#"{"version":0,"services":{}}"#,
            br#"{"version":1,"services":{"a":{"woken":-1}}}"#,
            &text[..text.len() / 2],
        ] {
            assert!(matches!(Book::parse(broken), Err(Unread::Broken(_))), "{broken:?}");
        }
    }

    #[test]
    fn a_longer_ring_than_ours_is_cut() {
        let mut book = full();
        let wakes = vec![Step::default(); 5000];
        book.records.get_mut("gitea").unwrap().wakes = wakes.into();
        assert_eq!(Book::parse(&book.text()).unwrap().records["gitea"].wakes.len(), 64);
    }

    #[test]
    fn what_nobody_configures_is_forgotten_and_the_oldest_first() {
        let of = |configured_at| Record { configured_at, ..Record::default() };
        let now = 10 * KEPT;
        let mut book = Book::default();
        book.records.insert("old".to_owned(), of(now - KEPT - 1));
        book.records.insert("known".to_owned(), of(now - KEPT));
        // A clock that was set back forgets nothing.
        book.records.insert("ahead".to_owned(), of(now + 5));
        book.forget(now);
        assert_eq!(book.records.keys().collect::<Vec<_>>(), ["ahead", "known"]);
        for number in 0..MOST as u64 {
            book.records.insert(format!("s{number}"), of(now - number));
        }
        book.forget(now);
        assert_eq!(book.records.len(), MOST);
        assert!(book.records.contains_key("ahead") && book.records.contains_key("s3998"));
        assert!(!book.records.contains_key("known") && !book.records.contains_key("s3999"));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd(mut text in proptest::collection::vec(any::<u8>(), 0..64), at in 0usize..400, byte: u8) {
            drop(Book::parse(&text));
            text = full().text();
            let at = at % text.len();
            text[at] = byte;
            drop(Book::parse(&text));
        }
    }
}
