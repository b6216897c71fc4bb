//! The man pages, made from the command line's own help.

use std::io;

use clap::{Command, CommandFactory};
use clap_mangen::Man;

use super::output::Generated;
use crate::cli::args::Cli;

/// That of the program, and then those of its subcommands.
pub(super) fn pages() -> io::Result<Vec<Generated>> {
    let mut command = Cli::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    let mut open = vec![command];
    while let Some(command) = open.pop() {
        open.extend(command.get_subcommands().filter(|of| !of.is_hide_set()).map(Command::clone));
        let man = Man::new(command);
        let mut text = Vec::new();
        man.render(&mut text)?;
        let text = String::from_utf8(text).map_err(io::Error::other)?;
        pages.push(Generated { name: man.get_filename(), text });
    }
    pages[1..].sort_by(|a, b| a.name.cmp(&b.name));
    Ok(pages)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subcommand_has_a_page_and_its_flags_are_on_it() {
        let pages = pages().unwrap();
        let names: Vec<&str> = pages.iter().map(|page| page.name.as_str()).collect();
        assert_eq!(names[0], "ondemand-container.1");
        for name in ["check", "status", "reload", "advise", "generate", "generate-systemd"] {
            let page =
                pages.iter().find(|page| page.name == format!("ondemand-container-{name}.1"));
            assert!(page.is_some(), "no page {name} among {names:?}");
        }
        let has = |name: &str, word: &str| {
            let page = pages.iter().find(|page| page.name == name).unwrap();
            assert!(page.text.contains(word), "no {word:?} in {}", page.text);
        };
        has("ondemand-container.1", "\\-\\-idle\\-timeout");
        has("ondemand-container-sleep.1", "\\-\\-force");
    }
}
