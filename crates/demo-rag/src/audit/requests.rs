//! Requests by path and method: how many came, how many are in flight, how many failed.
//!
//! Paths are the routes' patterns, so the table is as small as the list of routes. The
//! debug paths are left out: a look must not change what it looks at.

use std::{collections::BTreeMap, sync::Arc};

use http::{Method, StatusCode};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// The requests of one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestCounts {
    /// Requests that came since the start.
    pub total: u64,
    /// Those whose answer has not been sent to its end.
    pub in_flight: u64,
    /// The same by route.
    pub routes: Vec<RouteCounts>,
}

/// The requests of one path and method.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteCounts {
    /// The pattern of the path, or `other`.
    pub path: String,
    /// The method, or `OTHER`.
    pub method: String,
    /// Requests that came since the start.
    pub count: u64,
    /// Those whose answer has not been sent to its end.
    pub in_flight: u64,
    /// Those that were answered with a 5xx, or with nothing at all.
    pub failed: u64,
}

type Table = BTreeMap<(String, &'static str), RouteCounts>;

/// The table; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests(Arc<Mutex<Table>>);

impl Requests {
    pub(crate) fn look(&self) -> RequestCounts {
        let routes = self.0.lock().values().cloned().collect::<Vec<_>>();
        RequestCounts {
            total: routes.iter().map(|route| route.count).sum(),
            in_flight: routes.iter().map(|route| route.in_flight).sum(),
            routes,
        }
    }

    /// Counts a request on this route until what comes back is dropped.
    pub(crate) fn came(&self, path: &str, method: &Method) -> InFlight {
        let key = (path.to_owned(), known(method));
        let mut table = self.0.lock();
        let route = table.entry(key.clone()).or_insert_with(|| RouteCounts {
            path: key.0.clone(),
            method: key.1.to_owned(),
            ..RouteCounts::default()
        });
        route.count += 1;
        route.in_flight += 1;
        drop(table);
        InFlight { requests: self.clone(), key, failed: true }
    }
}

/// A request in flight. It has failed unless it is told its status.
#[derive(Debug)]
pub(crate) struct InFlight {
    requests: Requests,
    key: (String, &'static str),
    failed: bool,
}

impl InFlight {
    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.failed = status.is_server_error();
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if let Some(route) = self.requests.0.lock().get_mut(&self.key) {
            route.in_flight -= 1;
            route.failed += u64::from(self.failed);
        }
    }
}

/// Methods that clients make up share one entry.
fn known(method: &Method) -> &'static str {
    const KNOWN: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("OTHER")
}
