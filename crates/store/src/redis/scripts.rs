//! The scripts, one for each kind of operation.
//!
//! A script runs alone on the server: what it reads cannot change before it writes. Each is
//! named by the hash of its text and sent whole only where the server does not know it yet.
//! Their effects are replicated, not their text, so that they may ask the server's clock.

use std::sync::LazyLock;

use ::redis::Script;

/// Every script.
#[derive(Debug)]
pub(super) struct Scripts {
    pub(super) hello: Script,
    pub(super) arrive: Script,
    pub(super) leave: Script,
    pub(super) sweep: Script,
    pub(super) restore: Script,
    pub(super) restore_entry: Script,
    pub(super) get: Script,
    pub(super) swap: Script,
    pub(super) beat: Script,
    pub(super) page: Script,
    pub(super) usage: Script,
    pub(super) append: Script,
    pub(super) claim: Script,
    pub(super) change: Script,
    pub(super) beat_entries: Script,
    pub(super) entry: Script,
    pub(super) entries: Script,
    pub(super) tally: Script,
}

/// They never change.
pub(super) static SCRIPTS: LazyLock<Scripts> = LazyLock::new(|| Scripts {
    hello: about_records(include_str!("scripts/hello.lua")),
    arrive: about_records(include_str!("scripts/arrive.lua")),
    leave: about_records(include_str!("scripts/leave.lua")),
    restore: about_records(include_str!("scripts/restore.lua")),
    get: about_records(include_str!("scripts/get.lua")),
    swap: about_records(include_str!("scripts/swap.lua")),
    beat: about_records(include_str!("scripts/beat.lua")),
    page: about_records(include_str!("scripts/page.lua")),
    usage: about_records(include_str!("scripts/usage.lua")),
    sweep: about_entries(include_str!("scripts/sweep.lua")),
    restore_entry: about_entries(include_str!("scripts/restore_entry.lua")),
    append: about_entries(include_str!("scripts/append.lua")),
    claim: about_entries(include_str!("scripts/claim.lua")),
    change: about_entries(include_str!("scripts/change.lua")),
    beat_entries: about_entries(include_str!("scripts/beat_entries.lua")),
    entry: about_entries(include_str!("scripts/entry.lua")),
    entries: about_entries(include_str!("scripts/entries.lua")),
    tally: about_entries(include_str!("scripts/tally.lua")),
});

const COMMON: &str = include_str!("scripts/common.lua");
const LINES: &str = include_str!("scripts/lines.lua");

fn about_records(body: &str) -> Script {
    Script::new(&format!("{COMMON}\n{body}"))
}

fn about_entries(body: &str) -> Script {
    Script::new(&format!("{COMMON}\n{LINES}\n{body}"))
}
