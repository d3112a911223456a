//! Telling when the document, or a file it names, has changed.
//!
//! Promise: a change of content is told within 500 ms, once, however it was made: written in
//! place, by renaming a new file over the old, or by swapping a symlink above it as
//! Kubernetes does with a `ConfigMap`. For that the *folders* are watched, since a watch on a
//! file ends with the file; and *contents* are compared, since folders tell of much that
//! changes nothing. A burst of events is waited out, so that a file that is being written is
//! mostly read when it is whole.
//!
//! When it fails: every 2 s the contents are compared without being asked, for file systems
//! that send no events; where a folder cannot be watched at all, that happens every 400 ms
//! and the log says so. A file that is gone or unreadable counts as changed once, and again
//! when it is back; what to make of it is the reader's business.

mod scan;

use std::{
    collections::BTreeSet,
    ffi::OsString,
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, ModifyKind},
};
use tokio::{
    sync::{Notify, mpsc, watch},
    time::{Instant, sleep, timeout},
};

use self::scan::Contents;

/// Events are followed by others; so long without one is quiet enough to look.
const QUIET: Duration = Duration::from_millis(50);
/// A folder that is never quiet is looked at after this.
const LONGEST_BURST: Duration = Duration::from_millis(200);
/// How often contents are compared where events come.
const POLL: Duration = Duration::from_secs(2);
/// How often contents are compared where no events come.
const POLL_ALONE: Duration = Duration::from_millis(400);

/// What has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The document itself.
    pub document: bool,
    /// Which of the other files.
    pub files: Vec<PathBuf>,
}

/// Watches a document and the files it names, until it is dropped.
#[derive(Debug)]
pub struct Watcher {
    extra: watch::Sender<Vec<PathBuf>>,
}

impl Watcher {
    /// Watches the document at `path`, and the files `extra` (certificates, keys, tokens).
    ///
    /// Runs as a task of the present tokio runtime and must be called inside one. Call it
    /// before the document is read for the first time: what changes after this call is told.
    /// Changes that are not received yet are told as one.
    #[must_use]
    pub fn start(path: PathBuf, extra: Vec<PathBuf>) -> (Self, mpsc::Receiver<Changed>) {
        let (told, receiver) = mpsc::channel(1);
        let contents = Contents::now(path, &extra);
        let folders = Folders::new(&contents);
        let (extra, wanted) = watch::channel(extra);
        tokio::spawn(run(contents, folders, wanted, told));
        (Self { extra }, receiver)
    }

    /// Watches these files besides the document, and no longer those named before. What
    /// was watched already is compared with what it was.
    pub fn set_extra(&self, files: Vec<PathBuf>) {
        self.extra.send_replace(files);
    }
}

async fn run(
    mut contents: Contents,
    mut folders: Folders,
    mut wanted: watch::Receiver<Vec<PathBuf>>,
    told: mpsc::Sender<Changed>,
) {
    loop {
        tokio::select! {
            () = folders.wake.notified() => quiet(&folders.wake).await,
            () = sleep(folders.poll()) => {}
            still_wanted = wanted.changed() => if still_wanted.is_err() { return },
            () = told.closed() => return,
        }
        let files = wanted.borrow_and_update().clone();
        let looked = tokio::task::spawn_blocking(move || {
            let changed = contents.look_again(&files);
            folders.follow(&contents);
            (changed, contents, folders)
        });
        // The blocking part does not panic; at shutdown the runtime may refuse to run it.
        let Ok((changed, then_contents, then_folders)) = looked.await else { return };
        (contents, folders) = (then_contents, then_folders);
        if let Some(changed) = changed
            && told.send(changed).await.is_err()
        {
            return;
        }
    }
}

/// Waits until no event has come for a while.
async fn quiet(wake: &Notify) {
    let end = Instant::now() + LONGEST_BURST;
    while timeout(QUIET, wake.notified()).await.is_ok() && Instant::now() < end {}
}

/// The folders that are watched, and what in them is of interest.
struct Folders {
    wake: Arc<Notify>,
    names: Arc<RwLock<BTreeSet<OsString>>>,
    watched: BTreeSet<PathBuf>,
    failed: BTreeSet<PathBuf>,
    watcher: Option<RecommendedWatcher>,
}

impl Folders {
    fn new(contents: &Contents) -> Self {
        let wake = Arc::new(Notify::new());
        let names = Arc::new(RwLock::new(BTreeSet::new()));
        let (waker, of_interest) = (wake.clone(), names.clone());
        let handler = move |event: notify::Result<Event>| {
            let names = of_interest.read().unwrap_or_else(PoisonError::into_inner);
            if event.map_or(true, |event| matters(&event, &names)) {
                waker.notify_one();
            }
        };
        let watcher = notify::recommended_watcher(handler)
            .inspect_err(
                |error| tracing::warn!(%error, "files cannot be watched; they are looked at every 400 ms"),
            )
            .ok();
        let mut folders = Self { wake, names, watched: BTreeSet::new(), failed: BTreeSet::new(), watcher };
        folders.follow(contents);
        folders
    }

    /// Watches the folders that the files are in now, through every symlink.
    fn follow(&mut self, contents: &Contents) {
        let Some(watcher) = &mut self.watcher else { return };
        let (wanted, names) = contents.places();
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = names;
        for gone in self.watched.difference(&wanted) {
            // A folder that was removed has taken its watch with it.
            drop(watcher.unwatch(gone));
        }
        let mut followed = BTreeSet::new();
        for folder in wanted {
            if self.watched.contains(&folder) {
                followed.insert(folder);
                continue;
            }
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.failed.remove(&folder);
                    followed.insert(folder);
                }
                Err(error) => {
                    if self.failed.insert(folder.clone()) {
                        tracing::warn!(folder = %folder.display(), %error, "a folder cannot be watched; its files are looked at every 400 ms");
                    }
                }
            }
        }
        self.failed.retain(|folder| !followed.contains(folder));
        self.watched = followed;
    }

    fn poll(&self) -> Duration {
        if self.watcher.is_some() && self.failed.is_empty() { POLL } else { POLL_ALONE }
    }
}

/// Whether an event may mean a change of content. Reading files, as the watcher itself
/// does, is none; writing concerns only files of a name that is watched, or a log beside
/// the document would keep it busy. What is made, moved or removed may be a symlink on the way.
fn matters(event: &Event, names: &BTreeSet<OsString>) -> bool {
    let is_ours = |path: &PathBuf| path.file_name().is_none_or(|name| names.contains(name));
    match event.kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) | EventKind::Modify(ModifyKind::Data(_)) => {
            event.paths.iter().any(is_ours)
        }
        EventKind::Access(_) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests;
