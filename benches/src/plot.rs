//! Two line plots, as SVG written by hand.

use std::fs;
use std::io;
use std::path::Path;

use crate::contender::ALL;
use crate::record::Record;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 55.0;

/// One colour per place in [`ALL`], told apart by eyes that do not see red and green alike.
const COLOURS: [&str; 10] = [
    "#777777", "#d55e00", "#0072b2", "#009e73", "#56b4e9", "#005c45", "#cc79a7", "#b8a400",
    "#6a3d9a", "#000000",
];

struct Axis {
    title: &'static str,
    from: f64,
    to: f64,
    scale: fn(f64) -> f64,
    ticks: Vec<(f64, String)>,
}

struct Plot {
    title: &'static str,
    x: Axis,
    y: Axis,
    lines: Vec<Line>,
}

/// Name, colour, points.
type Line = (&'static str, &'static str, Vec<(f64, f64)>);

/// Writes `bench-latency.svg` and `bench-memory.svg` into `dir`.
pub(crate) fn write(record: &Record, dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    for (name, plot) in
        [("bench-latency.svg", latency(record)), ("bench-memory.svg", memory(record))]
    {
        if plot.lines.iter().any(|(_, _, points)| points.len() > 1) {
            fs::write(dir.join(name), plot.svg())?;
        }
    }
    Ok(())
}

/// Percentiles far out are as far apart as the tenth part of what is left: 90, 99, 99.9.
fn tail(percent: f64) -> f64 {
    -(1.0 - percent / 100.0).log10()
}

fn latency(record: &Record) -> Plot {
    let lines = lines(record, "latency.at.");
    let (low, high) = range(&lines);
    let decades = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4, 1e5];
    Plot {
        title: "One kept-alive request, everybody on one core",
        x: Axis {
            title: "percentile",
            from: 1.0,
            to: 99.9,
            scale: tail,
            ticks: [1.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9].map(|p| (p, p.to_string())).into(),
        },
        y: Axis {
            title: "µs",
            from: low * 0.9,
            to: high * 1.1,
            scale: f64::log10,
            ticks: decades.map(|us| (us, us.to_string())).into(),
        },
        lines,
    }
}

fn memory(record: &Record) -> Plot {
    let lines = lines(record, "memory.at.");
    let (low, high) = range(&lines);
    let most = lines.iter().flat_map(|(_, _, line)| line).fold(1.0, |most: f64, p| most.max(p.0));
    let marks = [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0];
    Plot {
        title: "User memory of the proxy against idle connections",
        x: Axis {
            title: "connections",
            from: 0.0,
            to: most,
            scale: |x| x,
            ticks: (0..=4)
                .map(|i| most * f64::from(i) / 4.0)
                .map(|x| (x, format!("{x:.0}")))
                .collect(),
        },
        y: Axis {
            title: "anonymous memory, MiB",
            from: low * 0.9,
            to: high * 1.1,
            scale: f64::log10,
            ticks: marks.map(|mib| (mib * 1024.0, mib.to_string())).into(),
        },
        lines,
    }
}

fn lines(record: &Record, prefix: &str) -> Vec<Line> {
    let line = |(name, colour): (&&'static str, &&'static str)| {
        (*name, *colour, record.curve(prefix, name))
    };
    let all = ALL.iter().zip(&COLOURS).map(line);
    all.filter(|(_, _, points)| !points.is_empty()).collect()
}

fn range(lines: &[Line]) -> (f64, f64) {
    let values = lines.iter().flat_map(|(_, _, points)| points.iter().map(|point| point.1));
    values.fold((f64::MAX, 1.0), |(low, high), y| (low.min(y.max(1.0)), high.max(y)))
}

impl Axis {
    /// From 0 to 1 along the axis.
    fn place(&self, value: f64) -> f64 {
        let scale = self.scale;
        let (from, to) = (scale(self.from), scale(self.to));
        (scale(value) - from) / (to - from)
    }

    fn shown(&self) -> impl Iterator<Item = (f64, &str)> {
        let places = self.ticks.iter().map(|(at, text)| (self.place(*at), text.as_str()));
        places.filter(|(place, _)| (-0.001..=1.001).contains(place))
    }
}

impl Plot {
    fn svg(&self) -> String {
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
             font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        );
        let x = |place: f64| LEFT + place * (WIDTH - LEFT - RIGHT);
        let y = |place: f64| HEIGHT - BOTTOM - place * (HEIGHT - TOP - BOTTOM);
        let mut add = |line: String| svg += &(line + "\n");
        add(text(WIDTH / 2.0, 22.0, "middle", "black", self.title));
        for (place, label) in self.x.shown() {
            add(rule(x(place), y(0.0), x(place), y(1.0)));
            add(text(x(place), y(0.0) + 18.0, "middle", "#444", label));
        }
        for (place, label) in self.y.shown() {
            add(rule(x(0.0), y(place), x(1.0), y(place)));
            add(text(x(0.0) - 8.0, y(place) + 4.0, "end", "#444", label));
        }
        add(text(x(0.5), HEIGHT - 12.0, "middle", "black", self.x.title));
        let (tx, ty) = (18.0, y(0.5));
        add(format!(
            "<g transform=\"rotate(-90 {tx} {ty})\">{}</g>",
            text(tx, ty, "middle", "black", self.y.title)
        ));
        for (row, (name, colour, points)) in self.lines.iter().enumerate() {
            let places: Vec<String> = points
                .iter()
                .map(|(px, py)| format!("{:.1},{:.1}", x(self.x.place(*px)), y(self.y.place(*py))))
                .collect();
            let line = places.join(" ");
            add(format!(
                "<polyline points=\"{line}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
            ));
            let legend = TOP + 10.0 + row as f64 * 20.0;
            add(text(WIDTH - RIGHT + 14.0, legend, "start", colour, name));
        }
        svg + "</svg>\n"
    }
}

fn rule(x1: f64, y1: f64, x2: f64, y2: f64) -> String {
    format!("<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#ddd\"/>")
}

fn text(x: f64, y: f64, anchor: &str, colour: &str, text: &str) -> String {
    format!(
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{text}</text>"
    )
}
