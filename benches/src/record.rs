//! What was measured: raw lines in a file, figures in memory.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::machine;

pub(crate) struct Record {
    file: File,
    pub(crate) path: PathBuf,
    machine: Map<String, Value>,
    /// Metric and contender to round and value.
    samples: BTreeMap<(String, String), Vec<(usize, f64)>>,
}

/// A median with its extremes.
#[derive(Clone, Copy)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Record {
    pub(crate) fn new(root: &Path, machine: Map<String, Value>) -> io::Result<Self> {
        let dir = root.join("target/bench");
        fs::create_dir_all(&dir)?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let path = dir.canonicalize()?.join(format!("raw-{now}.jsonl"));
        let file = File::create(&path)?;
        Ok(Self { file, path, machine, samples: BTreeMap::new() })
    }

    /// Writes one raw line.
    pub(crate) fn raw(&mut self, what: &str, contender: &str, round: usize, found: &Value) {
        let mut line = self.machine.clone();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        line.insert("time".into(), json!(now));
        line.insert("load".into(), json!(machine::load()));
        line.insert("what".into(), json!(what));
        line.insert("contender".into(), json!(contender));
        line.insert("round".into(), json!(round));
        line.insert("found".into(), found.clone());
        if let Err(error) = writeln!(self.file, "{}", Value::Object(line)) {
            eprintln!("{}: {error}", self.path.display());
        }
    }

    /// Keeps one figure; what could not be measured is not kept.
    pub(crate) fn sample(&mut self, metric: &str, contender: &str, round: usize, value: f64) {
        if value.is_finite() {
            let key = (metric.to_owned(), contender.to_owned());
            self.samples.entry(key).or_default().push((round, value));
        }
    }

    fn rounds(&self, metric: &str, contender: &str) -> &[(usize, f64)] {
        self.samples.get(&(metric.to_owned(), contender.to_owned())).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn values(&self, metric: &str, contender: &str) -> Vec<f64> {
        self.rounds(metric, contender).iter().map(|(_, value)| *value).collect()
    }

    pub(crate) fn median(&self, metric: &str, contender: &str) -> Option<f64> {
        Spread::of(self.values(metric, contender)).map(|spread| spread.median)
    }

    /// One figure over another, each pair out of one round: what disturbs a round disturbs both.
    pub(crate) fn ratios(&self, of: (&str, &str), over: (&str, &str)) -> Vec<f64> {
        let over = self.rounds(over.0, over.1);
        let pair = |(round, value): &(usize, f64)| {
            let (_, other) = over.iter().find(|(other, _)| other == round)?;
            Some(value / other)
        };
        self.rounds(of.0, of.1).iter().filter_map(pair).collect()
    }

    /// The metrics whose names begin so, with the rest of the name as a number, in its order.
    pub(crate) fn curve(&self, prefix: &str, contender: &str) -> Vec<(f64, f64)> {
        let mut curve: Vec<(f64, f64)> = self
            .samples
            .keys()
            .filter(|(_, of)| of == contender)
            .filter_map(|(metric, _)| {
                let x = metric.strip_prefix(prefix)?.parse().ok()?;
                Some((x, self.median(metric, contender)?))
            })
            .collect();
        curve.sort_by(|a, b| a.0.total_cmp(&b.0));
        curve
    }
}

impl Spread {
    pub(crate) fn of(values: Vec<f64>) -> Option<Self> {
        let at = |values: &[f64], quantile: f64| {
            values[(quantile * (values.len() - 1) as f64).round() as usize]
        };
        let mut values = values;
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        Some(Self { median: at(&values, 0.5), min, max })
    }
}

/// A quantile of a few values; of fewer than a hundred, p99 is the worst.
pub(crate) fn quantile(mut values: Vec<f64>, quantile: f64) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let index = (quantile * values.len() as f64).ceil() as usize;
    values.get(index.clamp(1, values.len().max(1)) - 1).copied()
}
