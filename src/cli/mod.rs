//! The command line and its subcommands, a file each.

mod advise;
pub mod args;
mod check;
mod exit;
mod generate;
mod given;
mod remote;
mod run;

pub use exit::{Failure, Status};

use crate::listen::Inherited;
use args::{Cli, Command};

/// Does what the command line asks; `inherited` was taken before any thread.
pub fn main(cli: Cli, inherited: Inherited) -> Result<(), Failure> {
    match cli.command {
        None => run::run(&cli.run, inherited),
        Some(Command::Check(args)) => check::check(&args, &inherited),
        Some(Command::Status(args)) => remote::status(&args),
        Some(Command::Wake(args)) => remote::wake(&args),
        Some(Command::Sleep(args)) => remote::sleep(&args),
        Some(Command::Hold(args)) => remote::hold(&args),
        Some(Command::Release(args)) => remote::release(&args),
        Some(Command::Why(args)) => remote::why(&args),
        Some(Command::Reload(args)) => remote::reload(&args),
        Some(Command::Events(args)) => remote::events(&args),
        Some(Command::Advise(args)) => advise::advise(&args),
        Some(Command::Generate(args)) => generate::generate(&args),
    }
}
