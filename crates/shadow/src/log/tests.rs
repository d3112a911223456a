use std::{
    fs,
    io::Read,
    os::unix::fs::symlink,
    path::Path,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use super::{LAST_WAIT, Log, LogReport, LogSettings, MOST_BYTES, MOST_LINES};

fn settings(path: &Path, max_size: u64, files: u32) -> LogSettings {
    LogSettings { path: path.to_owned(), max_size, files }
}

/// Waits for the log to be as it should, and fails where it never is.
fn until(log: &Log, is_so: impl Fn(&LogReport) -> bool) -> LogReport {
    let begun = Instant::now();
    loop {
        let report = log.report();
        if is_so(&report) {
            return report;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{report:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

fn lines(path: &Path) -> Vec<String> {
    fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn drop_writes_what_is_queued_and_ends_the_thread() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = Log::new(settings(&path, 1 << 20, 3));
    for n in 0..2000 {
        log.write(n.to_string());
    }
    let shared = std::sync::Arc::downgrade(&log.shared);
    drop(log);
    assert_eq!(lines(&path), (0..2000).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(shared.upgrade().is_none(), "the thread is gone with all it held");
}

#[test]
fn files_are_rotated_and_none_is_larger_than_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = Log::new(settings(&path, 100, 3));
    for n in 0..50 {
        log.write(format!("{n:09}"));
    }
    let report = until(&log, |report| report.written == 50);
    assert_eq!((report.rotations, report.failed, report.dropped, report.error), (4, 0, 0, None));
    assert_eq!(names(folder.path()), ["log", "log.1", "log.2"]);
    let of = |name: &str| lines(&folder.path().join(name));
    let numbers = |from: u32, to: u32| (from..to).map(|n| format!("{n:09}")).collect::<Vec<_>>();
    assert_eq!(of("log.2"), numbers(20, 30));
    assert_eq!(of("log.1"), numbers(30, 40));
    assert_eq!(of("log"), numbers(40, 50));

    // Fewer files from now on: what is too much goes with the next rotation.
    log.set(settings(&path, 100, 1));
    log.write("x".to_owned());
    let report = until(&log, |report| report.written == 51);
    assert_eq!((report.rotations, names(folder.path())), (5, vec!["log".to_owned()]));
    assert_eq!(lines(&path), ["x"]);
}

#[test]
fn a_line_that_no_file_can_hold_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = Log::new(settings(&path, 100, 2));
    log.write("y".repeat(100));
    let report = until(&log, |report| report.failed == 1);
    assert!(report.error.unwrap().contains("max_size"));
    log.write("y".repeat(99));
    assert_eq!(until(&log, |report| report.written == 1).error, None);
    assert_eq!(fs::metadata(&path).unwrap().len(), 100);
}

#[test]
fn a_log_goes_on_where_another_ended_and_cuts_half_a_line_off() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, "{\"whole\":1}\n{\"ha").unwrap();
    drop({
        let log = Log::new(settings(&path, 30, 2));
        log.write("a".to_owned());
        log.write("b".repeat(20));
        log
    });
    assert_eq!(lines(&folder.path().join("log.1")), ["{\"whole\":1}", "{\"ha", "a"]);
    assert_eq!(lines(&path), ["b".repeat(20)]);
}

#[test]
fn a_directory_that_is_gone_is_told_and_healed() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    let path = inner.join("log");
    fs::create_dir(&inner).unwrap();
    let log = Log::new(settings(&path, 1000, 2));
    log.write("one".to_owned());
    until(&log, |report| report.written == 1);
    fs::remove_dir_all(&inner).unwrap();
    log.write("two".to_owned());
    let report = until(&log, |report| report.failed == 1);
    assert!(report.error.unwrap().contains("inner/log"));
    fs::create_dir(&inner).unwrap();
    log.write("three".to_owned());
    assert_eq!(until(&log, |report| report.written == 2).error, None);
    assert_eq!(lines(&path), ["three"]);
}

#[test]
fn a_full_disk_is_told_and_healed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    symlink("/dev/full", &path).unwrap();
    let log = Log::new(settings(&path, 20, 2));
    for _ in 0..5 {
        log.write("lost, all of it".to_owned());
    }
    let report = until(&log, |report| report.failed == 5);
    assert!(report.error.unwrap().contains("No space left"));
    assert_eq!((report.written, report.rotations), (0, 0));
    fs::remove_file(&path).unwrap();
    log.write("kept".to_owned());
    assert_eq!(until(&log, |report| report.written == 1).error, None);
    assert_eq!(lines(&path), ["kept"]);
}

#[test]
fn a_device_is_never_moved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    symlink("/dev/null", &path).unwrap();
    let log = Log::new(settings(&path, 20, 2));
    for _ in 0..5 {
        log.write("into the void".to_owned());
    }
    assert_eq!(until(&log, |report| report.written == 5).rotations, 0);
    assert_eq!(names(folder.path()), ["log"]);
}

#[test]
fn a_file_moved_away_by_others_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (path, away) = (folder.path().join("log"), folder.path().join("away"));
    let log = Log::new(settings(&path, 1000, 2));
    log.write("one".to_owned());
    until(&log, |report| report.written == 1);
    fs::rename(&path, &away).unwrap();
    log.write("two".to_owned());
    until(&log, |report| report.written == 2);
    // As log rotation does it that makes the new file itself.
    fs::remove_file(&path).unwrap();
    fs::write(&path, "made\n").unwrap();
    log.write("three".to_owned());
    until(&log, |report| report.written == 3);
    log.reopen();
    log.write("four".to_owned());
    until(&log, |report| report.written == 4);
    assert_eq!(
        (lines(&away), lines(&path)),
        (vec!["one".to_owned()], ["made", "three", "four"].map(str::to_owned).to_vec())
    );
}

/// A pipe that nobody reads: opening it hangs, as a disk may.
fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn a_full_queue_is_counted_and_nobody_waits_and_a_move_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (slow, next) = (folder.path().join("slow"), folder.path().join("next"));
    pipe(&slow);
    let log = Log::new(settings(&slow, 1 << 20, 2));
    log.write("first".to_owned());
    // Once the thread has taken it, it hangs in opening the pipe.
    while log.shared.queue.push("taken".to_owned()) {}
    let taken = MOST_LINES + 1;
    let begun = Instant::now();
    for _ in 0..100 {
        log.write("too much".to_owned());
    }
    assert!(begun.elapsed() < Duration::from_secs(1));
    assert!((99..=100).contains(&log.report().dropped), "{:?}", log.report());
    let queued = taken + 100 - usize::try_from(log.report().dropped).unwrap();
    log.set(settings(&next, 1 << 20, 2));
    log.reopen();
    let reader = thread::spawn(move || {
        let mut text = String::new();
        fs::File::open(slow).unwrap().read_to_string(&mut text).unwrap();
        text.lines().count()
    });
    let report = until(&log, |report| report.path == next);
    assert_eq!(reader.join().unwrap() as u64, report.written);
    assert!(queued as u64 - report.written <= 1, "{queued} {report:?}");
    log.write("after".to_owned());
    drop(log);
    assert_eq!(lines(&next), ["after"]);
}

#[test]
fn bytes_that_wait_are_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let slow = folder.path().join("slow");
    pipe(&slow);
    let log = Log::new(settings(&slow, 1 << 30, 2));
    let lines = (0..40).filter(|_| log.shared.queue.push("z".repeat(MOST_BYTES / 10))).count();
    assert!((10..=11).contains(&lines), "{lines}");
    // Lets the thread go.
    thread::spawn(move || std::io::copy(&mut fs::File::open(slow).unwrap(), &mut std::io::sink()).unwrap());
}

#[test]
fn a_log_that_hangs_is_given_up() {
    let folder = tempfile::tempdir().unwrap();
    let slow = folder.path().join("slow");
    pipe(&slow);
    let log = Log::new(settings(&slow, 1000, 2));
    log.write("never".to_owned());
    let begun = Instant::now();
    drop(log);
    assert!(begun.elapsed() >= LAST_WAIT && begun.elapsed() < 10 * LAST_WAIT);
    // Lets the thread go.
    thread::spawn(move || fs::File::open(slow).unwrap().read_to_end(&mut Vec::new()).unwrap());
}

#[test]
fn a_log_that_is_left_writes_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = Log::new(settings(&path, 1000, 2));
    log.write("last words".to_owned());
    log.leave();
    let begun = Instant::now();
    while lines(&path).is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20));
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(lines(&path), ["last words"]);
}
