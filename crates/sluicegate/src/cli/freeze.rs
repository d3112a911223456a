//! `freeze` and `thaw`.
//!
//! A freeze holds from the moment its first line is printed. With `--wait` the command
//! returns when every write that was let through before has a known end, and its exit code tells
//! how that went: see the table in [`super`].

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use sluicegate_core::units::Span;
use sluicegate_freeze::{DrainReport, FreezeRecord};

use super::{
    AdminArgs, Exit, Failure, Streams,
    ask::print_refusal,
    client::{Client, ClientError, segment},
    drain, output, read,
};

/// The freeze that is meant where no id is given.
const MANUAL: &str = "manual";

/// Arguments of `freeze`.
#[derive(Debug, Args)]
pub struct FreezeArgs {
    /// Where the gateway is.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Names the freeze; several can hold at once
    #[arg(long, value_name = "ID", default_value = MANUAL)]
    pub id: String,
    /// Ends by itself after this long, such as 30m
    #[arg(long = "for", value_name = "DURATION", conflicts_with = "until", value_parser = some_time)]
    pub span: Option<Span>,
    /// Ends by itself then, such as 2030-01-05T03:00:00Z
    #[arg(long, value_name = "RFC3339", value_parser = instant)]
    pub until: Option<Timestamp>,
    /// Why; clients whose writes are refused see it
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Only this route; may be repeated
    #[arg(long = "route", value_name = "NAME")]
    pub routes: Vec<String>,
    /// Only this tenant; may be repeated
    #[arg(long = "tenant", value_name = "NAME")]
    pub tenants: Vec<String>,
    /// Only this upstream; may be repeated
    #[arg(long = "upstream", value_name = "NAME")]
    pub upstreams: Vec<String>,
    /// Return when every write that was let through has ended, or after LIMIT (10m)
    #[arg(long, value_name = "LIMIT", num_args = 0..=1, default_missing_value = "10m", value_parser = some_time)]
    pub wait: Option<Span>,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `thaw`.
#[derive(Debug, Args)]
pub struct ThawArgs {
    /// Where the gateway is.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// The freeze to lift
    #[arg(long, value_name = "ID", default_value = MANUAL)]
    pub id: String,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
}

fn some_time(text: &str) -> Result<Span, String> {
    let span: Span = text.parse().map_err(|error| format!("{error}"))?;
    if span.0.is_zero() { Err("that is no time at all".to_owned()) } else { Ok(span) }
}

fn instant(text: &str) -> Result<Timestamp, String> {
    text.parse().map_err(|_| "write an RFC 3339 time with a zone, such as 2030-01-05T03:00:00Z".to_owned())
}

/// How a freeze is once it is drained, or the time is up.
#[derive(Debug, Deserialize)]
struct Drained {
    #[serde(flatten)]
    freeze: FreezeRecord,
    drain: DrainReport,
}

pub(crate) fn freeze(args: &FreezeArgs, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    let client = Client::new(&args.admin)?;
    let path = format!("/freeze/{}", segment(&args.id));
    let body = client.send("PUT", &path, Some(&order(args)), Duration::ZERO).or_else(|error| {
        print_refusal(&error, args.json, to)?;
        Err(match error {
            ClientError::Refused { problem, .. } if problem.code == "freeze_not_persisted" => {
                Failure::Other(format!(
                    "the freeze `{}` IS on now, but it would not survive a restart of the gateway: {}\n\
                     Repair the store, then give the same command again.",
                    args.id, problem.detail
                ))
            }
            error => error.into(),
        })
    })?;
    let Some(limit) = args.wait else {
        if args.json {
            output::json(to.out, &body)?;
        } else {
            announce(&read::<FreezeRecord>(body)?, args, to)?;
        }
        return Ok(Exit::Done);
    };
    if !args.json {
        announce(&read::<FreezeRecord>(body)?, args, to)?;
    }
    let body = drain::wait(&client, &path, limit, to.terminal && !args.json).or_else(|error| {
        print_refusal(&error, args.json, to)?;
        Err(Failure::Other(match error {
            ClientError::Refused { problem, .. } if problem.code == "freeze_unknown" => ended_early(&args.id),
            error => format!("the freeze was put, but its drain cannot be followed: {error}"),
        }))
    })?;
    if args.json {
        output::json(to.out, &body)?;
    }
    drained(&read(body)?, limit, args, to)
}

fn ended_early(id: &str) -> String {
    format!("the freeze `{id}` was lifted or ended before it was drained")
}

fn order(args: &FreezeArgs) -> Value {
    let mut order = Map::new();
    if let Some(reason) = &args.reason {
        order.insert("reason".into(), json!(reason));
    }
    if let Some(span) = args.span {
        order.insert("for".into(), json!(span));
    }
    if let Some(until) = args.until {
        order.insert("until".into(), json!(until));
    }
    let kinds = [("routes", &args.routes), ("tenants", &args.tenants), ("upstreams", &args.upstreams)];
    let scope: Map<String, Value> = kinds
        .into_iter()
        .filter(|(_, names)| !names.is_empty())
        .map(|(kind, names)| (kind.to_owned(), json!(names)))
        .collect();
    if !scope.is_empty() {
        order.insert("scope".into(), Value::Object(scope));
    }
    Value::Object(order)
}

fn announce(freeze: &FreezeRecord, args: &FreezeArgs, to: &mut Streams<'_>) -> Result<(), Failure> {
    let covers = output::scope(freeze.scope.as_ref());
    let until = match freeze.until {
        Some(until) => format!("until {until} (in {})", output::between(Timestamp::now(), until)),
        None => "until it is lifted".to_owned(),
    };
    // Refused or kept for later, as each route says.
    writeln!(to.out, "frozen `{}`: writes to {covers} are stopped {until}", freeze.id)?;
    let running = output::count(freeze.writes_in_flight, "write");
    match (args.wait, freeze.writes_in_flight) {
        (_, 0) => write!(to.out, "no write is in flight")?,
        (None, _) => write!(to.out, "{running} still in flight, --wait waits for the end")?,
        (Some(limit), _) => write!(to.out, "{running} still in flight, waiting up to {limit}")?,
    }
    writeln!(to.out, "; lift it with: {}", thaw_command(&freeze.id))?;
    if !freeze.persisted {
        writeln!(
            to.out,
            "note: a restart of the gateway lifts it too: freezes are kept by `store.embedded` alone"
        )?;
    }
    Ok(())
}

fn thaw_command(id: &str) -> String {
    if id == MANUAL { "sluicegate thaw".to_owned() } else { format!("sluicegate thaw --id {id}") }
}

/// Tells how the drain went, by words and by exit code.
fn drained(after: &Drained, limit: Span, args: &FreezeArgs, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    let report = &after.drain;
    if report.ended && !report.drained {
        return Err(Failure::Other(ended_early(&args.id)));
    }
    let waited = output::count(report.waited_for, "write");
    let exit = match (report.drained, report.unsettled) {
        (false, _) => Exit::NotDrained,
        (true, 0) => Exit::Done,
        (true, _) => Exit::Unsettled,
    };
    if args.json {
        return Ok(exit);
    }
    match exit {
        Exit::NotDrained => {
            let running = output::count(report.in_flight, "write");
            writeln!(to.out, "NOT drained after {limit}: {running} still in flight; the freeze is on")?;
            writeln!(to.out, "give the same command again to wait on; `sluicegate status` shows what runs")?;
        }
        Exit::Done => {
            writeln!(to.out, "drained: waited for {waited}; none runs now and none can start")?;
        }
        _ => {
            let unknown = output::count(report.unsettled, "write");
            writeln!(
                to.out,
                "drained: waited for {waited}; none runs through the gateway now and none can start"
            )?;
            writeln!(
                to.out,
                "but the end of {unknown} cannot be known; each may or may not have been done:"
            )?;
            unsettled(&after.freeze, report.unsettled, to)?;
        }
    }
    Ok(exit)
}

fn unsettled(freeze: &FreezeRecord, total: usize, to: &mut Streams<'_>) -> Result<(), Failure> {
    let rows: Vec<Vec<String>> = freeze
        .unsettled_attempts
        .iter()
        .map(|attempt| {
            vec![
                attempt.request_id.clone(),
                attempt.route.clone(),
                attempt.upstream.clone(),
                attempt.tenant.clone().unwrap_or_else(|| "-".to_owned()),
                attempt.ended_at.to_string(),
            ]
        })
        .collect();
    let head = ["REQUEST ID", "ROUTE", "UPSTREAM", "TENANT", "LOST AT"].map(str::to_owned);
    output::table(to.out, &head, &rows)?;
    if total > rows.len() {
        writeln!(to.out, "  and {} earlier", total - rows.len())?;
    }
    Ok(())
}

pub(crate) fn thaw(args: &ThawArgs, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    let client = Client::new(&args.admin)?;
    let path = format!("/freeze/{}", segment(&args.id));
    let body = client.send("DELETE", &path, None, Duration::ZERO).or_else(|error| {
        print_refusal(&error, args.json, to)?;
        Err(not_thawed(error, &args.id))
    })?;
    if args.json {
        output::json(to.out, &body)?;
        return Ok(Exit::Done);
    }
    writeln!(to.out, "thawed `{}`", args.id)?;
    if let Some(until) = body["dismissed_until"].as_str() {
        writeln!(to.out, "its window is left out until {until}")?;
    }
    let left = client.send("GET", "/freeze", None, Duration::ZERO)?;
    if let Some(ids) = ids(left["freezes"].as_array().map(|all| all.iter().map(|one| &one["id"]))) {
        writeln!(to.out, "still frozen by: {ids}")?;
    }
    Ok(Exit::Done)
}

fn not_thawed(error: ClientError, id: &str) -> Failure {
    match error {
        ClientError::Refused { problem, .. } if problem.code == "freeze_unknown" => {
            Failure::Other(not_on(id, &problem.body["active"]))
        }
        ClientError::Refused { problem, .. } if problem.code == "freeze_not_persisted" => {
            Failure::Other(format!(
                "the freeze `{id}` is lifted now, but would be back after a restart of the gateway: {}\n\
                 Repair the store; the gateway writes it down as soon as it can.",
                problem.detail
            ))
        }
        error => error.into(),
    }
}

fn not_on(id: &str, active: &Value) -> String {
    match ids(active.as_array().map(|ids| ids.iter())) {
        Some(ids) => format!("no freeze `{id}` is on; on are: {ids}\nName one with --id."),
        None => format!("no freeze `{id}` is on, and no other; writes are let through"),
    }
}

fn ids<'a>(ids: Option<impl Iterator<Item = &'a Value>>) -> Option<String> {
    let ids: Vec<_> = ids?.filter_map(Value::as_str).map(|id| format!("`{id}`")).collect();
    (!ids.is_empty()).then(|| ids.join(", "))
}
