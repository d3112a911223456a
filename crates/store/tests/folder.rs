//! Folders that are in use, foreign, of another format or damaged: refused with the path and
//! what to do, and left as they are.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use bytes::Bytes;
use sluicegate_core::{Chance, Clock};
use sluicegate_store::{
    Expect, Put, RecordKey, Records, Swapped, Tag,
    embedded::{Embedded, EmbeddedOptions, Sync},
};
use tempfile::TempDir;

/// Bytes of a value: so many that some come to the engine's tables, and some are in its journal
/// only.
const SIZE: usize = 25_000;

fn open(path: &Path) -> Result<Embedded, String> {
    let options = EmbeddedOptions { path: path.to_owned(), sync: Sync::Always };
    Embedded::open(options, Clock::system()).map_err(|error| error.to_string())
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

/// A store with some records in it, closed.
fn filled() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let store = open(&path).unwrap();
    let chance = Chance::seeded(1);
    block_on(async {
        for number in 0..200 {
            let value = Bytes::from(vec![number; SIZE]);
            let ttl = Duration::from_secs(1000);
            let put = Put { tag: Tag::draw(&chance), value, owner: "one".into(), ttl, held: false };
            let done = store.swap(RecordKey([number; 32]), Expect::Absent, Some(put)).await.unwrap();
            assert_eq!(done, Swapped::Done);
        }
    });
    while !contents(&path).iter().any(|(file, bytes)| is_table(file) && bytes.len() > SIZE) {
        std::thread::sleep(Duration::from_millis(5));
    }
    (folder, path)
}

/// Every file below a folder, with what it holds.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.append(&mut contents(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

fn is_refused_and_left_alone(path: &Path, words: &[&str]) {
    let before = contents(path);
    let error = open(path).unwrap_err();
    for word in words.iter().copied().chain([path.to_str().unwrap()]) {
        assert!(error.contains(word), "`{word}` is not in: {error}");
    }
    let mut after = contents(path);
    // The lock is made before anything is looked at.
    after.retain(|file, _| before.contains_key(file) || !file.ends_with("lock"));
    assert_eq!(before, after);
}

#[test]
fn a_store_is_used_by_one_at_a_time() {
    let (_folder, path) = filled();
    let first = open(&path).unwrap();
    let clone = first.clone();
    drop(first);
    let error = open(&path).unwrap_err();
    assert!(error.contains("in use by another process") && error.contains(path.to_str().unwrap()), "{error}");
    drop(clone);
    let again = open(&path).unwrap();
    assert_eq!(block_on(again.usage()).unwrap(), (200, 200 * SIZE as u64));
}

#[test]
fn a_folder_that_is_no_store_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("thesis.txt"), "years of work").unwrap();
    is_refused_and_left_alone(folder.path(), &["thesis.txt", "not a store", "name another folder"]);
    let file = folder.path().join("thesis.txt");
    let error = open(&file).unwrap_err();
    assert!(error.contains("thesis.txt"), "{error}");
    assert_eq!(fs::read(&file).unwrap(), b"years of work");
}

#[test]
fn another_format_is_refused() {
    let (_folder, path) = filled();
    fs::write(path.join("format"), "sluicegate store, format 7\n").unwrap();
    is_refused_and_left_alone(&path, &["format 7", "run the version that wrote it"]);
    for foreign in [&b""[..], b"\xff\xfe", b"something else"] {
        fs::write(path.join("format"), foreign).unwrap();
        is_refused_and_left_alone(&path, &["damaged", "`format`", "restore it from a backup"]);
    }
}

#[test]
fn a_store_without_its_tree_is_refused() {
    let (_folder, path) = filled();
    fs::rename(path.join("tree"), path.join("elsewhere")).unwrap();
    is_refused_and_left_alone(&path, &["damaged", "`tree` is missing"]);
}

#[test]
fn a_store_whose_making_was_cut_off_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    fs::create_dir_all(path.join("tree.new/keyspaces")).unwrap();
    fs::write(path.join("format.new"), "sluice").unwrap();
    drop(open(&path).unwrap());
    // Cut off between the two last steps.
    fs::rename(path.join("tree"), path.join("tree.new")).unwrap();
    let store = open(&path).unwrap();
    assert_eq!(block_on(store.usage()).unwrap(), (0, 0));
}

/// Files that are cut off or overwritten: the store is refused with its path and left as it
/// is, or it opens and everything is there; a part of a table that cannot be read is an error
/// when it is asked for.
#[test]
fn damaged_files_are_refused_or_do_not_matter() {
    let (_folder, path) = filled();
    let whole = contents(&path);
    let (mut refused, mut opened, mut unreadable) = (0, 0, 0);
    for (file, bytes) in &whole {
        let garbage: Vec<u8> = bytes.iter().map(|byte| byte ^ 0x5a).take(4096).collect();
        let middle = bytes.len() / 2;
        let overwritten: Vec<u8> = bytes
            .iter()
            .enumerate()
            .map(|(at, byte)| if at / 100 == middle / 100 { !byte } else { *byte })
            .collect();
        for damage in [&bytes[..middle], &[], &garbage, &overwritten] {
            fs::write(file, damage).unwrap();
            let damaged = contents(&path);
            match open(&path) {
                Ok(store) => {
                    opened += 1;
                    assert_eq!(
                        block_on(store.usage()).unwrap(),
                        (200, 200 * SIZE as u64),
                        "{}",
                        file.display()
                    );
                    for number in 0..200 {
                        match block_on(store.get(RecordKey([number; 32]))) {
                            Ok(record) => assert_eq!(record.unwrap().value, vec![number; SIZE]),
                            // Found out when it is read.
                            Err(_) => unreadable += 1,
                        }
                    }
                }
                Err(error) => {
                    refused += 1;
                    assert!(error.contains(path.to_str().unwrap()), "{error}");
                    assert!(error.contains("restore it from a backup"), "{error}");
                    let after = contents(&path);
                    // What makes up the records; the engine itself may rename its lists.
                    for (file, bytes) in damaged.iter().filter(|(file, _)| is_data(file)) {
                        assert!(after.get(file) == Some(bytes), "{} was changed", file.display());
                    }
                }
            }
            fs::remove_dir_all(&path).unwrap();
            for (file, bytes) in &whole {
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, bytes).unwrap();
            }
        }
    }
    println!("{refused} refused, {opened} opened, {unreadable} reads refused");
    assert!(refused > 0);
    let store = open(&path).unwrap();
    assert_eq!(block_on(store.usage()).unwrap(), (200, 200 * SIZE as u64));
}

fn is_data(file: &Path) -> bool {
    file.extension().is_some_and(|it| it == "jnl") || is_table(file)
}

fn is_table(file: &Path) -> bool {
    file.components().any(|it| it.as_os_str() == "tables")
}
