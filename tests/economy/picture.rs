//! `docs/idle-window.svg`, drawn from the simulation.

use std::fmt::Write;
use std::fs;

use crate::simulation::{Ratios, all};

const PICTURE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/idle-window.svg");

const WIDTH: f64 = 760.0;
const LEFT: f64 = 210.0;
const RIGHT: f64 = 96.0;
const TOP: f64 = 78.0;
const ROW: f64 = 26.0;

/// The axis ends with it.
const MOST: f64 = 10.0;

const AUTO: &str = "#0072b2";
const FIXED: &str = "#d55e00";
const BREAK_EVEN: &str = "#888888";

/// The variable `DRAW` has it drawn anew first.
#[test]
fn the_picture_of_the_docs_is_what_the_simulation_draws() {
    let svg = svg(&all());
    if std::env::var_os("DRAW").is_some() {
        fs::write(PICTURE, &svg).unwrap();
    }
    let drawn = fs::read_to_string(PICTURE).unwrap() == svg;
    assert!(drawn, "it has changed: DRAW=1 cargo test --test economy picture");
}

fn svg(rows: &[Ratios]) -> String {
    let bottom = TOP + ROW * f64::from(u32::try_from(rows.len()).unwrap());
    let height = bottom + 50.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text(
        &mut svg,
        (14.0, 24.0),
        "start",
        "black",
        "Cost, as a multiple of the best fixed window in hindsight",
    );
    for (at, colour, name) in [
        (14.0, AUTO, "--idle-timeout auto"),
        (164.0, FIXED, "always 15m"),
        (264.0, BREAK_EVEN, "always what a cold start is worth"),
    ] {
        dot(&mut svg, (at + 5.0, 44.0), colour);
        text(&mut svg, (at + 16.0, 48.0), "start", "black", name);
    }
    text(&mut svg, (WIDTH - 14.0, 48.0), "end", "#444", "best window");
    for tick in [1.0, 2.0, 3.0, 5.0, 10.0] {
        let strong = if tick < 2.5 { "#444" } else { "#ddd" };
        let dashes = if (tick - 2.0_f64).abs() < 0.1 { " stroke-dasharray=\"5 4\"" } else { "" };
        let x = x(tick);
        _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\" \
             stroke=\"{strong}\"{dashes}/>",
            TOP - 10.0,
        );
        text(&mut svg, (x, bottom + 16.0), "middle", "#444", &format!("{tick}"));
    }
    text(&mut svg, (x(1.0), bottom + 36.0), "middle", "black", "the best");
    text(&mut svg, (x(2.0), bottom + 36.0), "middle", "black", "the guarantee");
    for (number, row) in (0_u32..).zip(rows) {
        let y = TOP + ROW * (f64::from(number) + 0.5);
        text(&mut svg, (LEFT - 24.0, y + 4.0), "end", "black", row.name);
        _ = writeln!(
            svg,
            "<line x1=\"{LEFT:.1}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{y:.1}\" stroke=\"#eee\"/>",
            WIDTH - RIGHT,
        );
        for (ratio, colour) in [(row.break_even, BREAK_EVEN), (row.fixed, FIXED), (row.auto, AUTO)]
        {
            dot(&mut svg, (x(ratio), y), colour);
        }
        let best = format!("{:.0} s", row.best);
        text(&mut svg, (WIDTH - 14.0, y + 4.0), "end", "#444", &best);
    }
    svg + "</svg>\n"
}

fn x(ratio: f64) -> f64 {
    LEFT + ratio.clamp(1.0, MOST).ln() / MOST.ln() * (WIDTH - LEFT - RIGHT)
}

fn dot(svg: &mut String, at: (f64, f64), colour: &str) {
    _ = writeln!(
        svg,
        "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"5\" fill=\"{colour}\" stroke=\"white\"/>",
        at.0, at.1,
    );
}

fn text(svg: &mut String, at: (f64, f64), anchor: &str, colour: &str, text: &str) {
    _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" fill=\"{colour}\">{text}</text>",
        at.0, at.1,
    );
}
