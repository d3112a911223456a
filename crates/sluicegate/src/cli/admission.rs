//! The part of `status` that tells of buckets, queues and caps.

use serde_json::Value;

use super::{Failure, Streams, output};

/// A table each; nothing at all where nothing is limited.
pub(super) fn status(admission: &Value, to: &mut Streams<'_>) -> Result<(), Failure> {
    let rows = |section: &str, row: fn(&Value) -> Vec<String>| -> Vec<Vec<String>> {
        admission[section].as_array().into_iter().flatten().map(row).collect()
    };
    let tables = [
        (["BUCKET", "OF", "RPS", "BURST", "LEFT"].as_slice(), rows("buckets", bucket)),
        (&["QUEUE", "RUNNING", "WAITING", "BYTES", "SHEDDING", "PRESSURE"], rows("queues", queue)),
        (&["UPSTREAM", "RUNNING"], rows("upstreams", upstream)),
    ];
    if tables.iter().all(|(_, rows)| rows.is_empty()) {
        return Ok(());
    }
    writeln!(to.out, "\nlimits")?;
    for (head, rows) in tables.into_iter().filter(|(_, rows)| !rows.is_empty()) {
        let head: Vec<_> = head.iter().map(|&name| name.to_owned()).collect();
        output::table(to.out, &head, &rows)?;
    }
    Ok(())
}

fn text(row: &Value, name: &str) -> String {
    row[name].as_str().unwrap_or("?").to_owned()
}

fn number(row: &Value, name: &str) -> u64 {
    row[name].as_u64().unwrap_or_default()
}

/// `12 of 64`, or `12` where there is no limit.
fn of(now: u64, most: Option<u64>) -> String {
    most.map_or_else(|| now.to_string(), |most| format!("{now} of {most}"))
}

fn bucket(row: &Value) -> Vec<String> {
    let rps = row["rps"].as_f64().unwrap_or_default();
    let left = match row["remaining"].as_u64() {
        Some(remaining) => remaining.to_string(),
        None => format!("each of {} tenants its own", number(row, "tenants")),
    };
    vec![
        text(row, "kind"),
        text(row, "name"),
        // The time for one token is rounded to nanoseconds: that is not worth a digit.
        format!("{}", (rps * 1000.0).round() / 1000.0),
        number(row, "burst").to_string(),
        left,
    ]
}

fn queue(row: &Value) -> Vec<String> {
    let running = of(number(row, "in_use"), row["concurrent"].as_u64());
    let running = match row["per_tenant"].as_u64() {
        Some(each) => format!("{running}, {each} for each tenant"),
        None => running,
    };
    let (interactive, batch) = (number(row, "waiting_interactive"), number(row, "waiting_batch"));
    let waiting = of(interactive + batch, Some(number(row, "queue")));
    let waiting = if batch > 0 { format!("{waiting}, {batch} batch") } else { waiting };
    let shedding = text(row, "shedding");
    vec![
        text(row, "route"),
        running,
        waiting,
        output::bytes(number(row, "waiting_bytes")),
        if number(row, "shed_step") > 0 { shedding.to_uppercase() } else { shedding },
        format!("{:.2}", row["pressure"].as_f64().unwrap_or_default()),
    ]
}

fn upstream(row: &Value) -> Vec<String> {
    vec![text(row, "upstream"), of(number(row, "in_use"), row["concurrent"].as_u64())]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::status;
    use crate::cli::Streams;

    fn shown(admission: &serde_json::Value) -> String {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        status(admission, &mut Streams { out: &mut out, err: &mut err, terminal: false }).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn buckets_queues_and_caps_are_tables_and_shedding_is_loud() {
        let admission = json!({
            "buckets": [
                { "kind": "global", "name": "global", "rps": 499.99975, "burst": 1000, "remaining": 12 },
                { "kind": "tenant", "name": "ask", "rps": 0.5, "burst": 2, "remaining": null, "tenants": 3 },
            ],
            "queues": [
                {
                    "route": "ask", "in_use": 7, "concurrent": 8, "per_tenant": null, "waiting_interactive": 2,
                    "waiting_batch": 5, "waiting_bytes": 2048, "queue": 256, "shedding": "all of batch",
                    "shed_step": 2, "pressure": 0.4249,
                },
                { "route": "rest", "in_use": 1, "per_tenant": 4, "queue": 16, "shedding": "nothing", "shed_step": 0 },
            ],
            "upstreams": [{ "upstream": "model", "in_use": 7, "concurrent": 64 }],
        });
        let text = shown(&admission);
        for line in [
            "global  global  500  1000   12",
            "tenant  ask     0.5  2      each of 3 tenants its own",
            "ask    7 of 8                7 of 256, 5 batch  2.0 KiB  ALL OF BATCH  0.42",
            "rest   1, 4 for each tenant  0 of 16            0 B      nothing       0.00",
            "model     7 of 64",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert_eq!(shown(&json!({ "buckets": [], "queues": [], "upstreams": [] })), "");
    }
}
