//! An upstream that counts what it did.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use parking_lot::Mutex;
use sluicegate_store::fence::StoredBody;

use crate::{Prepared, RunOutcome, Runner, intent::target};

/// What an upstream does with one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Does it and answers.
    Status(u16),
    /// Answers so without doing it.
    Undone(u16),
    /// Does it, and its answer is lost.
    DoneThenLost,
    /// Is lost before it is done.
    LostUndone,
    /// Is not reached.
    Unreachable,
    /// A freeze has come back.
    Frozen,
    /// Does it, and never answers.
    DoneThenHangs,
}

/// An upstream that counts what it did.
#[derive(Clone, Debug)]
pub(crate) struct Upstream(Arc<Served>);

#[derive(Debug, Default)]
struct Served {
    /// Keys of what was done, in order; with the body.
    done: Mutex<Vec<(String, Bytes)>>,
    /// Every request that came, by key.
    sent: Mutex<Vec<String>>,
    requests: Mutex<Vec<(Method, String, HeaderMap)>>,
    fates: Mutex<HashMap<String, Vec<Fate>>>,
    latency: Mutex<Duration>,
    dedupes: bool,
    most_at_once: Mutex<(usize, usize)>,
}

impl Upstream {
    pub(crate) fn new() -> Self {
        Self(Arc::default())
    }

    /// One that honours keys.
    pub(crate) fn deduping() -> Self {
        Self(Arc::new(Served { dedupes: true, ..Served::default() }))
    }

    /// The next requests of this key meet these fates, and then it answers 200.
    pub(crate) fn fate(&self, key: &str, fates: &[Fate]) {
        let mut fates = fates.to_vec();
        fates.reverse();
        self.0.fates.lock().insert(key.to_owned(), fates);
    }

    pub(crate) fn latency(&self, latency: Duration) {
        *self.0.latency.lock() = latency;
    }

    /// The keys of what was done, in order.
    pub(crate) fn done(&self) -> Vec<String> {
        self.0.done.lock().iter().map(|(key, _)| key.clone()).collect()
    }

    pub(crate) fn sent(&self) -> Vec<String> {
        self.0.sent.lock().clone()
    }

    pub(crate) fn requests(&self) -> Vec<(Method, String, HeaderMap)> {
        self.0.requests.lock().clone()
    }

    pub(crate) fn most_at_once(&self) -> usize {
        self.0.most_at_once.lock().1
    }

    fn does(&self, key: &str, body: &Bytes) {
        let mut done = self.0.done.lock();
        if !self.0.dedupes || done.iter().all(|(known, _)| known != key) {
            done.push((key.to_owned(), body.clone()));
        }
    }
}

struct AtOnce<'a>(&'a Served);

impl Drop for AtOnce<'_> {
    fn drop(&mut self) {
        self.0.most_at_once.lock().0 -= 1;
    }
}

impl Runner for Upstream {
    async fn run(&self, prepared: Prepared) -> RunOutcome {
        let key = prepared.key.to_string();
        let fate = self.0.fates.lock().get_mut(&key).and_then(Vec::pop).unwrap_or(Fate::Status(200));
        if fate == Fate::Frozen {
            return RunOutcome::Frozen;
        }
        {
            let mut at_once = self.0.most_at_once.lock();
            at_once.0 += 1;
            at_once.1 = at_once.1.max(at_once.0);
        }
        let _at_once = AtOnce(&self.0);
        self.0.sent.lock().push(key.clone());
        let request = &prepared.request;
        self.0.requests.lock().push((
            request.method().clone(),
            target(request.uri()).into(),
            request.headers().clone(),
        ));
        let latency = *self.0.latency.lock();
        tokio::time::sleep(latency).await;
        let answer = |status: u16| {
            let body = StoredBody::Whole(Bytes::from(format!("answer to {key}")));
            RunOutcome::Answered(
                Response::builder().status(status).header("etag", "\"1\"").body(body).unwrap(),
            )
        };
        match fate {
            Fate::Status(status) => {
                self.does(&key, request.body());
                answer(status)
            }
            Fate::Undone(status) => answer(status),
            Fate::DoneThenLost => {
                self.does(&key, request.body());
                RunOutcome::Unknown("the connection was reset".into())
            }
            Fate::LostUndone => RunOutcome::Unknown("the connection was reset".into()),
            Fate::Unreachable => RunOutcome::Refused("no connection".into()),
            Fate::DoneThenHangs => {
                self.does(&key, request.body());
                std::future::pending().await
            }
            Fate::Frozen => RunOutcome::Frozen,
        }
    }
}
