//! The calendar, webhooks and the banner, as operators, receivers, pages and jobs meet them.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod banner;
mod cors;
mod hang;
mod jobs;
mod told;
mod trust;
mod verify;
mod windows;

use jiff::{Timestamp, tz::TimeZone};

/// A secret that webhooks are signed with.
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The block of a page whose second line names this file.
fn recipe(page: &'static str, name: &str) -> &'static str {
    let blocks = page.split("\n```").skip(1).step_by(2).filter_map(|block| Some(block.split_once('\n')?.1));
    let named =
        |block: &&str| block.lines().nth(1).is_some_and(|line| line.starts_with(&format!("# {name} ")));
    blocks.into_iter().find(named).unwrap_or_else(|| panic!("the page has no {name}"))
}

/// So many seconds from now on the wall clock of a zone, as a window's `from` is written.
fn from_now(zone: &str, seconds: i64) -> String {
    let at = Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    TimeZone::get(zone).unwrap().to_datetime(at).strftime("%Y-%m-%dT%H:%M:%S").to_string()
}
