//! Keeping the keys of a URL fresh.
//!
//! One task on the side runtime per source. It fetches, waits for `refresh`, and fetches again;
//! after a failure it waits for a second first, then twice as long each time up to `refresh`. A
//! token that newer keys might verify wakes it, but no sooner than [`HURRY`] after it last asked:
//! whoever makes keys up cannot have the provider flooded.
//!
//! It goes where the document says and nowhere else. A redirect is a failure: it could lead to where
//! the answer can be changed on the way, or into a network that only the gateway reaches. No proxy
//! is taken from the environment.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::{Instant, sleep, sleep_until};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

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
        let fetched = tokio::task::spawn_blocking(move || fetch(&url, authorities.as_deref())).await;
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
fn fetch(url: &str, authorities: Option<&[u8]>) -> Result<Keys, String> {
    let mut tls = TlsConfig::builder();
    if url.starts_with("https") {
        tls = tls.root_certs(RootCerts::new_with_certs(&trusted(authorities)?));
    }
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .proxy(None)
        .max_redirects(0)
        .user_agent(concat!("sluicegate/", env!("CARGO_PKG_VERSION")))
        .timeout_global(Some(LIMIT))
        .tls_config(tls.build())
        .build()
        .into();
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
        ureq::Error::StatusCode(status) => format!("it answers {status}"),
        other => other.to_string(),
    }
}

/// A URL without its query, where some put credentials.
pub(crate) fn shown(url: &str) -> String {
    match url.split_once('?') {
        Some((address, _)) => format!("{address}?[redacted]"),
        None => url.to_owned(),
    }
}

fn trusted(authorities: Option<&[u8]>) -> Result<Vec<Certificate<'static>>, String> {
    let Some(pem) = authorities else {
        let system = rustls_native_certs::load_native_certs().certs;
        return Ok(system.iter().map(|der| Certificate::from_der(der).to_owned()).collect());
    };
    let mut found = Vec::new();
    for item in parse_pem(pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| format!("`ca`: {error}"))? {
            found.push(certificate);
        }
    }
    Ok(found)
}

/// What is wrong with a file of authorities.
pub(crate) fn authorities_fault(pem: &[u8]) -> Option<String> {
    match trusted(Some(pem)) {
        Ok(found) if found.is_empty() => {
            Some("holds no certificate; it must hold at least one CERTIFICATE block".to_owned())
        }
        Ok(_) => None,
        Err(error) => Some(format!("is not PEM: {error}")),
    }
}
