//! Cost, cold starts and free memory against the window: an SVG written by hand.

use std::fmt::Write;
use std::time::Duration;

use super::Past;
use super::rows::{Advice, Row};
use super::table::time;
use crate::activation::{Tiers, Window};
use crate::config::duration::IdleTimeout;
use crate::economy::{Plan, Scene};

const WIDTH: f64 = 760.0;
const PANEL: f64 = 180.0;
const HEIGHT: f64 = 3.0 * PANEL + 44.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 150.0;
/// Of a panel, above and below the area with the lines.
const TOP: f64 = 34.0;
const BOTTOM: f64 = 20.0;

/// Told apart by eyes that do not see red and green alike.
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7"];

/// So many windows are tried, evenly apart on the axis.
const STEPS: u32 = 80;

/// Of the vertical axis, above zero.
const MOST_MARKS: u32 = 5;

/// The axis begins with a second and ends with a week at most.
const LONGEST: f64 = 604_800.0;

/// Marks of the axis, as far as they are on it.
const TICKS: [f64; 10] =
    [1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 86_400.0, 604_800.0];

/// What is drawn of a row.
type Value = fn(&Row) -> f64;

/// What is drawn, one above the other.
const PANELS: [(&str, Value); 3] = [
    ("cost, in hours of being awake", |row| row.cost_seconds / 3600.0),
    ("cold starts", Row::cold_starts),
    ("memory saved, in GiB·h", |row| row.gib_hours_saved),
];

/// A depth, and what comes of it with each window.
struct Curve<'a> {
    name: &'a str,
    colour: &'static str,
    tiers: Tiers,
    points: Vec<(f64, Row)>,
}

/// The picture. Of depths, the first four are drawn.
pub(super) fn svg(past: &Past, advice: &Advice, scene: &Scene) -> String {
    let asked = advice.rows.iter().filter_map(|row| row.window_seconds);
    let longest = asked.fold(advice.idle_max_seconds, f64::max).clamp(60.0, LONGEST);
    let curves = curves(past, advice, scene, longest);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (number, (title, value)) in (0_u32..).zip(PANELS) {
        let top = f64::from(number) * PANEL;
        let all = curves.iter().flat_map(|curve| &curve.points).map(|(_, row)| value(row));
        let area = Area::new(top, longest, all.fold(0.0, f64::max));
        area.draw(&mut svg, title, value, &curves, advice);
    }
    text(
        &mut svg,
        (f64::midpoint(LEFT, WIDTH - RIGHT), HEIGHT - 12.0),
        "middle",
        "black",
        "idle window",
    );
    legend(&mut svg, &curves);
    svg + "</svg>\n"
}

fn curves<'a>(past: &Past, advice: &'a Advice, scene: &Scene, longest: f64) -> Vec<Curve<'a>> {
    let mut curves: Vec<Curve<'a>> = Vec::new();
    for row in &advice.rows {
        let tiers = row.plan.tiers;
        let known = curves.iter().any(|curve| curve.tiers == tiers);
        let Some(colour) = COLOURS.get(curves.len()).filter(|_| !known) else { continue };
        let point = |step| {
            let window = longest.powf(f64::from(step) / f64::from(STEPS));
            let idle = IdleTimeout::Fixed(Window::After(Duration::from_secs_f64(window)));
            (window, Row::new(Plan { idle, tiers }, past, advice.memory_bytes, scene))
        };
        let points = (0..=STEPS).map(point).collect();
        curves.push(Curve { name: &row.sleep, colour, tiers, points });
    }
    curves
}

/// Where a panel is, and what its axes span.
struct Area {
    top: f64,
    longest: f64,
    /// Between the marks of the vertical axis.
    step: f64,
    /// The last of them.
    most: f64,
}

impl Area {
    fn new(top: f64, longest: f64, most: f64) -> Self {
        let step = step(most);
        Self { top, longest, step, most: (most / step).ceil().max(1.0) * step }
    }

    fn x(&self, window: f64) -> f64 {
        LEFT + window.max(1.0).ln() / self.longest.ln() * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        self.top + TOP + (PANEL - TOP - BOTTOM) * (1.0 - value / self.most)
    }

    fn draw(
        &self,
        svg: &mut String,
        title: &str,
        value: Value,
        curves: &[Curve<'_>],
        advice: &Advice,
    ) {
        let bottom = self.y(0.0);
        text(svg, (LEFT, self.top + TOP - 12.0), "start", "black", title);
        for tick in TICKS.into_iter().filter(|tick| *tick <= self.longest) {
            rule(svg, (self.x(tick), self.y(self.most)), (self.x(tick), bottom), "#ddd");
            text(svg, (self.x(tick), bottom + 15.0), "middle", "#444", &time(tick));
        }
        let marks = (0..=MOST_MARKS).map(|number| f64::from(number) * self.step);
        for tick in marks.filter(|tick| *tick <= self.most * 1.001) {
            rule(svg, (LEFT, self.y(tick)), (WIDTH - RIGHT, self.y(tick)), "#ddd");
            text(svg, (LEFT - 8.0, self.y(tick) + 4.0), "end", "#444", &short(tick));
        }
        for curve in curves {
            self.curve(svg, curve, value);
            for row in advice.rows.iter().filter(|row| row.plan.tiers == curve.tiers) {
                self.row(svg, row, value, curve.colour);
            }
        }
    }

    fn curve(&self, svg: &mut String, curve: &Curve<'_>, value: Value) {
        let place = |(window, row): &(f64, Row)| {
            format!("{:.1},{:.1}", self.x(*window), self.y(value(row)))
        };
        let line = curve.points.iter().map(place).collect::<Vec<_>>().join(" ");
        _ = writeln!(
            svg,
            "<polyline points=\"{line}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>",
            curve.colour,
        );
    }

    /// A point for a window that was asked for; for auto, whose window changes, a dashed line.
    fn row(&self, svg: &mut String, row: &Row, value: Value, colour: &str) {
        let y = self.y(value(row));
        match (row.window_seconds, row.last_window_seconds) {
            (Some(window), _) if window <= self.longest => {
                _ = writeln!(
                    svg,
                    "<circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"3.5\" fill=\"{colour}\"/>",
                    self.x(window),
                );
            }
            (None, Some(_)) => {
                _ = writeln!(
                    svg,
                    "<line x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" \
                     stroke=\"{colour}\" stroke-dasharray=\"5 4\"/>",
                    WIDTH - RIGHT,
                );
                text(svg, (WIDTH - RIGHT + 6.0, y + 4.0), "start", colour, "auto");
            }
            (Some(_) | None, _) => {}
        }
    }
}

fn legend(svg: &mut String, curves: &[Curve<'_>]) {
    let x = WIDTH - RIGHT + 48.0;
    for (row, curve) in (0_u32..).zip(curves) {
        let y = TOP + 4.0 + f64::from(row) * 16.0;
        text(svg, (x, y), "start", curve.colour, curve.name);
    }
}

/// A round number, a few of which reach so far.
fn step(most: f64) -> f64 {
    let least = (most / f64::from(MOST_MARKS)).max(1e-6);
    let decade = 10_f64.powf(least.log10().floor());
    let round = [1.0, 2.0, 2.5, 5.0, 10.0].map(|factor| factor * decade);
    round.into_iter().find(|step| *step >= least).unwrap_or(least)
}

/// As many digits as it needs.
fn short(value: f64) -> String {
    let digits = if value >= 10.0 || value == 0.0 { 0 } else { 2 };
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn rule(svg: &mut String, from: (f64, f64), to: (f64, f64), colour: &str) {
    _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"{colour}\"/>",
        from.0, from.1, to.0, to.1,
    );
}

fn text(svg: &mut String, at: (f64, f64), anchor: &str, colour: &str, text: &str) {
    _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{text}</text>",
        at.0, at.1,
    );
}

#[cfg(test)]
#[expect(clippy::float_cmp, reason = "these are exact")]
mod tests {
    use super::*;

    #[test]
    fn few_steps_reach_as_far_as_is_needed() {
        assert_eq!(step(5.0), 1.0);
        assert_eq!(step(5.1), 2.0);
        assert_eq!(step(39.0), 10.0);
        assert_eq!(Area::new(0.0, 60.0, 223.0).most, 250.0);
        assert!(step(0.0) > 0.0);
        assert_eq!([short(0.0), short(0.25), short(2.5), short(40.0)], ["0", "0.25", "2.5", "40"]);
    }
}
