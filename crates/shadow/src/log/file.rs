//! The file, and those it was put aside as.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::LogSettings;

/// A file that lines are appended to.
#[derive(Debug)]
pub(super) struct LogFile {
    pub(super) settings: LogSettings,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// What stands under the path while nobody has moved it.
    identity: (u64, u64),
    size: u64,
    /// A regular file, and no device or pipe.
    is_regular: bool,
}

/// What a line did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Appended {
    /// It was added.
    Added,
    /// The file was put aside, and the line is the first of a new one.
    Rotated,
}

impl LogFile {
    pub(super) const fn new(settings: LogSettings) -> Self {
        Self { settings, open: None }
    }

    /// Goes on with other settings, in another file if they say so.
    pub(super) fn set(&mut self, settings: LogSettings) {
        self.settings = settings;
        self.close();
    }

    /// The file is opened with the next line.
    pub(super) fn close(&mut self) {
        self.open = None;
    }

    /// Adds a line. After an error nothing of it is there, or it is cut off by a line break.
    pub(super) fn append(&mut self, line: &str) -> io::Result<Appended> {
        let length = line.len() as u64 + 1;
        if length > self.settings.max_size {
            let reason =
                format!("a line of {length} bytes is more than the {} of `max_size`", self.settings.max_size);
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        let mut appended = Appended::Added;
        let mut open = self.ready()?;
        if open.is_regular && open.size + length > self.settings.max_size {
            drop(open);
            self.rotate()?;
            appended = Appended::Rotated;
            open = self.ready()?;
        }
        if let Err(error) = open.file.write_all(format!("{line}\n").as_bytes()) {
            if open.is_regular {
                // Where that fails too, the line is cut off when the file is opened again.
                open.file.set_len(open.size).ok();
            }
            return Err(error);
        }
        open.size += length;
        self.open = Some(open);
        Ok(appended)
    }

    /// Takes the open file, or opens what stands under the path now.
    fn ready(&mut self) -> io::Result<Open> {
        let path = &self.settings.path;
        let is_there = |open: &Open| fs::metadata(path).is_ok_and(|found| identity(&found) == open.identity);
        match self.open.take().filter(is_there) {
            Some(open) => Ok(open),
            None => Open::at(path),
        }
    }

    /// Puts the file aside; the one that is too much goes.
    fn rotate(&self) -> io::Result<()> {
        let LogSettings { path, files, .. } = &self.settings;
        let aside = |number: u32| {
            let mut name = OsString::from(path);
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        let last = files.saturating_sub(1);
        if last == 0 {
            found(fs::remove_file(path))?;
        } else {
            for number in (1..last).rev() {
                found(fs::rename(aside(number), aside(number + 1)))?;
            }
            found(fs::rename(path, aside(1)))?;
        }
        // What is left of a setting with more files.
        let mut beyond = last + 1;
        while fs::remove_file(aside(beyond)).is_ok() {
            beyond += 1;
        }
        Ok(())
    }
}

impl Open {
    fn at(path: &Path) -> io::Result<Self> {
        let mut file = OpenOptions::new().create(true).append(true).open(path)?;
        let metadata = file.metadata()?;
        let mut size = metadata.len();
        if metadata.is_file() && ends_within_a_line(path).unwrap_or(false) {
            file.write_all(b"\n")?;
            size += 1;
        }
        Ok(Self { file, identity: identity(&metadata), size, is_regular: metadata.is_file() })
    }
}

fn ends_within_a_line(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// What is not there need not be moved.
fn found(moved: io::Result<()>) -> io::Result<()> {
    match moved {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        moved => moved,
    }
}
