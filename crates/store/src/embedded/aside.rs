//! Copies of the journals, for as long as it is not known whether the store is whole.
//!
//! The engine cuts a journal off where it cannot read on, before anybody can ask whether that
//! is damage. So the journals are copied before it is opened, and put back if the store turns
//! out to be damaged: what is left of them may be worth something to whoever repairs it.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

/// The copies; put back when this is dropped, unless they were found to be of no use.
#[derive(Debug)]
pub(super) struct Aside {
    tree: PathBuf,
    copies: PathBuf,
    needed: bool,
}

impl Aside {
    /// Copies the journals of `tree` to the folder `copies`. Copies that are there already are
    /// from an opening that was cut off: they are put back first.
    pub(super) fn put(tree: PathBuf, copies: PathBuf) -> io::Result<Self> {
        let aside = Self { tree, copies, needed: true };
        if aside.copies.is_dir() {
            aside.put_back()?;
            return Ok(aside);
        }
        let fresh = aside.copies.with_extension("new");
        remove(&fresh)?;
        fs::create_dir(&fresh)?;
        for journal in journals(&aside.tree)? {
            copy(&journal, &fresh.join(journal.file_name().unwrap_or_default()))?;
        }
        fs::rename(&fresh, &aside.copies)?;
        Ok(aside)
    }

    /// The store is whole: the copies are removed. From here on it may be written.
    pub(super) fn remove(mut self) -> io::Result<()> {
        self.needed = false;
        remove(&self.copies)
    }

    fn put_back(&self) -> io::Result<()> {
        for journal in journals(&self.copies)? {
            copy(&journal, &self.tree.join(journal.file_name().unwrap_or_default()))?;
        }
        Ok(())
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // What cannot be put back stays where it is, to be put back by the next opening.
        if self.needed && self.put_back().is_ok() {
            drop(remove(&self.copies));
        }
    }
}

fn journals(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let files = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    Ok(files.into_iter().filter(|file| file.extension().is_some_and(|it| it == "jnl")).collect())
}

/// Copies a file. A journal is mostly room for what is to come: its empty parts take no room
/// in the copy.
fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let (mut from, mut to) = (File::open(from)?, File::create(to)?);
    let mut bytes = vec![0; 64 << 10];
    loop {
        let count = from.read(&mut bytes)?;
        if count == 0 {
            break;
        }
        if bytes[..count].iter().all(|byte| *byte == 0) {
            to.seek(SeekFrom::Current(i64::try_from(count).unwrap_or(0)))?;
        } else {
            to.write_all(&bytes[..count])?;
        }
    }
    to.set_len(from.stream_position()?)
}

fn remove(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
