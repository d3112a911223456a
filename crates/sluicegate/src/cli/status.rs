//! `status`: what a running gateway does, on one screen.

use std::{fmt::Write, time::Duration};

use jiff::Timestamp;
use serde_json::Value;
use sluicegate_freeze::FreezeStatus;

use super::{
    Exit, Failure, StatusArgs, Streams, admission, ask::print_refusal, client::Client, intents, output, read,
    reload::problem_line, rollout, shadow, upstreams, watch::watch, webhooks,
};

/// What has a form of its own; everything else is a section that is printed as a table.
const OWN: [&str; 13] = [
    "version",
    "started_at",
    "readiness",
    "config",
    "freeze",
    "store",
    "fences",
    "intents",
    "admission",
    "rollouts",
    "shadows",
    "upstreams",
    "webhooks",
];

/// So many freezes to come are told.
const NEXT_LINES: usize = 5;

pub(crate) fn run(args: &StatusArgs, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    let client = Client::new(&args.admin)?;
    let look = || Ok(client.send("GET", "/status", None, Duration::ZERO)?);
    if args.watch {
        return watch(args.json, look, |status, to| show(status, client.url(), to), to);
    }
    let status = client.send("GET", "/status", None, Duration::ZERO).or_else(|error| {
        print_refusal(&error, args.json, to)?;
        Err(Failure::from(error))
    })?;
    if args.json {
        output::json(to.out, &status)?;
    } else {
        show(&status, client.url(), to)?;
    }
    Ok(Exit::Done)
}

fn show(status: &Value, url: &str, to: &mut Streams<'_>) -> Result<(), Failure> {
    let now = Timestamp::now();
    gateway(status, url, now, to)?;
    config(&status["config"], now, to)?;
    let freezes = serde_json::from_value(status["freeze"].clone())
        .map_err(|error| Failure::Other(format!("the gateway's freezes cannot be read: {error}")))?;
    freeze(&freezes, now, to)?;
    webhooks::status(&status["webhooks"], now, to)?;
    store(status, now, to)?;
    rollout::status(&status["rollouts"], now, to)?;
    shadow::status(&status["shadows"], to)?;
    admission::status(&status["admission"], to)?;
    upstreams::status(&status["upstreams"], to)?;
    for (name, section) in status.as_object().into_iter().flatten() {
        if !OWN.contains(&name.as_str()) {
            writeln!(to.out, "\n{}", name.replace('_', " "))?;
            output::section(to.out, section)?;
        }
    }
    Ok(())
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

/// The store, and what is kept in it: a line each, and more where something is wrong.
fn store(status: &Value, now: Timestamp, to: &mut Streams<'_>) -> Result<(), Failure> {
    let store = &status["store"];
    if store.is_null() {
        return Ok(());
    }
    writeln!(to.out, "\nstore")?;
    let health = store["health"].as_str().unwrap_or("?");
    let loud = if health == "up" { health.to_owned() } else { health.to_uppercase() };
    writeln!(to.out, "  {}: {loud}", store["kind"].as_str().unwrap_or("?"))?;
    for finding in store["findings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        writeln!(to.out, "    {}", output::plain(finding))?;
    }
    match known(&status["fences"]) {
        Ok(fences) => writeln!(to.out, "  keys: {}", keys(fences))?,
        Err(why) => writeln!(to.out, "  keys: {why}")?,
    }
    writeln!(to.out, "\nintents")?;
    match known(&status["intents"]) {
        Ok(status) => intents::status(&read(status.clone())?, "  ", now, to),
        Err(why) => Ok(writeln!(to.out, "  {why}")?),
    }
}

/// A section, or why there is none.
fn known(section: &Value) -> Result<&Value, String> {
    match section["error"].as_str() {
        Some(error) => Err(format!("cannot be told: {}", output::plain(error))),
        None if section.is_null() => Err("not told".to_owned()),
        None => Ok(section),
    }
}

/// How many keys there are against what there may be, and what else is out of the ordinary.
fn keys(fences: &Value) -> String {
    let number = |name: &str| fences[name].as_u64().unwrap_or_default();
    let mut line = format!(
        "{} of {} remembered, {} of {}; {} running, {} waiting",
        number("keys"),
        number("max_keys"),
        output::bytes(number("bytes")),
        output::bytes(number("max_bytes")),
        number("running"),
        number("waiting"),
    );
    for (name, words) in [
        ("detached", "running without their clients"),
        ("settles_waiting", "ends not written down yet: the store does not take them"),
    ] {
        if number(name) > 0 {
            // Writing to a string cannot fail.
            let _ = write!(line, "; {} {words}", number(name));
        }
    }
    // What is full refuses new keys.
    let nearly = |now: &str, most: &str| u128::from(number(now)) * 10 > u128::from(number(most)) * 9;
    if nearly("keys", "max_keys") || nearly("bytes", "max_bytes") {
        line += "; NEARLY FULL: past the bound new keys are refused, see `fences.max_keys` and `fences.max_bytes`";
    }
    line
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
    for next in status.next.iter().take(NEXT_LINES) {
        let wait = output::between(now, next.starts);
        let lasts = output::between(next.starts, next.ends);
        let covers = output::scope(next.scope.as_ref());
        let announced = if next.announced { "; announced" } else { "" };
        writeln!(
            to.out,
            "  coming: {} covers {covers} in {wait}, at {}, for {lasts}{announced}",
            next.id, next.starts
        )?;
    }
    if status.next.len() > NEXT_LINES {
        writeln!(to.out, "  and {} later: see `sluicegate status --json`", status.next.len() - NEXT_LINES)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::keys;

    #[test]
    fn keys_are_told_against_their_bounds_and_what_is_out_of_the_ordinary_besides() {
        let quiet = json!({
            "keys": 90, "max_keys": 100, "bytes": 1024, "max_bytes": 1_048_576, "running": 3, "waiting": 1,
            "detached": 0, "settles_waiting": 0,
        });
        let line = "90 of 100 remembered, 1.0 KiB of 1.0 MiB; 3 running, 1 waiting";
        assert_eq!(keys(&quiet), line);
        let mut loud = quiet.clone();
        loud["detached"] = 2.into();
        loud["settles_waiting"] = 4.into();
        assert_eq!(
            keys(&loud),
            format!(
                "{line}; 2 running without their clients; 4 ends not written down yet: the store does not take them"
            )
        );
        for full in [("keys", 91), ("bytes", 1_000_000)] {
            let mut nearly = quiet.clone();
            nearly[full.0] = full.1.into();
            assert!(keys(&nearly).contains("; NEARLY FULL: past the bound new keys are refused"), "{full:?}");
        }
    }
}
