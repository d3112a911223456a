//! `intents`: the writes that are kept for later.
//!
//! What needs an operator is *in doubt* (it was being sent when its gateway died, or its
//! outcome is unknown; it holds back what is behind it) or *dead* (refused for good). What
//! each order did to the write and to its key is said plainly.

use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::{Value, json};
use sluicegate_intents::{IntentPage, IntentRecord};
use sluicegate_store::EntryState;

use super::{
    AskArgs, Exit, Failure, PageArgs, Streams, VerdictArgs,
    ask::Asking,
    client::{Client, segment},
    output::{self, plain},
    read,
    watch::watch,
};

mod orders;
mod watching;

use orders::{Order, order};
pub(super) use watching::status;

/// What can be done with intents.
#[derive(Debug, Subcommand)]
pub enum IntentsCommand {
    /// List intents, the oldest first
    List(IntentsListArgs),
    /// Show one intent, and what can be done about it
    Show {
        /// The intent's id
        id: String,
        /// Where to ask.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Put an intent that is dead or in doubt into the queue again; it will be sent
    Retry {
        /// The intent's id
        id: String,
        /// Where to ask.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Throw an intent away; it will not be sent
    Drop {
        /// The intent's id
        id: String,
        /// Where to ask.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// End an intent in doubt, by what was found at the upstream
    Settle {
        /// The intent's id
        id: String,
        /// What was found.
        #[command(flatten)]
        verdict: VerdictArgs,
        /// Where to ask.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Apply no more intents, on every gateway that shares the store
    Pause {
        /// Why; `status` shows it
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
        /// Where to ask.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Go on applying intents
    Resume {
        /// Where to ask.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Show how the backfill is doing
    Status {
        /// Go on showing it until ctrl-c
        #[arg(long)]
        watch: bool,
        /// Where to ask.
        #[command(flatten)]
        ask: AskArgs,
    },
}

/// Arguments of `intents list`.
#[derive(Debug, Args)]
pub struct IntentsListArgs {
    /// Only intents that stand here
    #[arg(long, value_parser = EntryState::ALL.map(EntryState::as_str))]
    pub state: Option<String>,
    /// Only intents of this route
    #[arg(long, value_name = "NAME")]
    pub route: Option<String>,
    /// Only intents of this tenant
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// How many.
    #[command(flatten)]
    pub page: PageArgs,
    /// Where to ask.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// What to try next, by the code of a refusal.
const HINTS: [(&str, &str); 4] = [
    ("intent_unknown", "`sluicegate intents list` shows what there is."),
    ("intent_state", "`sluicegate intents show` tells what can be done."),
    ("intent_changed", "See `sluicegate intents show`."),
    ("intent_key_taken", "`sluicegate keys list --prefix KEY` finds its key."),
];

pub(crate) fn run(command: &IntentsCommand, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    match command {
        IntentsCommand::List(args) => list(args, to),
        IntentsCommand::Show { id, ask } => show(id, ask, to),
        IntentsCommand::Retry { id, ask } => order(&Order::Retry, id, ask, to),
        IntentsCommand::Drop { id, ask } => order(&Order::Drop, id, ask, to),
        IntentsCommand::Settle { id, verdict, ask } => order(&Order::Settle(verdict), id, ask, to),
        IntentsCommand::Pause { reason, ask } => pause(reason.as_deref(), ask, to),
        IntentsCommand::Resume { ask } => resume(ask, to),
        IntentsCommand::Status { watch: true, ask } => {
            let client = Client::new(&ask.admin)?;
            let look = || Ok(client.send("GET", "/intents/status", None, Duration::ZERO)?);
            let show =
                |found: &Value, to: &mut Streams<'_>| status(&read(found.clone())?, "", Timestamp::now(), to);
            watch(ask.json, look, show, to)
        }
        IntentsCommand::Status { watch: false, ask } => {
            if let Some(answer) = Asking::new(ask, &HINTS)?.print("GET", "/intents/status", None, to)? {
                status(&read(answer)?, "", Timestamp::now(), to)?;
            }
            Ok(Exit::Done)
        }
    }
}

fn list(args: &IntentsListArgs, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    let filters = [
        ("state", args.state.as_deref()),
        ("route", args.route.as_deref()),
        ("tenant", args.tenant.as_deref()),
    ];
    let answer = Asking::new(&args.ask, &HINTS)?.list("/intents", &filters, "intents", &args.page, to)?;
    if args.ask.json {
        output::json(to.out, &answer)?;
        return Ok(Exit::Done);
    }
    let tally = tally(&answer["tally"]);
    let IntentPage { intents, next } = read(answer)?;
    if intents.is_empty() {
        let filtered = filters.iter().any(|(_, value)| value.is_some());
        writeln!(to.out, "{}; in all: {tally}", if filtered { "no such intent" } else { "no intent" })?;
        return Ok(Exit::Done);
    }
    let now = Timestamp::now();
    let head = ["ID", "STATE", "KEY", "ROUTE", "TENANT", "ORDER KEY", "AGE", "SENT", "LAST ERROR"];
    let rows: Vec<Vec<String>> = intents
        .iter()
        .map(|one| {
            let dash = || "-".to_owned();
            vec![
                one.id.clone(),
                one.state.as_str().to_owned(),
                one.key.clone(),
                one.route.clone(),
                one.tenant.clone().unwrap_or_else(dash),
                one.order_key.clone(),
                output::between(one.created_at, now),
                one.attempts.to_string(),
                one.error.clone().unwrap_or_else(dash),
            ]
        })
        .collect();
    output::table(to.out, &head.map(str::to_owned), &rows)?;
    writeln!(to.out, "in all: {tally}")?;
    if next.is_some() {
        writeln!(
            to.out,
            "there are more: --all shows all, --limit N more, --state, --route and --tenant fewer"
        )?;
    }
    if intents.iter().any(|one| matches!(one.state, EntryState::InDoubt | EntryState::Dead)) {
        writeln!(to.out, "what to do about one that is in doubt or dead: sluicegate intents show ID")?;
    }
    Ok(Exit::Done)
}

/// How many are in each state, without the states that nobody is in.
fn tally(count: &Value) -> String {
    let counts = EntryState::ALL.into_iter().filter_map(|state| {
        let count = count[state.as_str()].as_u64().filter(|count| *count > 0)?;
        Some(format!("{count} {}", word(state)))
    });
    let counts: Vec<_> = counts.collect();
    if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
}

fn word(state: EntryState) -> &'static str {
    match state {
        EntryState::InDoubt => "in doubt",
        other => other.as_str(),
    }
}

fn show(id: &str, ask: &AskArgs, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    let asking = Asking::new(ask, &HINTS)?;
    let Some(answer) = asking.print("GET", &format!("/intents/{}", segment(id)), None, to)? else {
        return Ok(Exit::Done);
    };
    let one: IntentRecord = read(answer)?;
    let age = output::between(one.created_at, Timestamp::now());
    let mut fields = vec![
        ("id", one.id.clone()),
        ("state", word(one.state).to_owned()),
        ("request", format!("{} {}, {} bytes", one.method, one.path, one.bytes)),
        ("key", one.key.clone()),
        ("order key", one.order_key.clone()),
        ("route", format!("{}, to {}", one.route, one.upstream)),
        ("tenant", one.tenant.clone().unwrap_or_else(|| "-".to_owned())),
        ("request id", one.request_id.clone()),
        ("kept since", format!("{} ({age})", one.created_at)),
        ("sent", output::count(one.attempts as usize, "time")),
    ];
    if let Some(error) = &one.error {
        fields.push(("last error", error.clone()));
    }
    if let Some(response) = &one.response {
        let body = match response.bytes {
            Some(bytes) => format!("{}, with a body of {bytes} bytes", response.status),
            None => format!("{}; its body was not kept", response.status),
        };
        fields.push(("answer", body));
    }
    output::fields(to.out, &fields)?;
    let id = plain(&one.id);
    match one.state {
        EntryState::InDoubt => writeln!(
            to.out,
            "\nNobody but the upstream knows whether it was applied; what is behind it under its order key waits.\n\
             Find out at the upstream, then:\n  \
             sluicegate intents settle {id} --applied --status 201\n      \
             it is done; requests under its key get that status, without a body\n  \
             sluicegate intents settle {id} --not-applied\n      \
             it is dead, and its key is free; it can be retried\n  \
             sluicegate intents retry {id}\n      \
             it is sent again, which does it twice if it was applied and the upstream ignores keys\n  \
             sluicegate intents drop {id}\n      \
             it is given up, and its key stays unknown"
        )?,
        EntryState::Dead => writeln!(
            to.out,
            "\nIt will not be sent again by itself. Once the cause is gone:\n  \
             sluicegate intents retry {id}\n      \
             it goes to the end of its line, with all its tries\n  \
             sluicegate intents drop {id}\n      \
             it is thrown away"
        )?,
        EntryState::Queued => {
            writeln!(
                to.out,
                "\nIt will be sent in its turn; `sluicegate intents drop {id}` throws it away."
            )?;
        }
        EntryState::Applying => writeln!(to.out, "\nIt is being sent.")?,
        EntryState::Applied | EntryState::Expired | EntryState::Dropped => {}
    }
    Ok(Exit::Done)
}

fn pause(reason: Option<&str>, ask: &AskArgs, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    let body = reason.map(|reason| json!({ "reason": reason }));
    if Asking::new(ask, &HINTS)?.print("POST", "/intents/pause", body.as_ref(), to)?.is_some() {
        writeln!(
            to.out,
            "the backfill is paused, on every gateway that shares the store; what is being sent goes on to its end\n\
             writes are kept on as before; go on with: sluicegate intents resume"
        )?;
    }
    Ok(Exit::Done)
}

fn resume(ask: &AskArgs, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    if Asking::new(ask, &HINTS)?.print("POST", "/intents/resume", None, to)?.is_some() {
        writeln!(to.out, "the backfill goes on; watch it with: sluicegate intents status")?;
    }
    Ok(Exit::Done)
}
