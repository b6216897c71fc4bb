//! Arguments, handed over sockets, and the exit status; the rest is the library's.

use std::process::ExitCode;

use clap::Parser;
use ondemand_container::cli::args::Cli;
use ondemand_container::listen::Inherited;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Edits the environment, so it comes before any thread.
    let inherited = Inherited::from_env();
    match ondemand_container::cli::main(cli, inherited) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            #[expect(clippy::print_stderr, reason = "the log may not exist, or be elsewhere")]
            for line in format!("{:#}", failure.error).lines() {
                eprintln!("ondemand-container: {line}");
            }
            failure.status.into()
        }
    }
}
