//! `generate`: man page, shell completions and the configuration file's schema.

use std::io::{self, Write};

use clap::CommandFactory;

use super::Failure;
use super::args::{Cli, GenerateArgs, Generated};
use crate::config::schema::schema;

/// Prints what was asked for on standard output.
pub(super) fn generate(args: &GenerateArgs) -> Result<(), Failure> {
    let mut command = Cli::command();
    let mut text = Vec::new();
    match args.what {
        Generated::Man => {
            clap_mangen::Man::new(command).render(&mut text).map_err(Failure::runtime)?;
        }
        Generated::Completions => {
            clap_complete::generate(args.shell, &mut command, "ondemand-container", &mut text);
        }
        Generated::Schema => {
            text = serde_json::to_vec_pretty(&schema()).map_err(Failure::runtime)?;
            text.push(b'\n');
        }
    }
    match io::stdout().write_all(&text) {
        // A reader that has seen enough (`| head`) is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::runtime(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}
