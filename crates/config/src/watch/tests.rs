use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use notify::{
    Event, EventKind,
    event::{AccessKind, AccessMode, CreateKind, DataChange, ModifyKind},
};
use tokio::{sync::mpsc, time::timeout};

use super::{Changed, Watcher, matters};

/// The promise: from change to telling.
const PROMISED: Duration = Duration::from_millis(500);

async fn told(changes: &mut mpsc::Receiver<Changed>) -> Changed {
    timeout(Duration::from_secs(10), changes.recv())
        .await
        .expect("a change is told")
        .expect("the watcher runs")
}

/// Tries it three times, since a busy machine may once be late; the fastest counts.
async fn in_time(changes: &mut mpsc::Receiver<Changed>, mut change: impl FnMut(u32)) {
    let mut fastest = Duration::MAX;
    for round in 0..3 {
        let began = Instant::now();
        change(round);
        assert_eq!(told(changes).await, document());
        fastest = fastest.min(began.elapsed());
    }
    assert!(fastest < PROMISED, "{fastest:?}");
}

fn document() -> Changed {
    Changed { document: true, files: Vec::new() }
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
}

struct Place {
    folder: tempfile::TempDir,
    file: PathBuf,
}

fn place() -> Place {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.yaml");
    write(&file, "one");
    Place { folder, file }
}

#[tokio::test]
async fn a_write_in_place_and_a_rename_are_told_in_time() {
    let place = place();
    let (_watcher, mut changes) = Watcher::start(place.file.clone(), Vec::new());
    in_time(&mut changes, |round| write(&place.file, &format!("in place {round}"))).await;
    in_time(&mut changes, |round| {
        let new = place.folder.path().join("gateway.yaml.new");
        write(&new, &format!("renamed {round}"));
        fs::rename(&new, &place.file).unwrap();
    })
    .await;
}

/// As the kubelet does it: `gateway.yaml -> ..data/gateway.yaml`, `..data -> ..one`; a new
/// folder is made and `..data` is renamed over.
#[tokio::test]
async fn a_swap_of_a_config_map_is_told_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let version = |name: &str, text: &str| {
        fs::create_dir(at(name)).unwrap();
        write(&at(name).join("gateway.yaml"), text);
        symlink(name, at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
    };
    version("..one", "one");
    symlink("..data/gateway.yaml", at("gateway.yaml")).unwrap();
    let (_watcher, mut changes) = Watcher::start(at("gateway.yaml"), Vec::new());
    let mut before = "..one".to_owned();
    in_time(&mut changes, |round| {
        let name = format!("..next{round}");
        version(&name, &name);
        fs::remove_dir_all(at(&before)).unwrap();
        before = name;
    })
    .await;
}

#[tokio::test]
async fn a_file_behind_a_symlink_is_watched_where_it_is() {
    let (place, folder) = (place(), tempfile::tempdir().unwrap());
    let link = folder.path().join("link.yaml");
    symlink(&place.file, &link).unwrap();
    let (_watcher, mut changes) = Watcher::start(link, Vec::new());
    in_time(&mut changes, |round| write(&place.file, &format!("behind {round}"))).await;
}

#[tokio::test]
async fn a_file_that_goes_and_comes_back_is_told_each_time() {
    let place = place();
    let (_watcher, mut changes) = Watcher::start(place.file.clone(), Vec::new());
    fs::remove_file(&place.file).unwrap();
    assert_eq!(told(&mut changes).await, document());
    write(&place.file, "one");
    assert_eq!(told(&mut changes).await, document());
}

#[tokio::test]
async fn a_broken_document_and_its_repair_are_both_told() {
    let place = place();
    let good = include_str!("../../../../config/quickstart.yaml");
    write(&place.file, good);
    let (_watcher, mut changes) = Watcher::start(place.file.clone(), Vec::new());
    assert!(crate::load(&place.file).is_ok());
    write(&place.file, &good.replace("listen:", "listne:"));
    assert_eq!(told(&mut changes).await, document());
    assert!(crate::load(&place.file).unwrap_err().to_string().contains("did you mean `listen`?"));
    write(&place.file, good);
    assert_eq!(told(&mut changes).await, document());
    assert!(crate::load(&place.file).is_ok());
}

#[tokio::test]
async fn named_files_are_watched_and_can_be_replaced_by_others() {
    let (place, secrets) = (place(), tempfile::tempdir().unwrap());
    let (cert, token) = (secrets.path().join("cert.pem"), secrets.path().join("token"));
    write(&cert, "one");
    let (watcher, mut changes) = Watcher::start(place.file.clone(), vec![cert.clone()]);
    write(&cert, "two");
    assert_eq!(told(&mut changes).await, Changed { document: false, files: vec![cert.clone()] });

    // The token does not exist yet: its coming is a change too.
    watcher.set_extra(vec![token.clone()]);
    write(&place.file, "two");
    assert_eq!(told(&mut changes).await, document());
    write(&cert, "three");
    write(&token, "one");
    assert_eq!(told(&mut changes).await, Changed { document: false, files: vec![token] });
}

#[tokio::test]
async fn the_same_content_again_and_other_files_are_not_told() {
    let place = place();
    let (_watcher, mut changes) = Watcher::start(place.file.clone(), Vec::new());
    write(&place.file, "one");
    write(&place.folder.path().join("other.yaml"), "two");
    write(&place.file, "three");
    assert_eq!(told(&mut changes).await, document());
    assert!(timeout(PROMISED, changes.recv()).await.is_err());
}

#[tokio::test]
async fn it_ends_when_it_is_dropped() {
    let place = place();
    let (watcher, mut changes) = Watcher::start(place.file.clone(), Vec::new());
    drop(watcher);
    assert_eq!(timeout(Duration::from_secs(10), changes.recv()).await.expect("it ends"), None);
}

#[test]
fn reading_and_foreign_writing_do_not_wake_it() {
    let names = ["gateway.yaml".into()].into();
    let event = |kind, path: &str| Event::new(kind).add_path(path.into());
    let write = EventKind::Modify(ModifyKind::Data(DataChange::Any));
    let written = EventKind::Access(AccessKind::Close(AccessMode::Write));
    let read = EventKind::Access(AccessKind::Open(AccessMode::Any));
    assert!(matters(&event(write, "/a/gateway.yaml"), &names));
    assert!(matters(&event(written, "/a/gateway.yaml"), &names));
    assert!(matters(&event(EventKind::Create(CreateKind::Any), "/a/..data"), &names));
    assert!(!matters(&event(write, "/a/access.log"), &names));
    assert!(!matters(&event(read, "/a/gateway.yaml"), &names));
}
