//! The records of the process, and the task that keeps the file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Book, Record, Unread, file};
use crate::clock::unix_time;

/// Changes are written no more often than this.
const PAUSE: Duration = Duration::from_secs(10);

/// The word for keeping no file.
pub const NO_HISTORY: &str = "none";

/// The file's name in the folder that systemd gives.
const NAME: &str = "history.json";

/// What goes on with a file that cannot be used.
const GOES_ON: &str = "the history is not kept: the daemon goes on without. Mend that and start it anew, \
                       or turn the history off with --history none";

/// All records, and where they are kept.
#[derive(Debug)]
pub struct Store {
    /// None if they are not.
    path: Option<PathBuf>,
    book: Mutex<Book>,
    told: Arc<Told>,
}

/// How services say that there is something to be written.
#[derive(Debug, Default)]
pub struct Told {
    changed: Notify,
    urgent: Notify,
}

impl Told {
    /// In its time.
    pub fn changed(&self) {
        self.changed.notify_one();
    }

    /// Now.
    pub fn at_once(&self) {
        self.urgent.notify_one();
    }
}

/// Where the file is: where somebody has said, in the folder that systemd gives, or nowhere.
pub fn place(said: Option<&Path>) -> Option<PathBuf> {
    match said {
        Some(path) if path.as_os_str() == NO_HISTORY => None,
        Some(path) => Some(path.to_owned()),
        None => in_state_directory(&std::env::var("STATE_DIRECTORY").ok()?),
    }
}

/// systemd.exec(5): paths with colons between.
fn in_state_directory(folders: &str) -> Option<PathBuf> {
    let first = folders.split(':').next().filter(|folder| !folder.is_empty())?;
    Some(Path::new(first).join(NAME))
}

impl Store {
    /// Reads what is there. Blocking; whatever is wrong is told.
    pub fn open(path: Option<PathBuf>) -> Self {
        let (path, book) = match path {
            None => (None, Book::default()),
            Some(path) => read(path),
        };
        Self { path, book: Mutex::new(book), told: Arc::default() }
    }

    /// What is remembered of that service; nothing of one that is not known.
    pub fn recall(&self, name: &str) -> Record {
        self.lock().records.get(name).cloned().unwrap_or_default()
    }

    /// Remembers that of a service that is served no more. Nobody holds it then.
    pub fn leave(&self, name: &str, record: Record) {
        let configured_at = unix_time().as_secs();
        let record = Record { hold: None, configured_at, ..record };
        self.lock().records.insert(name.to_owned(), record);
        self.told.changed();
    }

    /// A service has another name now, and what is remembered of it goes with it.
    pub fn forget(&self, name: &str) {
        self.lock().records.remove(name);
    }

    /// How its services say that there is something to be written.
    pub fn told(&self) -> &Arc<Told> {
        &self.told
    }

    /// Keeps the file until `ended`, and once more then; `records` are those of the services of now.
    pub async fn keep(
        self: Arc<Self>,
        records: impl Fn() -> Vec<(String, Record)>,
        ended: CancellationToken,
    ) {
        let Some(path) = self.path.clone() else { return };
        let mut complained = false;
        loop {
            let last = ended.is_cancelled();
            let (store, path, records) = (Arc::clone(&self), path.clone(), records());
            let written = spawn_blocking(move || {
                let text = store.text(records);
                file::write(&path, &text).map_err(|error| (path, error))
            });
            match written.await {
                Ok(Ok(())) => {}
                // Once is enough: it is tried again, and most likely goes on as it began.
                Ok(Err((path, error))) if complained => {
                    debug!(path = %path.display(), %error, "the history cannot be written");
                }
                Ok(Err((path, error))) => {
                    complained = true;
                    warn!(
                        path = %path.display(), %error,
                        "the history cannot be written; the daemon goes on and tries again: make room \
                         or give it a folder that it may write to, or turn it off with --history none"
                    );
                }
                Err(error) => warn!(%error, "the history cannot be written"),
            }
            if last {
                return;
            }
            let changed = async {
                sleep(PAUSE).await;
                self.told.changed.notified().await;
            };
            tokio::select! {
                () = changed => {}
                () = self.told.urgent.notified() => {}
                () = ended.cancelled() => {}
            }
        }
    }

    /// The file with those records in it.
    fn text(&self, records: Vec<(String, Record)>) -> Vec<u8> {
        let now = unix_time().as_secs();
        let mut book = self.lock();
        for (name, record) in records {
            book.records.insert(name, Record { configured_at: now, ..record });
        }
        book.forget(now);
        book.text()
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the file says, and where to write from now on.
fn read(path: PathBuf) -> (Option<PathBuf>, Book) {
    let said = path.display().to_string();
    let text = match file::read(&path) {
        Ok(None) => return (Some(path), Book::default()),
        Ok(Some(text)) => text,
        Err(error) => {
            warn!(path = said, %error, "it cannot be read, so {GOES_ON}");
            return (None, Book::default());
        }
    };
    match Book::parse(&text) {
        Ok(book) => (Some(path), book),
        Err(newer @ Unread::Newer(_)) => {
            warn!(path = said, error = %newer, "it is left alone, so {GOES_ON}");
            (None, Book::default())
        }
        Err(Unread::Broken(error)) => match file::set_aside(&path) {
            Ok(aside) => {
                warn!(
                    path = said, error, aside = %aside.display(),
                    "the history is broken: it was put aside, and a new one is begun; remove it, or mend \
                     it and put it back while the daemon does not run"
                );
                (Some(path), Book::default())
            }
            Err(aside) => {
                warn!(path = said, error, %aside, "it is broken and cannot be put aside, so {GOES_ON}");
                (None, Book::default())
            }
        },
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn some(woken: u64) -> Record {
        Record { woken, ..Record::default() }
    }

    #[test]
    fn a_path_outranks_the_folder_of_systemd_and_none_is_none() {
        assert_eq!(place(Some(Path::new("none"))), None);
        assert_eq!(place(Some(Path::new("/x/y"))), Some("/x/y".into()));
        let of = |folders| in_state_directory(folders);
        assert_eq!(of("/var/lib/a:/var/lib/b"), Some("/var/lib/a/history.json".into()));
        assert_eq!(of(""), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_kept_is_recalled_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.json");
        let store = Arc::new(Store::open(Some(path.clone())));
        assert_eq!(store.recall("a"), Record::default());
        store.leave("gone", Record { hold: Some(crate::history::Hold::new(None)), ..some(1) });
        let ended = CancellationToken::new();
        ended.cancel();
        store.keep(|| vec![("a".to_owned(), some(2))], ended).await;
        let next = Store::open(Some(path.clone()));
        assert_eq!(next.recall("a").woken, 2);
        assert_eq!((next.recall("gone").woken, next.recall("gone").hold), (1, None));
        assert!(next.recall("a").configured_at > 0);
        next.forget("a");
        assert_eq!(next.recall("a"), Record::default());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[tokio::test]
    async fn holds_are_written_at_once_and_the_rest_in_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.json");
        let store = Arc::new(Store::open(Some(path.clone())));
        let woken = Arc::new(Mutex::new(0));
        let ended = CancellationToken::new();
        let records = {
            let woken = Arc::clone(&woken);
            move || vec![("a".to_owned(), some(*woken.lock().unwrap()))]
        };
        let keeper = tokio::spawn(Arc::clone(&store).keep(records, ended.clone()));
        let read = |path: &Path| {
            fs::read(path)
                .ok()
                .and_then(|text| Book::parse(&text).ok())
                .map(|of| of.records["a"].woken)
        };
        while read(&path) != Some(0) {
            tokio::task::yield_now().await;
        }
        *woken.lock().unwrap() = 1;
        store.told().changed();
        store.told().at_once();
        while read(&path) != Some(1) {
            tokio::task::yield_now().await;
        }
        *woken.lock().unwrap() = 2;
        store.told().changed();
        tokio::task::yield_now().await;
        assert_eq!(read(&path), Some(1), "not so soon");
        ended.cancel();
        keeper.await.unwrap();
        assert_eq!(read(&path), Some(2));
    }

    #[test]
    fn broken_is_put_aside_newer_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("h.json");
        fs::write(&path, "{\"version\":1,").unwrap();
        assert_eq!(Store::open(Some(path.clone())).path, Some(path.clone()));
        assert!(!path.exists());
        assert_eq!(fs::read(folder.path().join("h.json.broken")).unwrap(), b"{\"version\":1,");
        fs::write(&path, "{\"version\":9}").unwrap();
        assert_eq!(Store::open(Some(path.clone())).path, None);
        assert_eq!(fs::read(&path).unwrap(), b"{\"version\":9}");
        // Neither a folder nor a pipe is a file, and neither is waited for.
        assert_eq!(Store::open(Some(folder.path().to_owned())).path, None);
    }
}
