//! The gateway: a shadow on the route.
//!
//! A bad shadow's breaker is off, so that every copy goes all of its bad way, and copies give up
//! after a second, so that there are always new ones.

use std::net::SocketAddr;

use super::{Copies, Stage};
use crate::{
    mirror::{
        SHARE,
        service::{ANSWERS, DIFFERS},
    },
    overload::ASK,
};

pub(super) fn document(stage: &Stage<'_>, copies: Copies, admin: SocketAddr) -> String {
    let (primary, shadow) = (stage.primary, stage.shadow);
    let compare = format!("compare: {{ ignore: [{DIFFERS}] }}");
    let more = match copies {
        Copies::None => None,
        Copies::Sent => Some(String::new()),
        Copies::Compared => Some(format!(", noise: 0, {compare}")),
        Copies::Weighed => Some(format!(", noise: 10, {compare}")),
        Copies::Burdened => Some(format!(", noise: 10, timeout: 1s, {compare}")),
    };
    let breaker = if copies == Copies::Burdened { ", breaker: { consecutive: 0 }" } else { "" };
    let parts = more.map(|more| {
        let upstream = format!("\n  lab: {{ endpoints: [\"http://{shadow}\"]{breaker} }}");
        let route = format!("\n    answers: {ANSWERS}\n    shadow: {{ to: lab, percent: {SHARE}{more} }}");
        (upstream, route)
    });
    let (lab, on_route) = parts.unwrap_or_default();
    format!(
        "
listen: [{{ address: 127.0.0.1:0 }}]
admin: {{ address: \"{admin}\" }}
store: {{ memory: {{}} }}
workers: 1
upstreams:
  stable: {{ endpoints: [\"http://{primary}\"] }}{lab}
routes:
  - name: ask
    match: {{ path: {ASK}, methods: [GET] }}
    upstream: stable{on_route}
log: {{ level: error }}
"
    )
}
