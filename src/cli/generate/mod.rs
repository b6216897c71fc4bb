//! `generate`: what a deployment is made of, written out: man page, completions, schema, units,
//! Quadlets and labels.
//!
//! Nothing is asked of an engine, and nothing of the machine but whether files are there already.

pub(super) mod args;
mod command;
mod compose_labels;
mod man;
mod output;
mod quadlet;
mod quote;
mod systemd;

use anyhow::Context;
use clap::CommandFactory;

use super::Failure;
use super::args::{Cli, RunArgs};
use crate::config::NO_CONTROL;
use crate::config::schema::schema;
use crate::history::NO_HISTORY;
use args::Generate;
use output::{print, write};

/// Writes what was asked for.
pub(super) fn generate(what: &Generate) -> Result<(), Failure> {
    match what {
        Generate::Man(folder) => {
            let pages = man::pages().map_err(Failure::runtime)?;
            match &folder.output_dir {
                None => print(pages[0].text.as_bytes()),
                Some(_) => write(folder, &pages),
            }
        }
        Generate::Completions(args) => {
            let mut text = Vec::new();
            let name = "ondemand-container";
            clap_complete::generate(args.shell, &mut Cli::command(), name, &mut text);
            print(&text)
        }
        Generate::Schema => {
            let mut text = serde_json::to_vec_pretty(&schema()).map_err(Failure::runtime)?;
            text.push(b'\n');
            print(&text)
        }
        Generate::Systemd(args) => {
            let units = systemd::units(args).map_err(Failure::config)?;
            write(&args.output.folder, &units)
        }
        Generate::Quadlet(args) => {
            let file = quadlet::container(args).map_err(Failure::config)?;
            write(&args.output.folder, &[file])
        }
        Generate::ComposeLabels(args) => {
            let text = compose_labels::labels(args).map_err(Failure::config)?;
            print(text.as_bytes())
        }
    }
}

/// The daemon does not run where this is said.
fn make_absolute(run: &mut RunArgs) -> anyhow::Result<()> {
    let control = run.control.as_mut().filter(|path| path.as_os_str() != NO_CONTROL);
    let history = run.history.as_mut().filter(|path| path.as_os_str() != NO_HISTORY);
    for path in [run.config.as_mut(), control, history].into_iter().flatten() {
        *path = std::path::absolute(&*path).context("the working directory is not known")?;
    }
    Ok(())
}
