//! Keeping the keys of a URL fresh.
//!
//! One task on the side runtime per source. It fetches, waits for `refresh`, and fetches again;
//! after a failure it waits for a second first, then twice as long each time up to `refresh`. A
//! token that newer keys might verify wakes it, but no sooner than [`HURRY`] after it last asked:
//! whoever makes keys up cannot have the provider flooded.
//!
//! It goes where the document says and nowhere else, as [`sluicegate_outbound`] has it: a redirect is
//! a failure.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use sluicegate_core::{Authorities, secret_file::REDACTED};
use sluicegate_outbound as outbound;
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    home::{Shared, Source},
    keys::Keys,
};

/// The least time between two fetches that tokens ask for.
pub const HURRY: Duration = Duration::from_secs(10);

/// How long a fetch may take.
const LIMIT: Duration = Duration::from_secs(5);

/// The largest set of keys.
const LARGEST: u64 = 1 << 20;

/// The first pause after a failure.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Fetches until nobody holds the source any more.
pub(crate) async fn keep(source: Weak<Source>, shared: Arc<Shared>) {
    let mut failures = 0_u32;
    loop {
        let Some(alive) = source.upgrade() else { return };
        let asked = Instant::now();
        let (url, authorities) = (alive.url.clone(), alive.authorities.clone());
        let fetched = tokio::task::spawn_blocking(move || fetch(&url, authorities.as_ref())).await;
        match fetched.unwrap_or_else(|_| Err("the fetch was broken off".to_owned())) {
            Ok(keys) => {
                failures = 0;
                shared.metrics.fetched.inc();
                alive.take(keys, &shared);
            }
            Err(reason) => {
                failures = failures.saturating_add(1);
                shared.metrics.failed.inc();
                alive.failed(&reason, &shared);
            }
        }
        let refresh = alive.refresh();
        let pause = match failures.checked_sub(1) {
            None => refresh,
            Some(doublings) => FIRST_PAUSE.saturating_mul(1 << doublings.min(10)).min(refresh),
        };
        let woken = alive.woken.clone();
        drop(alive);
        tokio::select! {
            () = sleep(pause) => {}
            () = async { woken.notified().await; sleep_until(asked + HURRY).await } => {}
        }
    }
}

/// The keys at `url`. Blocking.
fn fetch(url: &str, authorities: Option<&Authorities>) -> Result<Keys, String> {
    let client = outbound::client(url, authorities, LIMIT).map_err(|message| format!("`ca` {message}"))?;
    let agent: ureq::Agent = client.build().into();
    let mut answer = agent.get(url).call().map_err(in_words)?;
    if !answer.status().is_success() {
        return Err(format!(
            "it answers {}; a redirect is not followed: name the address of the keys themselves",
            answer.status()
        ));
    }
    let text = answer.body_mut().with_config().limit(LARGEST).read_to_string().map_err(in_words)?;
    Keys::parse(&text)
}

fn in_words(error: ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("it did not answer whole within {LIMIT:?}"),
        ureq::Error::BodyExceedsLimit(most) => format!("it answers more than {most} bytes"),
        other => other.to_string(),
    }
}

/// A URL without its query, where some put credentials.
pub(crate) fn shown(url: &str) -> String {
    match url.split_once('?') {
        Some((address, _)) => format!("{address}?{REDACTED}"),
        None => url.to_owned(),
    }
}
