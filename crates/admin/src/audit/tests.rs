use std::{fs, os::unix::fs::PermissionsExt, path::PathBuf, sync::Arc};

use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use sluicegate_core::Clock;

use super::{Actor, Audit, Entry, KEPT};
use crate::Readiness;

fn audit(path: Option<PathBuf>) -> (Audit, Arc<Readiness>) {
    let readiness = Arc::new(Readiness::default());
    (Audit::new(Clock::system(), path, readiness.clone(), &mut Registry::default()), readiness)
}

fn entry(target: &str) -> Entry {
    Entry::done("freeze", target, Actor::cause("calendar"), json!({ "reason": "tests" }))
}

#[tokio::test]
async fn a_line_is_on_disk_when_record_returns_and_old_lines_stay() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    for round in 0..2 {
        let (audit, readiness) = audit(Some(path.clone()));
        audit.record(entry("reindex")).await;
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), round + 1);
        assert_eq!(lines[round]["action"], "freeze");
        assert_eq!(lines[round]["target"], "reindex");
        assert_eq!(lines[round]["actor"], json!({ "cause": "calendar" }));
        assert_eq!(json!(audit.recent(10)), json!(lines[round..]));
        assert_eq!(json!(readiness.view())["degraded"], json!({}));
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_named_counted_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later/audit.log");
    let (audit, readiness) = audit(Some(path.clone()));
    audit.record(entry("one")).await;
    assert_eq!(audit.0.failures.get(), 2, "once at the start, once for the line");
    let reason = json!(readiness.view())["degraded"]["audit"].to_string();
    assert!(reason.contains("audit.log"), "{reason}");
    assert_eq!(audit.recent(10).len(), 1);

    std::fs::create_dir(folder.path().join("later")).unwrap();
    audit.record(entry("two")).await;
    assert_eq!(json!(readiness.view())["degraded"], json!({}));
    assert_eq!(std::fs::read_to_string(path).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn a_file_that_was_rotated_away_is_left_for_the_one_in_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let (audit, _) = audit(Some(path.clone()));
    audit.record(entry("one")).await;
    fs::rename(&path, folder.path().join("audit.1")).unwrap();
    audit.record(entry("two")).await;
    assert!(fs::read_to_string(&path).unwrap().contains("two"));
    // Rotated by one who makes the new file at once.
    fs::rename(&path, folder.path().join("audit.2")).unwrap();
    fs::write(&path, "").unwrap();
    audit.record(entry("three")).await;
    assert!(fs::read_to_string(&path).unwrap().contains("three"));
    assert_eq!(fs::read_to_string(folder.path().join("audit.2")).unwrap().lines().count(), 1);
}

#[tokio::test]
async fn only_its_owner_may_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    let (audit, _) = audit(Some(path.clone()));
    audit.record(entry("one")).await;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // One that is there keeps what its owner has given it.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    audit.record(entry("two")).await;
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
}

#[tokio::test]
async fn half_a_line_spoils_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("audit.log");
    fs::write(&path, "{\"at\":\"2026-").unwrap();
    let (audit, readiness) = audit(Some(path.clone()));
    audit.record(entry("one")).await;
    let text = fs::read_to_string(&path).unwrap();
    let whole: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    assert_eq!((text.lines().count(), whole.len()), (2, 1), "{text}");
    assert_eq!(json!(readiness.view())["degraded"], json!({}));
}

#[test]
fn memory_is_bounded_and_the_newest_comes_first() {
    let (audit, _) = audit(None);
    for n in 0..KEPT + 3 {
        audit.record_blocking(&entry(&n.to_string()));
    }
    assert_eq!(audit.recent(usize::MAX).len(), KEPT);
    assert_eq!(json!(audit.recent(1))[0]["target"], (KEPT + 2).to_string());
}
