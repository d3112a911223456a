//! `status`: what a running gateway does, on one screen.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use sluicegate_freeze::FreezeStatus;

use super::{Exit, Failure, StatusArgs, Streams, client::Client, output, reload::problem_line};

/// What has a form of its own; everything else is a section that is printed as a table.
const OWN: [&str; 5] = ["version", "started_at", "readiness", "config", "freeze"];

pub(crate) fn run(args: &StatusArgs, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    let client = Client::new(&args.admin)?;
    let status = client.send("GET", "/status", None, Duration::ZERO)?;
    if args.json {
        output::json(to.out, &status)?;
        return Ok(Exit::Done);
    }
    let now = Timestamp::now();
    gateway(&status, client.url(), now, to)?;
    config(&status["config"], now, to)?;
    let freezes = serde_json::from_value(status["freeze"].clone())
        .map_err(|error| Failure::Other(format!("the gateway's freezes cannot be read: {error}")))?;
    freeze(&freezes, now, to)?;
    for (name, section) in status.as_object().into_iter().flatten() {
        if !OWN.contains(&name.as_str()) {
            writeln!(to.out, "\n{}", name.replace('_', " "))?;
            output::section(to.out, section)?;
        }
    }
    Ok(Exit::Done)
}

fn ago(at: &Value, now: Timestamp) -> Option<String> {
    Some(output::between(at.as_str()?.parse().ok()?, now))
}

fn gateway(status: &Value, url: &str, now: Timestamp, to: &mut Streams<'_>) -> Result<(), Failure> {
    let readiness = &status["readiness"];
    writeln!(
        to.out,
        "sluicegate {} at {url}: {}, up {}",
        status["version"].as_str().unwrap_or("?"),
        readiness["phase"].as_str().unwrap_or("?"),
        ago(&status["started_at"], now).unwrap_or_else(|| "?".to_owned()),
    )?;
    for (name, reason) in readiness["degraded"].as_object().into_iter().flatten() {
        writeln!(to.out, "  DEGRADED  {name}: {}", reason.as_str().unwrap_or("?"))?;
    }
    Ok(())
}

fn config(config: &Value, now: Timestamp, to: &mut Streams<'_>) -> Result<(), Failure> {
    let hash = config["hash"].as_str().unwrap_or("?");
    writeln!(to.out, "\nconfiguration")?;
    writeln!(
        to.out,
        "  generation {} ({}) from {}, loaded {} ago",
        config["generation"],
        hash.get(..12).unwrap_or(hash),
        config["source"].as_str().unwrap_or("?"),
        ago(&config["loaded_at"], now).unwrap_or_else(|| "?".to_owned()),
    )?;
    let error = &config["last_error"];
    if !error.is_null() {
        let when = ago(&error["at"], now).unwrap_or_else(|| "?".to_owned());
        writeln!(to.out, "  REFUSED {when} ago, and the generation above kept:")?;
        let problems = config["problems"].as_array().filter(|problems| !problems.is_empty());
        for problem in problems.map_or(std::slice::from_ref(error), Vec::as_slice) {
            writeln!(to.out, "    {}", problem_line(problem))?;
        }
    }
    for path in config["needs_restart"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        writeln!(to.out, "  at the next start only: {path}")?;
    }
    Ok(())
}

fn freeze(status: &FreezeStatus, now: Timestamp, to: &mut Streams<'_>) -> Result<(), Failure> {
    writeln!(to.out, "\nfreezes")?;
    if status.freezes.is_empty() {
        writeln!(to.out, "  none; writes are let through")?;
    } else {
        let head = ["ID", "COVERS", "SINCE", "UNTIL", "IN FLIGHT", "UNSETTLED", "DRAINED", "BY", "REASON"];
        let rows: Vec<_> = status
            .freezes
            .iter()
            .map(|one| {
                let dash = || "-".to_owned();
                vec![
                    if one.persisted { one.id.clone() } else { format!("{} (not persisted)", one.id) },
                    output::scope(one.scope.as_ref()),
                    format!("{} ago", output::between(one.since, now)),
                    one.until.map_or_else(dash, |until| format!("in {}", output::between(now, until))),
                    one.writes_in_flight.to_string(),
                    one.unsettled.to_string(),
                    one.drained_at
                        .map_or_else(|| "no".to_owned(), |at| format!("{} ago", output::between(at, now))),
                    one.by.clone().unwrap_or_else(dash),
                    one.reason.clone().unwrap_or_else(dash),
                ]
            })
            .collect();
        output::table(to.out, &head.map(str::to_owned), &rows)?;
    }
    for next in &status.upcoming {
        let wait = output::between(now, next.start);
        let lasts = output::between(next.start, next.end);
        let covers = output::scope(next.scope.as_ref());
        writeln!(to.out, "  coming: {} covers {covers} in {wait}, for {lasts}", next.id)?;
    }
    Ok(())
}
