use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    brief, report,
    told::{Told, ToldPairs},
};

fn told(mut members: Value) -> Told {
    let mut shadow = json!({
        "route": "retrieve", "to": "lab", "percent": 10.0, "compares": false, "in_flight": 0,
        "copies": {}, "unpaired": {}, "report": null,
    });
    for (name, value) in members.as_object_mut().unwrap() {
        shadow[name] = value.take();
    }
    serde_json::from_value(shadow).unwrap()
}

fn screen(shadow: &Told) -> String {
    let mut out = Vec::new();
    report::screen(shadow, Timestamp::now(), &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn copies_are_shown_by_what_became_of_them_with_what_to_do() {
    let copies =
        json!({ "sampled_out": 90, "rate": 2, "timeout": 3, "answered": 5, "queue_full": 0, "newer": 1 });
    let shown = screen(&told(json!({ "copies": copies, "in_flight": 4 })));
    let rows: Vec<_> = shown.lines().skip_while(|line| !line.starts_with("copies of")).collect();
    assert_eq!(
        rows,
        [
            "copies of 10% of the requests, counted since the gateway has the shadow; 4 are on their way",
            "  answered     5",
            "  timeout      3   no whole answer within `timeout`: it hangs, or is slower than that",
            "  rate         2   `max_rps` is used up: raise it, or lower `percent`",
            "  sampled_out  90  not in the share of `percent`",
            "  newer        1",
        ]
    );
}

#[test]
fn what_came_from_elsewhere_cannot_steer_a_terminal() {
    let shown = screen(&told(json!({ "route": "a\u{1b}[2J" })));
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
}

#[test]
fn a_line_names_what_is_on_its_way_and_what_is_wrong() {
    let copies = json!({ "unreachable": 7, "reset": 1, "memory": 2 });
    let lines = brief::lines(&told(json!({ "copies": copies, "in_flight": 3, "compares": true })));
    assert_eq!(
        lines,
        [
            "retrieve -> lab (10%): too few pairs  copies: 0 answered, 8 without an answer, 2 left out, 3 on their way",
            "  NO ANSWER  none of 8 copies was answered, most for `unreachable`",
        ]
    );
}

#[test]
fn pairs_of_every_kind_are_read() {
    let pair = |copy: Value, comparison: Value| {
        json!({
            "at": "2026-03-01T12:00:00.25Z", "against": "own",
            "request": { "method": "GET", "path": "/x", "id": "", "hash": "h", "shadow_id": "s1" },
            "primary": { "status": 200, "took": 0.012, "bytes": 2048 },
            "copy": copy, "classes": ["text"], "comparison": comparison,
        })
    };
    let comparison = json!({
        "differences": [
            { "class": "/a/*", "kind": "new", "shadow": { "pointer": "/a/3", "value": { "holds": { "what": "object", "size": 2 } } } },
            {
                "class": "/s/*", "kind": "value",
                "primary": { "pointer": "/s/0", "value": { "value": 0.5 } },
                "shadow": { "pointer": "/s/1", "value": { "value": 0.75 } },
            },
            {
                "class": "status", "kind": "status",
                "primary": { "pointer": "", "value": { "value": 200 } },
                "shadow": { "pointer": "", "value": { "value": 500 } },
            },
        ],
        "more": 4, "texts": 0.5,
    });
    let answered = json!({ "answered": { "status": 500, "took": 1.5, "bytes": 10 } });
    let pairs = [pair(answered, comparison), pair(json!({ "failed": "timeout" }), Value::Null)];
    let told: ToldPairs =
        serde_json::from_value(json!({ "route": "r", "to": "lab", "kept": 2, "pairs": pairs })).unwrap();
    let mut out = Vec::new();
    for pair in &told.pairs {
        super::pairs::write(pair, "lab", &mut out).unwrap();
    }
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "2026-03-01T12:00:00Z  GET /x  shadow-id s1\n  \
         own 200 in 12 ms, 2.0 KiB; its own once more (A/A) 500 in 1.50 s, 10 B\n  \
         texts: similarity 0.500\n  \
         /a/3: nothing -> object of 2\n  \
         /s/0: 0.5 -> 0.75 at /s/1\n  \
         status: 200 -> 500\n  \
         and 4 more; --json has what is kept of them\n\
         2026-03-01T12:00:00Z  GET /x  shadow-id s1\n  \
         own 200 in 12 ms, 2.0 KiB; its own once more (A/A) no answer, timeout\n"
    );
}
