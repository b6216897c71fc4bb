//! What is replayed: the gaps between uses, as a log or the history tells them.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;

use super::stamp;
use crate::activation::Depth;
use crate::history::{Book, Record, Step};

/// A line longer than this is cut: the time stands in front.
const LONGEST_LINE: u64 = 64 * 1024;

/// A larger history is none of ours.
const LARGEST_HISTORY: u64 = 64 << 20;

/// The gaps between uses, and what is known of the service.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Past {
    /// In seconds, in their order.
    pub(super) gaps: Vec<f64>,
    /// Lines in which no time was found.
    pub(super) not_understood: u64,
    /// How long half of the cold starts took at most.
    pub(super) start: Option<Duration>,
    /// The bytes of memory that its last stop freed.
    pub(super) freed: Option<u64>,
}

/// What the daemon has kept of a service; of the only one if no name is said.
pub(super) fn of_history(path: &Path, name: Option<&str>) -> anyhow::Result<Past> {
    let mut text = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST_HISTORY).read_to_end(&mut text))
        .with_context(|| format!("{} cannot be read", path.display()))?;
    let book = Book::parse(&text).with_context(|| format!("{} is no history", path.display()))?;
    let record = chosen(&book, name).with_context(|| path.display().to_string())?;
    let past = Past {
        gaps: record.ledger.gaps().collect(),
        not_understood: 0,
        start: start(record),
        freed: record.freed.stopped,
    };
    anyhow::ensure!(
        !past.gaps.is_empty(),
        "{} knows no gap between uses yet: ask again when it was used for some days",
        path.display()
    );
    Ok(past)
}

fn chosen<'a>(book: &'a Book, name: Option<&str>) -> anyhow::Result<&'a Record> {
    let found = match (name, book.records.first_key_value()) {
        (Some(name), _) => book.records.get(name),
        (None, Some((_, record))) if book.records.len() == 1 => Some(record),
        (None, _) => None,
    };
    let names = || book.records.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    found.with_context(|| match (name, book.records.is_empty()) {
        (_, true) => "it knows no service yet".to_owned(),
        (Some(name), false) => format!("it knows no service {name}, only {}", names()),
        (None, false) => format!("it knows several services: name one of {}", names()),
    })
}

/// Half of the wakes that were no resumes took so long at most.
fn start(record: &Record) -> Option<Duration> {
    let cold = record.wakes.iter().filter(|step| step.from != Some(Depth::Pause));
    let mut took: Vec<Duration> = cold
        .map(|step| {
            let Step { from: _, needs_us, engine_us, ready_us, ours_us } = *step;
            let parts = [needs_us, engine_us, ready_us, ours_us].map(Duration::from_micros);
            parts.into_iter().sum()
        })
        .collect();
    took.sort_unstable();
    took.get(took.len().checked_sub(1)? / 2).copied()
}

/// Times of uses, in whatever order.
#[derive(Debug, Default)]
struct Times {
    all: Vec<f64>,
    not_understood: u64,
    /// The first line that was not understood.
    example: Option<String>,
}

/// The gaps between the lines of access logs; `-` is standard input.
pub(super) fn of_logs(paths: &[impl AsRef<Path>]) -> anyhow::Result<Past> {
    let mut times = Times::default();
    for path in paths {
        let path = path.as_ref();
        let read = if path == Path::new("-") {
            times.read(io::stdin().lock())
        } else {
            File::open(path).and_then(|file| times.read(BufReader::with_capacity(1 << 16, file)))
        };
        read.with_context(|| format!("{} cannot be read", path.display()))?;
    }
    times.gaps()
}

impl Times {
    /// Line by line: nothing is kept of them but their times.
    fn read(&mut self, mut from: impl BufRead) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            if (&mut from).take(LONGEST_LINE).read_until(b'\n', &mut line)? == 0 {
                return Ok(());
            }
            if line.len() as u64 == LONGEST_LINE && !line.ends_with(b"\n") {
                from.skip_until(b'\n')?;
            }
            self.note(line.trim_ascii());
        }
    }

    fn note(&mut self, line: &[u8]) {
        if line.is_empty() {
            return;
        }
        if let Some(time) = stamp::time(line) {
            self.all.push(time);
        } else {
            self.not_understood += 1;
            self.example.get_or_insert_with(|| {
                let text = String::from_utf8_lossy(&line[..line.len().min(120)]);
                text.escape_debug().to_string()
            });
        }
    }

    /// In place of the times, since there may be millions.
    fn gaps(self) -> anyhow::Result<Past> {
        let Self { all: mut gaps, not_understood, example } = self;
        if gaps.len() < 2 {
            let example = example.map_or_else(String::new, |line| {
                format!("; {not_understood} lines tell no time, the first is \"{line}\"")
            });
            anyhow::bail!(
                "there are no gaps between uses, as {} was found{example}",
                match gaps.len() {
                    0 => "no time",
                    _ => "one time",
                }
            );
        }
        // Servers write a line at the end of a request.
        gaps.sort_unstable_by(f64::total_cmp);
        let mut before = gaps[0];
        for time in &mut gaps {
            let gap = *time - before;
            before = *time;
            *time = gap;
        }
        gaps.remove(0);
        Ok(Past { gaps, not_understood, ..Past::default() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past(text: &[u8]) -> anyhow::Result<Past> {
        let mut times = Times::default();
        times.read(text).unwrap();
        times.gaps()
    }

    #[test]
    fn gaps_are_those_between_sorted_times() {
        let past = past(b"1700000060\n\n1700000000\nnonsense\n1700000070.5").unwrap();
        assert_eq!(past, Past { gaps: vec![60.0, 10.5], not_understood: 1, ..Past::default() });
    }

    #[test]
    fn a_line_without_an_end_is_one_line() {
        let mut text = b"1700000000 ".to_vec();
        text.resize(300_000, b'x');
        text.extend_from_slice(b"\n1700000030\n");
        assert_eq!(past(&text).unwrap(), Past { gaps: vec![30.0], ..Past::default() });
    }

    #[test]
    fn nothing_to_replay_is_told_with_the_line_that_was_not_understood() {
        let error = past(b"GET \x1b[2J\nx\n").unwrap_err().to_string();
        assert!(error.contains("2 lines tell no time, the first is \"GET \\u{1b}[2J\""), "{error}");
        assert!(past(b"1700000000").unwrap_err().to_string().contains("one time"));
    }

    #[test]
    fn the_history_tells_how_long_its_cold_starts_took() {
        let step = |from, ready_us| Step { from, ready_us, ..Step::default() };
        let mut record = Record::default();
        assert_eq!(start(&record), None);
        record.wake(step(Some(Depth::Pause), 1));
        assert_eq!(start(&record), None);
        for ready in [9, 3, 5, 4] {
            record.wake(step(Some(Depth::Stop), ready));
        }
        assert_eq!(start(&record), Some(Duration::from_micros(4)));
    }

    #[test]
    fn a_service_of_the_history_is_named_unless_it_is_the_only_one() {
        let mut book = Book::default();
        let wrong = |book: &Book, name| chosen(book, name).unwrap_err().to_string();
        assert!(wrong(&book, None).contains("no service yet"));
        book.records.insert("a".to_owned(), Record { woken: 1, ..Record::default() });
        assert_eq!(chosen(&book, None).unwrap().woken, 1);
        book.records.insert("b".to_owned(), Record { woken: 2, ..Record::default() });
        assert_eq!(chosen(&book, Some("b")).unwrap().woken, 2);
        assert!(wrong(&book, None).contains("name one of a, b"));
        assert!(wrong(&book, Some("c")).contains("no service c, only a, b"));
    }
}
