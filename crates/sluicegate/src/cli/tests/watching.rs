//! `status --watch`, `freeze --wait` on a terminal, completions, who reads what comes of a command.

use std::{
    fs,
    io::{self, Write},
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use clap::{CommandFactory, Parser};

use super::{Ended, Exit, Gateway, type_in};
use crate::cli::{self, Cli, Streams, for_a_program, run};

/// Breaks at the second look.
struct TwoLooks {
    seen: mpsc::Sender<String>,
    looks: usize,
    text: String,
}

impl Write for TwoLooks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.text += &String::from_utf8_lossy(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.looks += 1;
        self.seen.send(std::mem::take(&mut self.text)).unwrap();
        if self.looks < 2 { Ok(()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }
}

/// The first two looks of a command that watches.
fn looks(gateway: &Gateway, line: &[&str], terminal: bool) -> Vec<String> {
    let admin = format!("http://{}", gateway.address);
    let cli = Cli::try_parse_from([&["sluicegate"], line, &["--admin", &admin]].concat()).unwrap();
    let cli::Command::Client(command) = cli.command else { panic!("{line:?} is no client's") };
    let (seen, looks) = mpsc::channel();
    let mut out = TwoLooks { seen, looks: 0, text: String::new() };
    let mut err = Vec::new();
    let exit = run(&command, None, &mut Streams { out: &mut out, err: &mut err, terminal });
    assert_eq!((exit, err.as_slice()), (Exit::Failed, &b""[..]), "a reader that goes is worth no word");
    drop(out);
    looks.iter().collect()
}

#[test]
fn watching_shows_it_again_and_again() {
    let gateway = Gateway::start();
    let plain = looks(&gateway, &["status", "--watch"], false);
    assert!(plain[0].starts_with("sluicegate 1.2.3 at "), "{}", plain[0]);
    assert!(plain[1].starts_with("\nsluicegate 1.2.3 at "), "{}", plain[1]);
    let drawn = looks(&gateway, &["status", "--watch"], true);
    assert!(drawn.iter().all(|look| look.starts_with("\x1b[H\x1b[2Jsluicegate 1.2.3")), "{drawn:?}");
    for line in [["status", "--watch", "--json"].as_slice(), &["intents", "status", "--watch", "--json"]] {
        for look in looks(&gateway, line, false) {
            assert_eq!(look.lines().count(), 1, "{look}");
            assert!(serde_json::from_str::<serde_json::Value>(&look).is_ok(), "{look}");
        }
    }
    let backfill = looks(&gateway, &["intents", "status", "--watch"], false);
    assert_eq!(backfill[0], backfill[1].trim_start_matches('\n'));
}

fn type_on_a_terminal(gateway: &Gateway, line: &[&str]) -> Ended {
    let admin = format!("http://{}", gateway.address);
    let cli = Cli::try_parse_from([&["sluicegate"], line, &["--admin", &admin]].concat()).unwrap();
    let cli::Command::Client(command) = cli.command else { panic!("{line:?} is no client's") };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = run(&command, None, &mut Streams { out: &mut out, err: &mut err, terminal: true });
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { exit, out: text(out), err: text(err) }
}

#[test]
fn a_drain_that_is_watched_ends_as_one_that_is_waited_for() {
    let gateway = Gateway::start();
    let none = type_on_a_terminal(&gateway, &["freeze", "--wait"]);
    assert_eq!((none.exit, none.err.as_str()), (Exit::Done, ""), "{}", none.out);
    assert!(
        none.out.ends_with("drained: waited for 0 writes; none runs now and none can start\n"),
        "{}",
        none.out
    );
    gateway.type_in(&["thaw"]);

    let write = gateway.running_write();
    let over = type_on_a_terminal(&gateway, &["freeze", "--wait", "1100ms"]);
    assert_eq!(over.exit, Exit::NotDrained, "{}{}", over.out, over.err);
    assert!(over.out.contains("NOT drained after 1s100ms: 1 write still in flight"), "{}", over.out);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| type_on_a_terminal(&gateway, &["freeze", "--wait", "20s"]));
        thread::sleep(Duration::from_millis(700));
        write.answer.send(()).unwrap();
        let ended = waiting.join().unwrap();
        assert_eq!(ended.exit, Exit::Done, "{}{}", ended.out, ended.err);
        assert!(ended.out.contains("drained: waited for 1 write;"), "{}", ended.out);
    });
}

#[test]
fn every_shell_gets_a_script_that_knows_the_commands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = type_in(&["completions", shell]);
        assert_eq!((script.exit, script.err.as_str()), (Exit::Done, ""));
        for word in ["rollout", "freeze", "completions", "token-file"] {
            assert!(script.out.contains(word), "{shell} lacks {word}");
        }
        // Only the first of these is wherever this is built.
        let checks = [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")];
        let Some((_, check)) = checks.iter().find(|(name, _)| *name == shell) else { continue };
        match shell_says(shell, &[*check], &script.out) {
            Some((ok, said)) => assert!(ok && said.is_empty(), "{shell}: {said}"),
            None => assert_ne!(shell, "bash", "bash must be there"),
        }
    }
}

/// Whether a shell that is given this on its standard input is content, and what it says; none where
/// there is no such shell.
fn shell_says(shell: &str, arguments: &[&str], script: &str) -> Option<(bool, String)> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("script");
    fs::write(&file, script).unwrap();
    let ran = Command::new(shell).args(arguments).arg(&file).output().ok()?;
    let said = [ran.stdout, ran.stderr].concat();
    Some((ran.status.success(), String::from_utf8_lossy(&said).into_owned()))
}

#[test]
fn bash_completes_what_is_being_typed() {
    let script = type_in(&["completions", "bash"]).out;
    for (typed, expected) in [("fre", "freeze"), ("rollout ab", "abort"), ("thaw --to", "--token-file")] {
        let words: Vec<_> = typed.split(' ').collect();
        let (last, at) = (words[words.len() - 1], words.len());
        let asked = format!(
            "{script}\nCOMP_WORDS=(sluicegate {typed}); COMP_CWORD={at}\n\
             _sluicegate sluicegate '{last}' '{}'\necho \"${{COMPREPLY[@]}}\"\n",
            if at > 1 { words[at - 2] } else { "sluicegate" }
        );
        let (ok, said) = shell_says("bash", &["--norc"], &asked).expect("bash must be there");
        assert!(ok && said.split_whitespace().any(|word| word == expected), "{typed}: {said}");
    }
}

#[test]
fn what_a_program_reads_is_known_by_how_it_was_asked_for() {
    let table: [(&[&str], bool); 9] = [
        (&["status"], false),
        (&["status", "--json"], true),
        (&["rollout", "abort", "embed"], false),
        (&["rollout", "abort", "embed", "--json"], true),
        (&["shadow", "pairs", "ingest", "--json", "--limit", "3"], true),
        (&["check", "gateway.yaml"], false),
        (&["check", "gateway.yaml", "--json"], true),
        (&["schema"], true),
        (&["completions", "bash"], true),
    ];
    for (line, expected) in table {
        let typed = Cli::command().try_get_matches_from([&["sluicegate"], line].concat()).unwrap();
        assert_eq!(for_a_program(&typed), expected, "{line:?}");
    }
}
