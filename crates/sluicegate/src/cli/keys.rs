//! `keys`: which idempotency keys a gateway remembers, and settling one that is stuck.
//!
//! A key is stuck where its outcome is *unknown*: the write was cut off after bytes had gone
//! out, and nobody but the upstream can say whether it was applied. The operator looks there
//! and says what was found; until then requests under the key are refused.

use clap::{Args, Subcommand};
use jiff::Timestamp;
use sluicegate_idempotency::{KeyPage, KeyRecord, KeyState};
use sluicegate_store::fence::HOLDER_GONE;

use super::{
    AskArgs, Exit, Failure, PageArgs, Streams, VerdictArgs,
    ask::Asking,
    client::segment,
    output::{self, plain},
    read,
};

/// What can be done with keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// List keys
    List(KeysListArgs),
    /// Show one key, and what can be done about it
    Show {
        /// The key's id, as `keys list` shows it
        id: String,
        /// Where to ask.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Settle a key whose outcome is unknown, by what was found at the upstream
    Resolve {
        /// The key's id, as `keys list` shows it
        id: String,
        /// What was found.
        #[command(flatten)]
        verdict: VerdictArgs,
        /// Where to ask.
        #[command(flatten)]
        ask: AskArgs,
    },
}

/// Arguments of `keys list`.
#[derive(Debug, Args)]
pub struct KeysListArgs {
    /// Only keys that stand here
    #[arg(long, value_parser = ["running", "unknown", "sealed", "deferred"])]
    pub state: Option<String>,
    /// Only keys of this route
    #[arg(long, value_name = "NAME")]
    pub route: Option<String>,
    /// Only keys of this tenant
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<String>,
    /// Only keys that begin so
    #[arg(long, value_name = "TEXT")]
    pub prefix: Option<String>,
    /// How many.
    #[command(flatten)]
    pub page: PageArgs,
    /// Where to ask.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// What to try next, by the code of a refusal.
const HINTS: [(&str, &str); 5] = [
    ("key_unknown", "`sluicegate keys list` shows what is remembered."),
    ("key_running", "`sluicegate keys show` tells when it has ended."),
    ("key_settled", "`sluicegate keys show` tells how it ended."),
    ("key_deferred", "See `sluicegate intents show {intent}`."),
    ("key_changed", "See `sluicegate keys show`."),
];

pub(crate) fn run(command: &KeysCommand, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    match command {
        KeysCommand::List(args) => list(args, to),
        KeysCommand::Show { id, ask } => show(id, ask, to),
        KeysCommand::Resolve { id, verdict, ask } => resolve(id, verdict, ask, to),
    }
}

fn list(args: &KeysListArgs, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    let filters = [
        ("state", args.state.as_deref()),
        ("route", args.route.as_deref()),
        ("tenant", args.tenant.as_deref()),
        ("prefix", args.prefix.as_deref()),
    ];
    let answer = Asking::new(&args.ask, &HINTS)?.list("/keys", &filters, "keys", &args.page, to)?;
    if args.ask.json {
        output::json(to.out, &answer)?;
        return Ok(Exit::Done);
    }
    let KeyPage { keys, next } = read(answer)?;
    if keys.is_empty() {
        let filtered = filters.iter().any(|(_, value)| value.is_some());
        writeln!(to.out, "{}", if filtered { "no such key is remembered" } else { "no key is remembered" })?;
        return Ok(Exit::Done);
    }
    let now = Timestamp::now();
    let head = ["STATE", "KEY", "ROUTE", "TENANT", "STATUS", "CHANGED", "ID"].map(str::to_owned);
    let rows: Vec<Vec<String>> = keys
        .iter()
        .map(|key| {
            let dash = || "-".to_owned();
            vec![
                key.state.as_str().to_owned(),
                key.key.clone(),
                key.route.clone(),
                key.tenant.clone().unwrap_or_else(dash),
                key.status.map_or_else(dash, |status| status.to_string()),
                format!("{} ago", output::between(key.changed_at, now)),
                key.id.clone(),
            ]
        })
        .collect();
    output::table(to.out, &head, &rows)?;
    if next.is_some() {
        writeln!(
            to.out,
            "there are more: --all shows all, --limit N more, --state, --route, --tenant and --prefix fewer"
        )?;
    }
    if keys.iter().any(|key| key.state == KeyState::Unknown) {
        writeln!(to.out, "what to do about one that is unknown: sluicegate keys show ID")?;
    }
    Ok(Exit::Done)
}

fn show(id: &str, ask: &AskArgs, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    let asking = Asking::new(ask, &HINTS)?;
    let Some(answer) = asking.print("GET", &format!("/keys/{}", segment(id)), None, to)? else {
        return Ok(Exit::Done);
    };
    let key: KeyRecord = read(answer)?;
    let now = Timestamp::now();
    let ago = |at: Timestamp| format!("{at} ({} ago)", output::between(at, now));
    let state = match &key.why {
        Some(why) => format!("{}: {why}", key.state.as_str()),
        None => key.state.as_str().to_owned(),
    };
    let mut fields = vec![
        ("key", key.key.clone()),
        ("state", state),
        ("route", key.route.clone()),
        ("tenant", key.tenant.clone().unwrap_or_else(|| "-".to_owned())),
        ("method", key.method.clone()),
        ("request id", key.request_id.clone()),
        ("first used", ago(key.created_at)),
        ("changed", ago(key.changed_at)),
        ("forgotten in", output::lasting(key.expires_in_ms / 1000)),
        ("id", key.id.clone()),
    ];
    if let Some(status) = key.status {
        let body = match key.body_bytes {
            Some(bytes) => format!("{status}, with a body of {bytes} bytes"),
            None => format!("{status}; its body was not kept"),
        };
        fields.insert(2, ("answer", body));
    }
    if let Some(intent) = &key.intent {
        fields.insert(2, ("intent", intent.clone()));
    }
    output::fields(to.out, &fields)?;
    advise(&key, to)?;
    Ok(Exit::Done)
}

/// What can be done about it.
fn advise(key: &KeyRecord, to: &mut Streams<'_>) -> Result<(), Failure> {
    match key.state {
        KeyState::Running => {
            writeln!(
                to.out,
                "\nAn attempt is under way; requests under the key wait for its answer, or get 409."
            )?;
        }
        KeyState::Sealed => writeln!(to.out, "\nRequests under the key get this answer again.")?,
        KeyState::Deferred => {
            let intent = key.intent.as_deref().unwrap_or("ID");
            writeln!(to.out, "\nThe write is kept for later: sluicegate intents show {}", plain(intent))?;
        }
        KeyState::Unknown => {
            writeln!(
                to.out,
                "\nNobody but the upstream knows whether the write was applied; requests under the key get 409, or\n\
                 run again where the route says `on_unknown: retry`. Find out at the upstream, then:\n  \
                 sluicegate keys resolve {0} --applied --status 201\n      \
                 requests under the key get that status, without a body\n  \
                 sluicegate keys resolve {0} --not-applied\n      \
                 the key is free: the next request under it will run",
                plain(&key.id)
            )?;
            if key.why.as_deref() == Some(HOLDER_GONE) {
                writeln!(
                    to.out,
                    "Be sure that the gateway is dead and not merely slow: a slow one might still send the write."
                )?;
            }
        }
    }
    Ok(())
}

fn resolve(id: &str, verdict: &VerdictArgs, ask: &AskArgs, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    let path = format!("/keys/{}/resolve", segment(id));
    let asking = Asking::new(ask, &HINTS)?;
    let Some(answer) = asking.print("POST", &path, Some(&verdict.body()), to)? else { return Ok(Exit::Done) };
    let was: KeyRecord = read(answer["was"].clone())?;
    let key = plain(&was.key);
    if verdict.applied {
        let status = verdict.status;
        writeln!(
            to.out,
            "resolved `{key}` as applied: requests under it get {status} without a body, for {} more",
            output::lasting(was.expires_in_ms / 1000)
        )?;
    } else {
        writeln!(
            to.out,
            "resolved `{key}` as not applied: the key is free, the next request under it will run"
        )?;
    }
    Ok(Exit::Done)
}
