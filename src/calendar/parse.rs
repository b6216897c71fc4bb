//! `Mon-Fri 08:00-18:00 Europe/Berlin`

use jiff::tz::TimeZone;

use super::{Days, Weekly, Window};

/// The names of the days, from Monday; their first three letters are enough.
const NAMES: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

const DAY: u32 = 24 * 60 * 60;

const FORM: &str = "[DAYS] HH:MM-HH:MM [ZONE], like 08:00-18:00, Mon-Fri 08:00-12:00,13:00-18:00 or \
                    Sat,Sun 22:00-06:00 Europe/Berlin";

impl Weekly {
    /// Understands the option's value; an error says what is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |why: String| format!("{text:?}: {why}");
        let joined = join(text);
        let mut words = joined.split_whitespace().peekable();
        let is_time = |word: &&str| word.starts_with(|first: char| first.is_ascii_digit());
        let days = match words.next_if(|word| !is_time(word)) {
            Some(word) => days(word).map_err(wrong)?,
            None => Days::ALL,
        };
        let Some(times) = words.next().filter(is_time) else {
            return Err(wrong(format!("its hours are missing: {FORM}")));
        };
        let windows = times.split(',').map(window).collect::<Result<Vec<_>, _>>().map_err(wrong)?;
        let zone = zone(words.next()).map_err(wrong)?;
        if let Some(more) = words.next() {
            return Err(wrong(format!("{more:?} is too much: {FORM}")));
        }
        Ok(Self { text: text.trim().to_owned(), days, windows, zone })
    }
}

/// Without the spaces around commas and dashes.
fn join(text: &str) -> String {
    let mut joined = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for mark in [",", "-"] {
        let parts: Vec<_> = joined.split(mark).map(str::trim).collect();
        joined = parts.join(mark);
    }
    joined
}

fn days(text: &str) -> Result<Days, String> {
    let mut bits = 0;
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (day(first)?, day(last)?);
        // Fri-Mon goes over Sunday.
        let span = (last + 7 - first) % 7;
        bits |= (0..=span).fold(0, |bits, far| bits | 1 << ((first + far) % 7));
    }
    Ok(Days(bits))
}

/// Its place in the week.
fn day(text: &str) -> Result<usize, String> {
    let small = text.to_lowercase();
    let is = |name: &&str| small == **name || small == name[..3];
    NAMES.iter().position(is).ok_or_else(|| {
        format!(
            "{text:?} is no day of the week: days are Mon to Sun, like Mon-Fri or Sat,Sun; {FORM}"
        )
    })
}

fn window(text: &str) -> Result<Window, String> {
    let Some((begins, ends)) = text.split_once('-') else {
        return Err(format!("{text:?} has no end: {FORM}"));
    };
    let (begins, ends) = (time(begins)?, time(ends)?);
    if begins == DAY {
        return Err("a day begins at 00:00, and only an end may be 24:00".to_owned());
    }
    // One that ends before it begins does so on the next day.
    Ok(Window { begins, ends: if ends > begins { ends } else { ends + DAY } })
}

/// Seconds of the day.
fn time(text: &str) -> Result<u32, String> {
    let wrong = || {
        format!("{text:?} is no time of the day: 00:00 to 24:00, with seconds if wanted (08:30:15)")
    };
    let part = |text: &str| {
        let number = text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        number.then(|| text.parse::<u32>().ok()).flatten().ok_or_else(wrong)
    };
    let mut parts = text.split(':');
    let (Some(hours), Some(minutes), seconds, None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(wrong());
    };
    if minutes.len() != 2 || seconds.is_some_and(|seconds| seconds.len() != 2) {
        return Err(wrong());
    }
    let (hours, minutes) = (part(hours)?, part(minutes)?);
    let seconds = seconds.map_or(Ok(0), part)?;
    let all = hours * 3600 + minutes * 60 + seconds;
    if minutes < 60 && seconds < 60 && all <= DAY { Ok(all) } else { Err(wrong()) }
}

/// Of that name, or the system's.
fn zone(name: Option<&str>) -> Result<TimeZone, String> {
    match name {
        Some(name) => TimeZone::get(name).map_err(|_| {
            format!(
                "{name:?} is no time zone: zones are Europe/Berlin, America/New_York, UTC, …; none is \
                 the system's"
            )
        }),
        None => match std::env::var("TZ") {
            // A mistake there would shift the hours without a word.
            Ok(named) if !named.is_empty() => TimeZone::try_system().map_err(|_| {
                format!("no zone is named, and the environment's TZ={named:?} is none that is known")
            }),
            // Without /etc/localtime it is UTC, as everywhere.
            Ok(_) | Err(_) => Ok(TimeZone::try_system().unwrap_or(TimeZone::UTC)),
        },
    }
}
