//! One small value in a file of its own.
//!
//! The file is JSON: `{"format": 1, "state": ...}`. A write makes a new file beside it, syncs
//! it, renames it over the old one and syncs the folder, so that a reader, a crash or a power
//! cut finds the old value or the new one and never a part of either. A write that failed
//! left the old value in place, but for a failed sync of the folder, after which either value
//! may come back.
//!
//! One process at a time owns the file. The proof is an advisory lock on `<file>.lock`, which
//! the system gives up when the process dies, however it dies. The lock is taken at
//! [`StateFile::open`] where the folder is there already. Where it is not, opening makes
//! nothing on disk: folder and lock come with the first write, which then fails if another
//! process was faster. A folder that cannot be written is no error at opening either, since a
//! reader may never need to write; the first write says it.
//!
//! A file that cannot be understood is an error and is left as it is: what it held may be the
//! reason why writes must not go through.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    marker::PhantomData,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The layout this version writes and reads.
const FORMAT: u32 = 1;

/// What went wrong with a state file, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process owns it.
    #[error("the state file {} is in use by another process; give each gateway a store folder of its own, or stop the other one", .0.display())]
    InUse(PathBuf),
    /// It was written by another process after this one had found none.
    #[error("the state file {} was written by another process since this one started; restart to take up its state", .0.display())]
    Overtaken(PathBuf),
    /// It is there and cannot be understood.
    #[error("the state file {} is damaged ({reason}); restore it from a backup, or move it away to start with an empty state", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What the reader stumbled over.
        reason: String,
    },
    /// A later version wrote it.
    #[error("the state file {} has format {found} and this version reads {FORMAT}; run the version that wrote it, or move the file away", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// The format it says it has.
        found: u32,
    },
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

#[derive(Serialize)]
struct Written<'a, T> {
    format: u32,
    state: &'a T,
}

#[derive(Deserialize)]
struct Read<T> {
    state: T,
}

#[derive(Deserialize)]
struct Head {
    format: u32,
}

/// A value of type `T` kept in a file. Calls block on the disk.
#[derive(Debug)]
pub struct StateFile<T> {
    path: PathBuf,
    /// Held for as long as this value lives.
    lock: Option<File>,
    found: bool,
    value: PhantomData<fn(T) -> T>,
}

impl<T: Serialize + DeserializeOwned> StateFile<T> {
    /// Opens the file and reads what it holds; `None` where there is no file.
    pub fn open(path: impl Into<PathBuf>) -> Result<(Self, Option<T>), StateError> {
        let mut file = Self { path: path.into(), lock: None, found: false, value: PhantomData };
        match file.lock() {
            Ok(()) => {}
            Err(StateError::Io { source, .. })
                if matches!(
                    source.kind(),
                    io::ErrorKind::NotFound
                        | io::ErrorKind::PermissionDenied
                        | io::ErrorKind::ReadOnlyFilesystem
                ) => {}
            Err(error) => return Err(error),
        }
        let value = file.read()?;
        file.found = value.is_some();
        Ok((file, value))
    }

    /// Where the file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Replaces the value. When this returns `Ok`, the value survives a power cut.
    pub fn write(&mut self, value: &T) -> Result<(), StateError> {
        let folder = self.folder();
        if self.lock.is_none() {
            fs::create_dir_all(&folder).map_err(io_error("make the folder", &folder))?;
            self.lock()?;
            if !self.found && self.path.exists() {
                self.lock = None;
                return Err(StateError::Overtaken(self.path.clone()));
            }
        }
        let text = serde_json::to_vec_pretty(&Written { format: FORMAT, state: value })
            .map_err(|error| self.damaged(&error))?;
        let fresh = self.beside(".new");
        let mut file = File::create(&fresh).map_err(io_error("create", &fresh))?;
        file.write_all(&text).map_err(io_error("write", &fresh))?;
        file.sync_all().map_err(io_error("sync", &fresh))?;
        drop(file);
        fs::rename(&fresh, &self.path).map_err(io_error("replace", &self.path))?;
        self.found = true;
        File::open(&folder).and_then(|folder| folder.sync_all()).map_err(io_error("sync the folder", &folder))
    }

    fn read(&self) -> Result<Option<T>, StateError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("read", &self.path)(error)),
        };
        // The format is read by itself first: a later one may have another `state`.
        let head: Head = serde_json::from_slice(&text).map_err(|error| self.damaged(&error))?;
        if head.format != FORMAT {
            return Err(StateError::Format { path: self.path.clone(), found: head.format });
        }
        let read: Read<T> = serde_json::from_slice(&text).map_err(|error| self.damaged(&error))?;
        Ok(Some(read.state))
    }

    fn lock(&mut self) -> Result<(), StateError> {
        let path = self.beside(".lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(io_error("open", &path))?;
        match file.try_lock() {
            Ok(()) => {
                self.lock = Some(file);
                Ok(())
            }
            Err(TryLockError::WouldBlock) => Err(StateError::InUse(self.path.clone())),
            Err(TryLockError::Error(error)) => Err(io_error("lock", &path)(error)),
        }
    }

    fn folder(&self) -> PathBuf {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
            _ => PathBuf::from("."),
        }
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(ending);
        path.into()
    }

    fn damaged(&self, error: &serde_json::Error) -> StateError {
        StateError::Damaged { path: self.path.clone(), reason: error.to_string() }
    }
}

fn io_error(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |source| StateError::Io { action, path, source }
}

#[cfg(test)]
mod tests;
