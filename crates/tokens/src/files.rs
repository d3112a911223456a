//! What the `jwt:` section names of files.

use std::path::Path;

use sluicegate_core::Authorities;

use crate::keys::Keys;

/// What is wrong with a file: its key in the section, and a message.
type Fault = (String, String);

/// The keys in a file. Blocking.
pub(crate) fn keys_in(path: &Path) -> Result<Keys, Fault> {
    let wrong = |message| ("jwks_file".to_owned(), message);
    let text =
        std::fs::read(path).map_err(|error| wrong(format!("cannot read {}: {error}", path.display())))?;
    let unusable = |why| wrong(format!("{} cannot be used: {why}", path.display()));
    Keys::parse(&String::from_utf8_lossy(&text)).map_err(unusable)
}

/// The authorities in a file. Blocking.
pub(crate) fn authorities_in(path: &Path) -> Result<Authorities, Fault> {
    Authorities::read(path).map_err(|message| ("ca".to_owned(), message))
}
