//! What stands in the watched files.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use super::Changed;
use crate::{load::hash, source::parent};

/// More of a file than this is not compared: no document, certificate or token is as large.
const MOST: u64 = 8 << 20;

/// The contents of the watched files when they were last looked at; `None` for a file that
/// cannot be read.
pub(super) struct Contents {
    document: PathBuf,
    of_document: Option<String>,
    files: BTreeMap<PathBuf, Option<String>>,
}

impl Contents {
    pub(super) fn now(document: PathBuf, files: &[PathBuf]) -> Self {
        let of_document = content(&document);
        let files = files.iter().map(|file| (file.clone(), content(file))).collect();
        Self { document, of_document, files }
    }

    /// Looks again, and from now on at `files`; tells what is not as it was.
    pub(super) fn look_again(&mut self, files: &[PathBuf]) -> Option<Changed> {
        let before = std::mem::replace(self, Self::now(self.document.clone(), files));
        let differs = |(file, now): (&PathBuf, &Option<String>)| {
            let was = before.files.get(file)?;
            (was != now).then(|| file.clone())
        };
        let changed = Changed {
            document: before.of_document != self.of_document,
            files: self.files.iter().filter_map(differs).collect(),
        };
        (changed.document || !changed.files.is_empty()).then_some(changed)
    }

    /// The folders to watch, and the names of the files in them.
    pub(super) fn places(&self) -> (BTreeSet<PathBuf>, BTreeSet<OsString>) {
        let (mut folders, mut names) = (BTreeSet::new(), BTreeSet::new());
        let mut add = |file: &Path| {
            folders.insert(parent(file));
            names.extend(file.file_name().map(ToOwned::to_owned));
        };
        for file in self.files.keys().chain([&self.document]) {
            add(file);
            // Through symlinks: what is written in place is written at the end of them.
            if let Ok(target) = fs::canonicalize(file) {
                add(&target);
            }
        }
        (folders, names)
    }
}

/// The hash of a file's content. What is not a plain file (a pipe would block) has none.
fn content(path: &Path) -> Option<String> {
    if !fs::metadata(path).ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(MOST).read_to_end(&mut bytes).ok()?;
    Some(hash(&bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Changed, Contents};

    #[test]
    fn only_what_is_not_as_it_was_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let [document, one, two] = ["document", "one", "two"].map(|name| folder.path().join(name));
        for file in [&document, &one, &two] {
            fs::write(file, "first").unwrap();
        }
        let both = [one.clone(), two.clone()];
        let mut contents = Contents::now(document.clone(), &both);
        assert_eq!(contents.look_again(&both), None);
        fs::write(&one, "second").unwrap();
        assert_eq!(contents.look_again(&both), Some(Changed { document: false, files: vec![one.clone()] }));
        assert_eq!(contents.look_again(&both), None);
        // What is no longer asked for is forgotten, and what comes new begins as it is.
        fs::write(&two, "second").unwrap();
        assert_eq!(contents.look_again(std::slice::from_ref(&one)), None);
        assert_eq!(contents.look_again(&both), None);
        fs::remove_file(&document).unwrap();
        assert_eq!(contents.look_again(&both), Some(Changed { document: true, files: Vec::new() }));
    }
}
