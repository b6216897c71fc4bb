//! check
use super::Failure;
use super::args::RunArgs;
use crate::listen::Inherited;

pub(super) fn check(_args: &RunArgs, _inherited: &Inherited) -> Result<(), Failure> {
    Ok(())
}
