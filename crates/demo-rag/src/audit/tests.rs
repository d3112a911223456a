//! The counts at one moment, the ring, and what ends a write.

use http::{Method, Request, StatusCode, request::Parts};

use super::{Audit, KEPT_WRITES, Requests};

fn head(path: &str) -> Parts {
    let request = Request::put(path).header("idempotency-key", "k").header("x-request-id", "r");
    request.body(()).unwrap().into_parts().0
}

#[test]
fn a_write_runs_from_its_head_to_its_end() {
    let audit = Audit::new();
    let before = audit.now_ms();
    assert!(audit.counts().quiet_since(before));
    let ticket = audit.arrived(&head("/v1/documents/a"));
    let look = audit.writes(0, 10);
    assert_eq!((look.count, look.running, look.applied), (1, 1, 0));
    assert_eq!((look.writes[0].ended_ms, look.writes[0].status), (None, None));
    assert_eq!(look.writes[0].key.as_deref(), Some("k"));
    assert_eq!(look.writes[0].request_id.as_deref(), Some("r"));
    assert!(!look.quiet_since(audit.now_ms()), "it runs");

    let during = audit.now_ms();
    while audit.now_ms() <= during {}
    ticket.applied();
    ticket.end(StatusCode::CREATED);
    assert!(!audit.counts().quiet_since(during), "it arrived before and ran after");
    let look = audit.writes(0, 10);
    assert_eq!((look.count, look.running, look.applied), (1, 0, 1));
    assert_eq!(look.writes[0].status, Some(201));
    assert!(look.writes[0].applied && look.writes[0].ended_ms >= Some(look.writes[0].started_ms));
    assert!(!look.quiet_since(before));
    assert!(look.quiet_since(audit.now_ms()));
}

#[test]
fn a_write_that_is_given_up_ends_without_a_status() {
    let audit = Audit::new();
    drop(audit.arrived(&head("/v1/documents/a")));
    let look = audit.writes(0, 10);
    assert_eq!(look.running, 0);
    assert_eq!((look.writes[0].status, look.writes[0].applied), (None, false));
}

#[test]
fn the_list_is_bounded_and_the_count_is_not() {
    let audit = Audit::new();
    let long = audit.arrived(&head("/first"));
    for _ in 0..KEPT_WRITES {
        audit.arrived(&head("/more")).end(StatusCode::OK);
    }
    let look = audit.writes(0, usize::MAX);
    assert_eq!(look.writes.len(), KEPT_WRITES);
    assert_eq!(look.count, KEPT_WRITES as u64 + 1);
    assert_eq!(look.writes[0].seq, 2);
    assert_eq!(look.running, 1, "one that left the list still counts");
    long.end(StatusCode::OK);
    assert_eq!(audit.counts().running, 0);

    let seqs = |after, limit| audit.writes(after, limit).writes.iter().map(|w| w.seq).collect::<Vec<_>>();
    assert_eq!(seqs(look.count - 2, 10), [look.count - 1, look.count]);
    assert_eq!(seqs(0, 1), [look.count]);
}

#[test]
fn long_texts_are_cut_at_a_character() {
    let audit = Audit::new();
    let head = Request::put("/").header("idempotency-key", "é".repeat(300)).body(()).unwrap().into_parts().0;
    let _ticket = audit.arrived(&head);
    assert_eq!(audit.writes(0, 1).writes[0].key, Some("é".repeat(128)));
}

#[test]
fn requests_are_counted_by_route_until_they_are_dropped() {
    let requests = Requests::default();
    let mut good = requests.came("/v1/retrieve", &Method::POST);
    let lost = requests.came("/v1/retrieve", &Method::POST);
    let odd = requests.came("other", &Method::from_bytes(b"BREW").unwrap());
    good.answered(StatusCode::OK);
    assert_eq!(requests.look().in_flight, 3);
    drop((good, lost, odd));
    let look = requests.look();
    assert_eq!((look.total, look.in_flight), (3, 0));
    assert_eq!((look.routes[0].count, look.routes[0].failed), (2, 1));
    assert_eq!((look.routes[1].path.as_str(), look.routes[1].method.as_str()), ("other", "OTHER"));
}
