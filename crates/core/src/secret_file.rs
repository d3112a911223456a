//! Secrets that stand in files of their own, and what is shown in the place of secrets.
//!
//! A setting that takes secrets by name (header fields and their values) has a sister whose name
//! ends in `_file` and that takes the files they stand in instead. A file holds the secret alone;
//! the line end that editors put there is not part of it.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read,
    path::{Path, PathBuf},
};

use http::HeaderValue;

/// What stands where a secret may not be shown.
pub const REDACTED: &str = "[redacted]";

/// Takes secrets out of what is shown.
pub fn redact<'a>(secrets: impl IntoIterator<Item = &'a mut String>) {
    secrets.into_iter().for_each(|secret| REDACTED.clone_into(secret));
}

/// No secret is as long.
const LARGEST: u64 = 64 * 1024;

/// The secret in a file, or what is wrong with that. Blocking.
pub fn read(path: &Path) -> Result<String, String> {
    let shown = path.display();
    let mut bytes = Vec::new();
    // No more than it takes to tell: it may be a device.
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
    let length = read.map_err(|error| {
        format!("cannot read {shown}: {error}; write the secret into it, readable for this user only")
    })?;
    if length as u64 > LARGEST {
        return Err(format!(
            "{shown} has more than {LARGEST} bytes, which is no secret; name the right file"
        ));
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| format!("{shown} is not UTF-8 text; write the secret into it"))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(format!("{shown} is empty; write the secret into it"));
    }
    Ok(secret.to_owned())
}

/// `given` and what stands in `files`, by the names of header fields; or what is wrong with which
/// file below the setting `key`, also what no field can hold. Blocking.
pub fn merged(
    given: &BTreeMap<String, String>,
    (key, files): (&str, &BTreeMap<String, PathBuf>),
    resolve: &dyn Fn(&Path) -> PathBuf,
) -> Result<BTreeMap<String, String>, Vec<(String, String)>> {
    let (mut all, mut faults) = (given.clone(), Vec::new());
    for (name, path) in files {
        let path = resolve(path);
        let fits = |secret: String| match HeaderValue::try_from(&secret) {
            Ok(_) => Ok(secret),
            Err(_) => Err(format!(
                "{} holds what no header may have, such as a second line; write the value alone",
                path.display()
            )),
        };
        match read(&path).and_then(fits) {
            Ok(secret) => drop(all.insert(name.clone(), secret)),
            Err(message) => faults.push((format!("{key}.{name}"), message)),
        }
    }
    if faults.is_empty() { Ok(all) } else { Err(faults) }
}

/// Names that are given and stand in a file as well.
pub fn given_twice<'a>(
    given: &'a BTreeMap<String, String>,
    files: &'a BTreeMap<String, PathBuf>,
) -> impl Iterator<Item = &'a str> {
    let is_given = |name: &str| given.keys().any(|given| given.eq_ignore_ascii_case(name));
    files.keys().map(String::as_str).filter(move |name| is_given(name))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{merged, read};

    #[test]
    fn a_file_holds_the_secret_alone() {
        let kept = tempfile::tempdir().unwrap();
        let folder = kept.path();
        let at = |name: &str, bytes: &[u8]| {
            std::fs::write(folder.join(name), bytes).unwrap();
            read(&folder.join(name))
        };
        assert_eq!(at("one", b"hush\n").unwrap(), "hush");
        assert_eq!(at("two", b" hush \r\n").unwrap(), " hush ");
        for (name, bytes, what) in [
            ("none", &b"\n"[..], "is empty"),
            ("bytes", b"\xff", "not UTF-8"),
            ("large", &vec![b'a'; 70_000], "more than 65536 bytes"),
        ] {
            assert!(at(name, bytes).unwrap_err().contains(what), "{name}");
        }
        let given = [("a".to_owned(), "1".to_owned())].into();
        let resolve = |path: &Path| folder.join(path);
        let all = merged(&given, ("set_file", &[("b".to_owned(), "one".into())].into()), &resolve).unwrap();
        assert_eq!((all["a"].as_str(), all["b"].as_str()), ("1", "hush"));
        let faults =
            merged(&given, ("set_file", &[("b".to_owned(), "missing".into())].into()), &resolve).unwrap_err();
        assert!(faults[0].0 == "set_file.b" && faults[0].1.contains("cannot read"), "{faults:?}");
        std::fs::write(folder.join("lines"), "hush\r\nx-more: 1\n").unwrap();
        let faults =
            merged(&given, ("set_file", &[("b".to_owned(), "lines".into())].into()), &resolve).unwrap_err();
        assert!(faults[0].1.contains("a second line") && !faults[0].1.contains("hush"), "{faults:?}");
    }
}
