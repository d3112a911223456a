//! The part of `status` that tells of upstreams, and of those that serve other versions than
//! they are pinned to.

use serde_json::Value;

use super::{Failure, Streams, output};

/// A table of the endpoints; below it, each pin that is not what it should be.
pub(super) fn status(upstreams: &Value, to: &mut Streams<'_>) -> Result<(), Failure> {
    if upstreams.is_null() {
        return Ok(());
    }
    writeln!(to.out, "\nupstreams")?;
    let Some(endpoints) = upstreams.as_array().filter(|endpoints| !endpoints.is_empty()) else {
        return Ok(output::section(to.out, upstreams)?);
    };
    let head = ["UPSTREAM", "ENDPOINT", "STATE", "PINS"].map(str::to_owned);
    // Where nothing is pinned there is nothing to say of it.
    let columns = if endpoints.iter().any(|row| row["pins"].is_array()) { 4 } else { 3 };
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or("-").to_owned();
    let row = |row: &Value| {
        let pins = if row["pins"].is_array() { in_a_word(&row["pins"]) } else { "-" };
        let cells = [text(row, "upstream"), text(row, "endpoint"), text(row, "state"), pins.to_owned()];
        cells.into_iter().take(columns).collect()
    };
    let rows: Vec<Vec<String>> = endpoints.iter().map(row).collect();
    output::table(to.out, &head[..columns], &rows)?;
    for row in endpoints {
        let upstream = row["upstream"].as_str().unwrap_or("?");
        for finding in row["pins"].as_array().into_iter().flatten() {
            let loud = match finding["state"].as_str() {
                Some("mismatch") => "MISMATCH",
                Some("stale") => "STALE",
                _ if finding["failed"].is_string() => "UNREADABLE",
                _ => continue,
            };
            let says = finding["says"].as_str().unwrap_or("its pins are not as declared");
            writeln!(to.out, "  {loud}  {upstream}: {}", output::plain(says))?;
        }
    }
    Ok(())
}

/// The worst that any source tells of an endpoint's pins.
fn in_a_word(findings: &Value) -> &'static str {
    let all = || findings.as_array().into_iter().flatten();
    let any = |state: &str| all().any(|finding| finding["state"] == state);
    if any("mismatch") {
        "MISMATCH"
    } else if any("stale") {
        "STALE"
    } else if all().any(|finding| finding["failed"].is_string()) {
        "UNREADABLE"
    } else if any("match") {
        "match"
    } else {
        "not told yet"
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::status;
    use crate::cli::Streams;

    fn shown(upstreams: &Value) -> String {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        status(upstreams, &mut Streams { out: &mut out, err: &mut err, terminal: false }).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_pin_that_is_told_otherwise_is_loud() {
        let source = |source: &str, state: &str, failed: Value| json!({ "source": source, "state": state, "failed": failed, "says": format!("{source} says {state}\r") });
        let row = |upstream: &str, pins: &[Value]| json!({ "upstream": upstream, "endpoint": "http://u", "state": "up", "pins": pins });
        let text = shown(&json!([
            row("good", &[source("manifest", "match", Value::Null), source("answer", "unknown", Value::Null)]),
            row("new", &[source("answer", "unknown", Value::Null)]),
            row("next", &[source("manifest", "match", Value::Null), source("answer", "mismatch", Value::Null)]),
            row("old", &[source("manifest", "stale", json!("503")), source("answer", "match", Value::Null)]),
            row("dumb", &[source("manifest", "unknown", json!("404")), source("answer", "match", Value::Null)]),
            { "upstream": "plain", "endpoint": "http://u", "state": "up" },
        ]));
        let expected = "\nupstreams\n  \
             UPSTREAM  ENDPOINT  STATE  PINS\n  \
             good      http://u  up     match\n  \
             new       http://u  up     not told yet\n  \
             next      http://u  up     MISMATCH\n  \
             old       http://u  up     STALE\n  \
             dumb      http://u  up     UNREADABLE\n  \
             plain     http://u  up     -\n  \
             MISMATCH  next: answer says mismatch\\r\n  \
             STALE  old: manifest says stale\\r\n  \
             UNREADABLE  dumb: manifest says unknown\\r\n";
        assert_eq!(text, expected);
        let plain = shown(&json!([{ "upstream": "plain", "endpoint": "http://u", "state": "up" }]));
        assert_eq!(plain, "\nupstreams\n  UPSTREAM  ENDPOINT  STATE\n  plain     http://u  up\n");
        assert_eq!(shown(&json!([])), "\nupstreams\n  none\n");
        assert_eq!(shown(&Value::Null), "");
    }
}
