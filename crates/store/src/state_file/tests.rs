use std::fs;

use super::{StateError, StateFile};

type Words = StateFile<Vec<String>>;

fn words(list: &[&str]) -> Vec<String> {
    list.iter().map(|&word| word.to_owned()).collect()
}

#[test]
fn what_was_written_is_read_back_and_the_last_value_holds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let (mut file, found) = Words::open(&path).unwrap();
    assert_eq!(found, None);
    file.write(&words(&["a"])).unwrap();
    file.write(&words(&["b", "c"])).unwrap();
    drop(file);
    assert_eq!(Words::open(&path).unwrap().1, Some(words(&["b", "c"])));
    assert!(!folder.path().join("state.json.new").exists());
}

#[test]
fn opening_makes_no_folder_and_the_first_write_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/deep/state.json");
    let (mut file, found) = Words::open(&path).unwrap();
    assert_eq!((found, folder.path().join("data").exists()), (None, false));
    file.write(&words(&["a"])).unwrap();
    assert!(matches!(Words::open(&path), Err(StateError::InUse(_))));
    drop(file);
    assert_eq!(Words::open(&path).unwrap().1, Some(words(&["a"])));
}

#[test]
fn a_second_owner_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let (first, _) = Words::open(&path).unwrap();
    let error = Words::open(&path).unwrap_err().to_string();
    assert!(error.contains(path.to_str().unwrap()) && error.contains("another process"), "{error}");
    drop(first);
    Words::open(&path).unwrap();
}

#[test]
fn a_writer_that_came_second_to_a_new_folder_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/state.json");
    let (mut late, _) = Words::open(&path).unwrap();
    let (mut early, _) = Words::open(&path).unwrap();
    early.write(&words(&["early"])).unwrap();
    assert!(matches!(late.write(&words(&["late"])), Err(StateError::InUse(_))));
    drop(early);
    assert!(matches!(late.write(&words(&["late"])), Err(StateError::Overtaken(_))));
    assert_eq!(Words::open(&path).unwrap().1, Some(words(&["early"])));
}

#[test]
fn damage_is_an_error_that_names_the_file_and_touches_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    for damaged in ["", "{", "[]", "{\"format\": 1}", "{\"format\": 1, \"state\": 7}"] {
        fs::write(&path, damaged).unwrap();
        let error = Words::open(&path).unwrap_err();
        assert!(matches!(error, StateError::Damaged { .. }), "{damaged}: {error}");
        assert!(error.to_string().contains("state.json is damaged"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), damaged);
    }
    fs::write(&path, "{\"format\": 2, \"state\": {\"new\": true}}").unwrap();
    assert!(matches!(Words::open(&path), Err(StateError::Format { found: 2, .. })));
}

#[test]
fn a_path_through_a_file_is_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let blocked = folder.path().join("data");
    fs::write(&blocked, "a file where the folder should be").unwrap();
    let opened = Words::open(blocked.join("state.json"));
    let error = opened.unwrap_err().to_string();
    assert!(error.contains("data/state.json"), "{error}");
}

#[test]
fn a_failed_write_keeps_the_old_value() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("state.json");
    let (mut file, _) = Words::open(&path).unwrap();
    file.write(&words(&["old"])).unwrap();
    // A folder in the place of the new file stops the write before it begins.
    fs::create_dir(folder.path().join("state.json.new")).unwrap();
    let error = file.write(&words(&["new"])).unwrap_err().to_string();
    assert!(error.starts_with("cannot create"), "{error}");
    drop(file);
    assert_eq!(Words::open(&path).unwrap().1, Some(words(&["old"])));
}
