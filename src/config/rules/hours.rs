//! `--awake`, `--asleep`, `--asleep-clients`: what holds by the clock.

use clap::ValueEnum;
use jiff::Timestamp;

use crate::calendar::{Weekly, covers, next_change};
use crate::config::{Options, Wrong};

/// The hours of a service.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hours {
    /// It is kept awake in these.
    pub awake: Vec<Weekly>,
    /// It is kept asleep in these.
    pub asleep: Vec<Weekly>,
    /// What becomes of clients that come then.
    pub clients: AsleepClients,
}

/// What the clock wants for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spell {
    /// What it wants.
    pub wish: Wish,
    /// When it wants something else, or the same anew; `None` is never.
    pub until: Option<Timestamp>,
}

/// What the clock wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Nothing: use decides.
    Nothing,
    /// That it is awake.
    Awake,
    /// That it is asleep.
    Asleep,
}

impl Hours {
    /// Whether the clock has a say at all.
    pub fn any(&self) -> bool {
        !self.awake.is_empty() || !self.asleep.is_empty()
    }

    /// What the clock wants: asleep outranks awake.
    pub fn at(&self, now: Timestamp) -> Spell {
        let asleep = next_change(&self.asleep, now);
        if covers(&self.asleep, now) {
            return Spell { wish: Wish::Asleep, until: asleep };
        }
        let wish = if covers(&self.awake, now) { Wish::Awake } else { Wish::Nothing };
        let changes = [asleep, next_change(&self.awake, now)];
        Spell { wish, until: changes.into_iter().flatten().min() }
    }

    /// A moment as it is written where the hours hold.
    pub fn show(&self, moment: Timestamp) -> String {
        let first = self.asleep.iter().chain(&self.awake).next();
        first.map_or_else(|| moment.to_string(), |hours| hours.show(moment))
    }

    /// What the clock wants now, in a sentence.
    pub fn tell(&self, now: Timestamp) -> String {
        let Spell { wish, until } = self.at(now);
        let until = until.map(|until| self.show(until));
        let what = match (wish, &until) {
            (Wish::Awake, _) => "kept awake by its hours",
            (Wish::Asleep, _) => "kept asleep by its hours",
            (Wish::Nothing, Some(until)) => return format!("its hours begin next at {until}"),
            (Wish::Nothing, None) => return "its hours never come".to_owned(),
        };
        match until {
            Some(until) => format!("{what} until {until}"),
            None => format!("{what}, always"),
        }
    }
}

/// What becomes of clients that come while it is kept asleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, ValueEnum)]
pub enum AsleepClients {
    /// They are refused
    #[default]
    Refuse,
    /// They are held until it may be woken
    Hold,
    /// They wake it
    Wake,
}

/// What the options mean together.
pub fn hours(options: &Options) -> Result<Hours, Vec<Wrong>> {
    let mut wrong = Vec::new();
    let mut all = |key, texts: &[String]| -> Vec<Weekly> {
        texts
            .iter()
            .filter_map(|text| {
                Weekly::parse(text).map_err(|error| wrong.push(Wrong::new(key, error))).ok()
            })
            .collect()
    };
    let awake = all("awake", &options.awake);
    let asleep = all("asleep", &options.asleep);
    if options.asleep_clients.is_some() && options.asleep.is_empty() {
        let text = "says what becomes of clients while it is kept asleep: add --asleep";
        wrong.push(Wrong::new("asleep-clients", text));
    }
    let clients = options.asleep_clients.unwrap_or_default();
    if wrong.is_empty() { Ok(Hours { awake, asleep, clients }) } else { Err(wrong) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asleep_outranks_awake_which_goes_on_afterwards() {
        let list = |text| vec![Weekly::parse(text).unwrap()];
        let hours = Hours {
            awake: list("08:00-18:00 UTC"),
            asleep: list("06:00-09:00,12:00-13:00,17:00-20:00 UTC"),
            clients: AsleepClients::Refuse,
        };
        let time = |text: &str| format!("2026-11-23T{text}:00Z").parse::<Timestamp>().unwrap();
        for (now, wish, until) in [
            ("05:00", Wish::Nothing, "06:00"),
            ("08:30", Wish::Asleep, "09:00"),
            ("09:00", Wish::Awake, "12:00"),
            ("12:30", Wish::Asleep, "13:00"),
            ("13:00", Wish::Awake, "17:00"),
            ("17:00", Wish::Asleep, "20:00"),
        ] {
            let spell = Spell { wish, until: Some(time(until)) };
            assert_eq!(hours.at(time(now)), spell, "{now}");
        }
        let told = "kept asleep by its hours until Mon 2026-11-23 09:00 +00:00";
        assert_eq!(hours.tell(time("08:30")), told);
        assert_eq!(
            hours.tell(time("05:00")),
            "its hours begin next at Mon 2026-11-23 06:00 +00:00"
        );
    }

    #[test]
    fn hours_without_an_end_have_none() {
        let now = Timestamp::UNIX_EPOCH;
        let always = vec![Weekly::parse("00:00-24:00 UTC").unwrap()];
        let hours = Hours { awake: always.clone(), ..Hours::default() };
        assert_eq!(hours.at(now), Spell { wish: Wish::Awake, until: None });
        assert_eq!(hours.tell(now), "kept awake by its hours, always");
        let hours = Hours { asleep: always, ..hours };
        assert_eq!(hours.at(now), Spell { wish: Wish::Asleep, until: None });
        assert_eq!(Hours::default().at(now), Spell { wish: Wish::Nothing, until: None });
    }
}
