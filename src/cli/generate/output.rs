//! Where what was generated goes.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::args::FolderArgs;
use crate::cli::Failure;

/// A file that was generated.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Generated {
    /// Its name, without a folder.
    pub(super) name: String,
    /// What is in it, its last line ended.
    pub(super) text: String,
}

/// Writes the files into the folder that was said, all or none; else all of them to standard output,
/// each headed by its name.
pub(super) fn write(to: &FolderArgs, files: &[Generated]) -> Result<(), Failure> {
    let Some(dir) = &to.output_dir else {
        let headed = files.iter().map(|file| format!("# {}\n{}", file.name, file.text));
        return print(headed.collect::<Vec<_>>().join("\n").as_bytes());
    };
    let old = if to.force { Old::Replaced } else { Old::Kept };
    let written = into(dir, files, old).map_err(Failure::runtime)?;
    let lines = written.iter().map(|path| format!("{}\n", path.display()));
    print(lines.collect::<String>().as_bytes())
}

/// Prints on standard output.
pub(super) fn print(text: &[u8]) -> Result<(), Failure> {
    match io::stdout().write_all(text) {
        // A reader that has seen enough (`| head`) is no failure.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::runtime(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// What becomes of a file that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Old {
    Kept,
    Replaced,
}

fn into(dir: &Path, files: &[Generated], old: Old) -> anyhow::Result<Vec<PathBuf>> {
    fs::create_dir_all(dir).with_context(|| format!("{} cannot be made", dir.display()))?;
    let paths: Vec<PathBuf> = files.iter().map(|file| dir.join(&file.name)).collect();
    let there = |path: &&PathBuf| path.symlink_metadata().is_ok();
    let kept: Vec<_> = paths.iter().filter(there).map(|path| path.display().to_string()).collect();
    anyhow::ensure!(
        old == Old::Replaced || kept.is_empty(),
        "{} there already, and nothing was written: give another --output-dir, or --force to \
         replace what is there",
        match &kept[..] {
            [one] => format!("{one} is"),
            several => format!("{} are", several.join(", ")),
        }
    );
    for (file, path) in files.iter().zip(&paths) {
        place(path, &file.text).with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(paths)
}

/// Whoever looks sees the old file or the new one, whole; a link is replaced, not followed.
fn place(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    let placed = File::create(&new)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| fs::rename(&new, path));
    if placed.is_err() {
        // It may not be there at all.
        drop(fs::remove_file(&new));
    }
    placed
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All or none: nothing is written beside what is there.
    #[test]
    fn what_is_there_is_replaced_only_when_told() {
        let dir = std::env::temp_dir().join(format!("odt-{}-output", std::process::id()));
        let file = |name: &str, text: &str| Generated { name: name.into(), text: text.into() };
        let read = |name: &str| fs::read_to_string(dir.join(name)).ok();
        let first = into(&dir, &[file("b", "old")], Old::Kept);
        let both = [file("a", "new"), file("b", "new")];
        let refused = into(&dir, &both, Old::Kept);
        let then = (read("a"), read("b"));
        let replaced = into(&dir, &both, Old::Replaced);
        let last = (read("a"), read("b"), fs::read_dir(&dir).map(Iterator::count).ok());
        _ = fs::remove_dir_all(&dir);
        assert_eq!(first.unwrap(), [dir.join("b")]);
        let refused = refused.unwrap_err().to_string();
        assert!(
            refused.contains("/b is there already") && refused.contains("--force"),
            "{refused}"
        );
        assert_eq!(then, (None, Some("old".to_owned())));
        assert_eq!(replaced.unwrap().len(), 2);
        assert_eq!(last, (Some("new".to_owned()), Some("new".to_owned()), Some(2)));
    }
}
