//! Taking a fingerprint without holding up the others on this thread.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::request::Parts;
use sluicegate_core::Refusal;
use sluicegate_store::fingerprint::{Fingerprint, FingerprintRules};
use tokio::task::JoinHandle;

use crate::refuse;

/// From here on a body is read on a thread for blocking work: a few hundred microseconds.
const BIG: usize = 64 * 1024;

/// A fingerprint that is being taken.
#[derive(Debug)]
pub(crate) enum Printing {
    Done(Option<Box<Fingerprint>>),
    Elsewhere(JoinHandle<Fingerprint>),
}

impl Printing {
    /// `body` is none where it was not gathered.
    pub(crate) fn of(head: &Parts, body: Option<&Bytes>, rules: &Arc<FingerprintRules>) -> Self {
        match body {
            Some(body) if body.len() >= BIG => {
                let (method, uri, headers) = (head.method.clone(), head.uri.clone(), head.headers.clone());
                let (body, rules) = (body.clone(), rules.clone());
                Self::Elsewhere(tokio::task::spawn_blocking(move || {
                    Fingerprint::of(&method, &uri, &headers, Some(&body), &rules)
                }))
            }
            body => {
                let print = Fingerprint::of(&head.method, &head.uri, &head.headers, body, rules);
                Self::Done(Some(Box::new(print)))
            }
        }
    }
}

impl Future for Printing {
    type Output = Result<Fingerprint, Refusal>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut *self {
            Self::Done(print) => match print.take() {
                Some(print) => Poll::Ready(Ok(*print)),
                None => Poll::Pending,
            },
            // The runtime is shutting down; nothing in there panics.
            Self::Elsewhere(task) => {
                Poll::Ready(ready!(Pin::new(task).poll(cx)).map_err(|_| refuse::stopping()))
            }
        }
    }
}
