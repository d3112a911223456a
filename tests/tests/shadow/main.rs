//! Shadows, as clients, upstreams and operators meet them.
//!
//! | file | holds |
//! |---|---|
//! | `harmless` | shadows that hang, refuse, reset, trickle, flood or are not there |
//! | `dropped` | every other reason why there is no copy, each counted as what it is |
//! | `share` | how many are copied, and that a session is copied whole or not at all |
//! | `effects` | what a copy carries and what it does not, and who pays for it |
//! | `writes` | writes, and that a copy is sent once |
//! | `bodies` | bodies of all kinds, protocols, upgrades |
//! | `compared` | known differences between two real services are found |
//! | `streams` | the same of answers that are streamed |
//! | `noise` | what changes on both sides is not reported |
//! | `log` | the differing pairs as lines of a file |
//! | `reload` | shadows that come, go and change under load |
//! | `gate` | rollouts that wait for what the comparison says |
//! | `latency` | what a shadow costs the requests it is made of |
//! | `origin` | an upstream that answers by a function |

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod bodies;
mod compared;
mod dropped;
mod effects;
mod gate;
mod harmless;
mod latency;
mod log;
mod noise;
mod origin;
mod reload;
mod share;
mod streams;
mod writes;

use std::{collections::BTreeMap, net::SocketAddr, time::Instant};

use serde_json::Value;
use sluicegate_tests::{Gateway, LIMIT};
use socket2::{Domain, Socket, Type};

/// A breaker that never opens: each failure is told as what it is.
const NO_BREAKER: &str = "breaker: { consecutive: 0 }";

/// A document, piece by piece as they stand in it: the upstreams `main` and `lab`, the route
/// `all`, whose requests lead to the one and are copied to the other, and the route `plain`, which
/// takes `/plain/…` and is not copied.
#[derive(Clone, Debug)]
struct Rules {
    /// More of the shadow.
    shadow: String,
    /// More of the route `all`.
    route: String,
    /// More of both upstreams.
    upstream: &'static str,
    /// Whatever else, in lines of its own.
    extra: &'static str,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            shadow: "percent: 100".to_owned(),
            route: "access: read".to_owned(),
            upstream: NO_BREAKER,
            extra: "",
        }
    }
}

impl Rules {
    /// With this shadow, whose requests all read.
    fn of(shadow: impl Into<String>) -> Self {
        Self { shadow: shadow.into(), ..Self::default() }
    }

    /// With an upstream and its shadow at these URLs.
    fn document(&self, main: &str, lab: &str) -> String {
        self.with(main, lab, &format!("shadow: {{ to: lab, {} }}", self.shadow))
    }

    /// Without the shadow.
    fn without(&self, main: &str, lab: &str) -> String {
        self.with(main, lab, "")
    }

    fn with(&self, main: &str, lab: &str, shadow: &str) -> String {
        let more = |piece: &str| if piece.is_empty() { String::new() } else { format!(", {piece}") };
        let (route, upstream, shadow) = (more(&self.route), more(self.upstream), more(shadow));
        format!(
            r#"listen: [{{ address: "127.0.0.1:0" }}]
admin: {{ address: "127.0.0.1:0" }}
store: {{ memory: {{}} }}
upstreams:
  main: {{ endpoints: ["{main}"]{upstream} }}
  lab: {{ endpoints: ["{lab}"]{upstream} }}
routes:
  - {{ name: plain, match: {{ path: "/plain/{{*rest}}" }}, upstream: main }}
  - {{ name: all, match: {{ path: "/{{*rest}}" }}, upstream: main{route}{shadow} }}
{}
"#,
            self.extra
        )
    }

    fn start(&self, main: &str, lab: &str) -> Gateway {
        Gateway::start(&self.document(main, lab))
    }
}

/// A port that is taken and where nobody listens, for as long as it is held.
struct Nobody(Socket);

impl Nobody {
    fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        Self(socket)
    }

    fn url(&self) -> String {
        format!("http://{}", self.0.local_addr().unwrap().as_socket().unwrap())
    }
}

/// What became of requests and their copies, without what never happened.
type Outcomes = BTreeMap<String, u64>;

/// The value of a label in a series as it stands.
fn label<'a>(labels: &'a str, name: &str) -> &'a str {
    let rest = labels.split(&format!("{name}=\"")).nth(1).unwrap_or_else(|| panic!("no {name} in {labels}"));
    rest.split('"').next().unwrap()
}

/// What became of the requests and copies of the shadows to `to`.
async fn outcomes_of(gateway: &Gateway, to: &str) -> Outcomes {
    let counts = gateway.counts("sluicegate_shadow_requests_total").await.into_iter();
    let mut outcomes = Outcomes::new();
    for (labels, count) in counts.filter(|(labels, count)| label(labels, "to") == to && *count > 0) {
        *outcomes.entry(label(&labels, "outcome").to_owned()).or_default() += count;
    }
    outcomes
}

/// The same of those to `lab`.
async fn outcomes(gateway: &Gateway) -> Outcomes {
    outcomes_of(gateway, "lab").await
}

fn expected(outcomes: &[(&str, u64)]) -> Outcomes {
    outcomes.iter().map(|(outcome, count)| ((*outcome).to_owned(), *count)).collect()
}

/// How many requests and copies have come to an end.
fn total(outcomes: &Outcomes) -> u64 {
    outcomes.values().sum()
}

/// Waits until all requests and copies have come to this, and nothing is left of them.
async fn come_to(gateway: &Gateway, wanted: &[(&str, u64)]) {
    let (wanted, end) = (expected(wanted), Instant::now() + LIMIT);
    loop {
        let found = outcomes(gateway).await;
        if found == wanted {
            break;
        }
        let over = total(&found) >= total(&wanted) || Instant::now() > end;
        assert!(!over, "they came to {found:?} and not to {wanted:?}");
    }
    at_rest(gateway).await;
}

/// Waits until `count` requests and copies have come to an end, and nothing is left of them; what
/// they came to.
async fn ended(gateway: &Gateway, count: u64) -> Outcomes {
    let end = Instant::now() + LIMIT;
    loop {
        let found = outcomes(gateway).await;
        if total(&found) >= count {
            assert_eq!(total(&found), count, "{found:?}");
            at_rest(gateway).await;
            return found;
        }
        assert!(Instant::now() < end, "{found:?} of {count}");
    }
}

/// Waits until no copy is on its way and no byte is held for any.
async fn at_rest(gateway: &Gateway) {
    let end = Instant::now() + LIMIT;
    loop {
        let on_their_way = gateway.count("sluicegate_shadow_in_flight", "").await;
        let held = gateway.count("sluicegate_shadow_held_bytes", "").await;
        if (on_their_way, held) == (0, 0) {
            return;
        }
        assert!(Instant::now() < end, "{on_their_way} copies are on their way, {held} bytes are held");
    }
}

/// How many pairs were judged, against the shadow or the own upstream: the same, and differing.
async fn pairs(gateway: &Gateway, against: &str) -> (u64, u64) {
    let counts = gateway.counts("sluicegate_shadow_pairs_total").await;
    let of = |result: &str| {
        let wanted = |labels: &str| label(labels, "against") == against && label(labels, "result") == result;
        counts.iter().filter(|(labels, _)| wanted(labels)).map(|(_, count)| count).sum()
    };
    (of("same"), of("differs"))
}

/// Waits until so many pairs were judged against the shadow; how many differ.
async fn judged(gateway: &Gateway, against: &str, count: u64) -> u64 {
    let end = Instant::now() + LIMIT;
    loop {
        let (same, differ) = pairs(gateway, against).await;
        if same + differ >= count {
            assert_eq!(same + differ, count, "pairs against {against}");
            return differ;
        }
        assert!(Instant::now() < end, "{same} same and {differ} differing pairs of {count}");
    }
}

/// The classes in which answers differ, and in how many pairs.
async fn classes(gateway: &Gateway, against: &str) -> BTreeMap<String, u64> {
    let counts = gateway.counts("sluicegate_shadow_differences").await.into_iter();
    let of_it = counts.filter(|(labels, count)| label(labels, "against") == against && *count > 0);
    of_it.map(|(labels, count)| (label(&labels, "class").to_owned(), count)).collect()
}

/// The shadow to `lab` as `GET /status` shows it, null where it is not there.
async fn shown(gateway: &Gateway) -> Value {
    let status = gateway.admin_get("/status").await;
    let shadows = status["shadows"].as_array().expect("a list of shadows");
    shadows.iter().find(|shadow| shadow["to"] == "lab").cloned().unwrap_or_default()
}

/// What the comparisons of that shadow say.
async fn verdict(gateway: &Gateway) -> String {
    shown(gateway).await["verdict"].as_str().unwrap_or_default().to_owned()
}

/// Has another document run.
async fn reload(gateway: &Gateway, document: &str) {
    let answer = gateway.put_config("", document).await;
    assert_eq!(answer.status, 200, "{}", answer.json());
}
