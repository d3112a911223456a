//! Replacing the configuration file.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

/// Replaces `path` by `text` so that a reader, or a crash, finds the old text or the new one
/// and never a part. A link is followed: what it points to is replaced.
pub(super) fn replace(path: &Path, text: &str) -> io::Result<()> {
    let target = fs::canonicalize(path)?;
    let name = target.file_name().ok_or_else(|| io::Error::other("the path names no file"))?;
    let folder = target.parent().ok_or_else(|| io::Error::other("the file is in no folder"))?;
    let temporary = folder.join(format!(".{}.{}.new", name.to_string_lossy(), std::process::id()));
    let written = write(&temporary, &target, text);
    if written.is_err() {
        // What is left of it is of no use; that it cannot be removed changes nothing.
        drop(fs::remove_file(&temporary));
    }
    written?;
    File::open(folder)?.sync_all()
}

fn write(temporary: &Path, target: &Path, text: &str) -> io::Result<()> {
    let mut file = File::create(temporary)?;
    file.set_permissions(fs::metadata(target)?.permissions())?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(temporary, target)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::replace;

    #[test]
    fn the_target_of_a_link_is_replaced_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real.yaml"), folder.path().join("link.yaml"));
        fs::write(&real, "old").unwrap();
        symlink(&real, &link).unwrap();
        replace(&link, "new").unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert!(replace(&folder.path().join("none.yaml"), "new").is_err());
    }
}
