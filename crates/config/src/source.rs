//! Where a document comes from, and so where its relative paths start.

use std::{
    io,
    path::{Path, PathBuf},
};

/// The origin of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file, or `None` for a document that was sent to the admin API.
    pub file: Option<PathBuf>,
    /// The folder from which relative paths in the document start.
    pub base_dir: PathBuf,
}

impl Source {
    /// A document in a file: its paths start from the file's folder.
    #[must_use]
    pub fn file(path: &Path) -> Self {
        Self { file: Some(path.to_owned()), base_dir: parent(path) }
    }

    /// A document that was sent; its paths start from `base_dir`.
    #[must_use]
    pub fn sent(base_dir: &Path) -> Self {
        Self { file: None, base_dir: base_dir.to_owned() }
    }

    /// How problems name it: the file as the operator wrote it, or `(sent document)`.
    #[must_use]
    pub fn label(&self) -> String {
        self.file.as_ref().map_or_else(|| "(sent document)".to_owned(), |file| file.display().to_string())
    }

    /// A path of the document, from where the process stands.
    #[must_use]
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.base_dir.join(path)
    }
}

/// The folder of a file; `.` for a bare name.
pub(crate) fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// What to do about a file that cannot be read.
pub(crate) fn unreadable(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            "there is no such file; check the path, or start from config/quickstart.yaml".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "this user may not read the file; give it read permission".to_owned()
        }
        io::ErrorKind::IsADirectory => "this is a folder; name the file in it".to_owned(),
        _ => format!("cannot be read: {error}"),
    }
}
