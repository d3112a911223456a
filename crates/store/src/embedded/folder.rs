//! The folder of a store on disk: whose it is, its format, and who uses it.
//!
//! | in it | is |
//! |---|---|
//! | `lock` | locked for as long as a process uses the store; the system gives it up when the process dies |
//! | `format` | what this is and in which format; written before the tree is put in its place |
//! | `tree` | the engine's own files |
//! | `rounds` | how many rounds of writes there were; see [`super::witness`] |
//! | `journals` | while the store is being opened: copies; see [`super::aside`] |
//! | `tree.new` | a tree that is being made; moved to its place when it is whole |
//!
//! A folder that holds anything else, or a format that is not known, is refused and left as
//! it is: nothing is ever made over what was there.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write},
    path::{Path, PathBuf},
};

use super::{aside::Aside, witness::Witness};
use crate::OpenError;

/// What the file `format` holds.
const FORMAT: &str = "sluicegate store, format 1\n";
/// How it begins whatever the format.
const OURS: &str = "sluicegate store, format ";

/// A folder that this process alone uses.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    /// Held for as long as this value lives.
    _lock: File,
}

impl Folder {
    /// Takes the folder for this process, and makes an empty store in it where there is none:
    /// `make` is given the place for the tree.
    pub(super) fn open(
        path: PathBuf,
        make: impl FnOnce(&Path) -> Result<(), OpenError>,
    ) -> Result<Self, OpenError> {
        fs::create_dir_all(&path).map_err(failed("make the folder", &path))?;
        let folder = Self { _lock: lock(&path)?, path };
        match folder.format()? {
            Some(format) if format == FORMAT => folder.put_in_place()?,
            Some(format) => return Err(folder.unknown(&format)),
            None => folder.make(make)?,
        }
        Ok(folder)
    }

    /// Where the tree is.
    pub(super) fn tree(&self) -> PathBuf {
        self.path.join("tree")
    }

    /// Takes up the account of the rounds, and puts the journals aside until it is known
    /// whether the store is whole.
    pub(super) fn guards(&self) -> Result<(Witness, Aside), OpenError> {
        let path = self.rounds();
        let witness = match Witness::open(&path) {
            Ok(Some(witness)) => witness,
            Ok(None) => return Err(self.damaged("its file `rounds` cannot be read")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(self.damaged("its file `rounds` is missing"));
            }
            Err(error) => return Err(failed("read", &path)(error)),
        };
        let copies = self.path.join("journals");
        let aside =
            Aside::put(self.tree(), copies.clone()).map_err(failed("copy the journals to", &copies))?;
        Ok((witness, aside))
    }

    fn rounds(&self) -> PathBuf {
        self.path.join("rounds")
    }

    /// A store whose files are there and cannot be understood.
    pub(super) fn damaged(&self, why: &str) -> OpenError {
        OpenError::new(format_args!(
            "the store in {} is damaged ({why}); nothing in it was changed: restore it from a backup, or move the folder away to begin with an empty store",
            self.path.display()
        ))
    }

    fn format(&self) -> Result<Option<String>, OpenError> {
        let path = self.path.join("format");
        match fs::read(&path) {
            // A foreign file may hold anything.
            Ok(format) => Ok(Some(String::from_utf8_lossy(&format).into_owned())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    fn unknown(&self, format: &str) -> OpenError {
        match format.strip_prefix(OURS) {
            Some(number) => OpenError::new(format_args!(
                "the store in {} has format {} and this version reads format 1; run the version that wrote it, or move the folder away to begin with an empty store",
                self.path.display(),
                number.trim_end().escape_debug()
            )),
            None => self.damaged("its file `format` is not one of a store"),
        }
    }

    /// Makes an empty store. A process that died on the way has left a part of a tree, which
    /// holds nothing yet.
    fn make(&self, make: impl FnOnce(&Path) -> Result<(), OpenError>) -> Result<(), OpenError> {
        for entry in fs::read_dir(&self.path).map_err(failed("read the folder", &self.path))? {
            let name = entry.map_err(failed("read the folder", &self.path))?.file_name();
            if !["lock", "tree.new", "rounds", "format.new"].iter().any(|ours| name == *ours) {
                return Err(OpenError::new(format_args!(
                    "{} holds `{}` and is not a store; name another folder, or move away what is in it",
                    self.path.display(),
                    name.display()
                )));
            }
        }
        let (fresh, format) = (self.path.join("tree.new"), self.path.join("format.new"));
        match fs::remove_dir_all(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &fresh)(error));
            }
            _ => make(&fresh)?,
        }
        Witness::make(&self.rounds()).map_err(failed("write", &self.rounds()))?;
        let mut file = File::create(&format).map_err(failed("create", &format))?;
        file.write_all(FORMAT.as_bytes()).and_then(|()| file.sync_all()).map_err(failed("write", &format))?;
        fs::rename(&format, self.path.join("format")).map_err(failed("rename", &format))?;
        self.put_in_place()
    }

    /// Puts a tree that was made into its place, where that has not been done.
    fn put_in_place(&self) -> Result<(), OpenError> {
        let (fresh, tree) = (self.path.join("tree.new"), self.tree());
        if tree.is_dir() {
            return Ok(());
        }
        if !fresh.is_dir() {
            return Err(self.damaged("its folder `tree` is missing"));
        }
        fs::rename(&fresh, &tree).map_err(failed("rename", &fresh))?;
        let folder = File::open(&self.path).and_then(|folder| folder.sync_all());
        folder.map_err(failed("sync the folder", &self.path))
    }
}

fn lock(folder: &Path) -> Result<File, OpenError> {
    let path = folder.join("lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = file.map_err(failed("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::new(format_args!(
            "the store in {} is in use by another process; give each gateway a store folder of its own, or stop the other one",
            folder.display()
        ))),
        Err(TryLockError::Error(error)) => Err(failed("lock", &path)(error)),
    }
}

fn failed(action: &'static str, path: &Path) -> impl Fn(io::Error) -> OpenError {
    let path = path.to_owned();
    move |error| {
        OpenError::new(format_args!(
            "the store cannot {action} {}: {error}; check the folder, its owner and the space on its disk",
            path.display()
        ))
    }
}
