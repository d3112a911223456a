//! What the `jwt:` section names of files.

use std::path::Path;

use crate::{fetch::authorities_fault, keys::Keys};

/// What is wrong with a file: its key in the section, and a message.
type Fault = (String, String);

/// The keys in a file. Blocking.
pub(crate) fn keys_in(path: &Path) -> Result<Keys, Fault> {
    let text = read("jwks_file", path)?;
    let unusable = |why| ("jwks_file".to_owned(), format!("{} cannot be used: {why}", path.display()));
    Keys::parse(&String::from_utf8_lossy(&text)).map_err(unusable)
}

/// The authorities in a file, which holds at least one. Blocking.
pub(crate) fn authorities_in(path: &Path) -> Result<Vec<u8>, Fault> {
    let pem = read("ca", path)?;
    match authorities_fault(&pem) {
        Some(fault) => Err(("ca".to_owned(), format!("{} {fault}", path.display()))),
        None => Ok(pem),
    }
}

fn read(key: &str, path: &Path) -> Result<Vec<u8>, Fault> {
    std::fs::read(path).map_err(|error| (key.to_owned(), format!("cannot read {}: {error}", path.display())))
}
