//! `rollout`: shifting traffic between two versions, watching it, taking it back.
//!
//! Every order says in plain words who serves whom after it, and what the way back is. A
//! refusal names the commands that are possible instead. `abort` is for the night: it needs a
//! name and nothing else, may be repeated, and holds on the gateway that is asked even where
//! the others cannot be told.

use std::num::NonZeroUsize;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::Value;
use sluicegate_rollout::RolloutStatus;

use super::{AskArgs, Exit, Failure, Streams, ask::Asking, client::segment, output, read};

mod brief;
mod history;
pub(super) mod numbers;
mod orders;
mod progress;
mod refusal;
mod showing;
#[cfg(test)]
mod tests;
mod watching;

use orders::Order;

/// What can be done with rollouts.
#[derive(Debug, Subcommand)]
pub enum RolloutCommand {
    /// List the rollouts, and how far each has come
    List {
        /// Where to ask.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Show one: its step, what each gate says, what can be done
    Status(RolloutStatusArgs),
    /// Begin a run at its first step
    Start(RolloutNamed),
    /// Take the next step now, whatever the gates say
    Advance(RolloutNamed),
    /// Stay at this step; only an abort is still judged
    Hold(RolloutReasoned),
    /// Go on from a hold; the step is looked at anew
    Resume(RolloutNamed),
    /// Put this percentage of keys on the candidate
    Weight(RolloutWeightArgs),
    /// Make the candidate the active arm
    Promote(RolloutNamed),
    /// Put everything on the active arm, at once and on every gateway
    Abort(RolloutReasoned),
    /// Exchange the arms in one step, and watch the new active one for a while
    Switch(RolloutNamed),
    /// Exchange the arms back after a switch or a promote
    Rollback(RolloutReasoned),
    /// Show what was decided, by whom and from which numbers
    History(RolloutHistoryArgs),
}

/// Arguments of a command that needs only a name.
#[derive(Debug, Args)]
pub struct RolloutNamed {
    /// The rollout's name
    pub name: String,
    /// Where to ask.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// Arguments of a command that may say why.
#[derive(Debug, Args)]
pub struct RolloutReasoned {
    /// The rollout's name
    pub name: String,
    /// Why; `status` and `history` show it
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Where to ask.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// Arguments of `rollout weight`.
#[derive(Debug, Args)]
pub struct RolloutWeightArgs {
    /// The rollout's name
    pub name: String,
    /// How many of a hundred keys go to the candidate
    #[arg(value_parser = clap::value_parser!(u8).range(0..=100))]
    pub percent: u8,
    /// Where to ask.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// Arguments of `rollout status`.
#[derive(Debug, Args)]
pub struct RolloutStatusArgs {
    /// The rollout's name
    pub name: String,
    /// Go on showing it until ctrl-c: drawn over on a terminal, else a line for each change
    #[arg(long)]
    pub watch: bool,
    /// Where to ask.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// Arguments of `rollout history`.
#[derive(Debug, Args)]
pub struct RolloutHistoryArgs {
    /// The rollout's name
    pub name: String,
    /// Only the last so many decisions
    #[arg(long, value_name = "N")]
    pub limit: Option<NonZeroUsize>,
    /// Where to ask.
    #[command(flatten)]
    pub ask: AskArgs,
}

pub(crate) fn run(command: &RolloutCommand, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    match command {
        RolloutCommand::List { ask } => list(ask, to),
        RolloutCommand::Status(args) if args.watch => watching::watch(args, to),
        RolloutCommand::Status(args) => show(args, to),
        RolloutCommand::Start(args) => bare(Order::Start, args, to),
        RolloutCommand::Advance(args) => bare(Order::Advance, args, to),
        RolloutCommand::Hold(args) => reasoned(Order::Hold, args, to),
        RolloutCommand::Resume(args) => bare(Order::Resume, args, to),
        RolloutCommand::Weight(args) => orders::weight(&args.name, args.percent, &args.ask, to),
        RolloutCommand::Promote(args) => bare(Order::Promote, args, to),
        RolloutCommand::Abort(args) => reasoned(Order::Abort, args, to),
        RolloutCommand::Switch(args) => bare(Order::Switch, args, to),
        RolloutCommand::Rollback(args) => reasoned(Order::Rollback, args, to),
        RolloutCommand::History(args) => history::show(args, to),
    }
}

fn bare(order: Order, args: &RolloutNamed, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    orders::give(order, &args.name, None, &args.ask, to)
}

fn reasoned(order: Order, args: &RolloutReasoned, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    orders::give(order, &args.name, args.reason.as_deref(), &args.ask, to)
}

/// The part of `sluicegate status`: a line or two for each; nothing where there is none.
pub(super) fn status(rollouts: &Value, now: Timestamp, to: &mut Streams<'_>) -> Result<(), Failure> {
    if rollouts.is_null() || rollouts.as_array().is_some_and(Vec::is_empty) {
        return Ok(());
    }
    writeln!(to.out, "\nrollouts")?;
    if let Some(error) = rollouts["error"].as_str() {
        return Ok(writeln!(to.out, "  cannot be told: {}", output::plain(error))?);
    }
    for one in read::<Vec<RolloutStatus>>(rollouts.clone())? {
        for line in brief::lines(&one, now) {
            writeln!(to.out, "  {}", output::plain(&line))?;
        }
    }
    Ok(())
}

fn list(ask: &AskArgs, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    let Some(mut answer) = Asking::new(ask, &[])?.print("GET", "/rollouts", None, to)? else {
        return Ok(Exit::Done);
    };
    let all: Vec<RolloutStatus> = read(answer["rollouts"].take())?;
    if all.is_empty() {
        writeln!(to.out, "none; declare one under `rollouts` in the configuration")?;
    }
    let now = Timestamp::now();
    for line in all.iter().flat_map(|one| brief::lines(one, now)) {
        writeln!(to.out, "{}", output::plain(&line))?;
    }
    Ok(Exit::Done)
}

fn show(args: &RolloutStatusArgs, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    let asking = Asking::new(&args.ask, &[])?;
    let path = format!("/rollouts/{}", segment(&args.name));
    let answer = asking.send_and("GET", &path, None, to, |problem| refusal::in_words(problem, &args.name))?;
    if args.ask.json {
        output::json(to.out, &answer)?;
    } else {
        to.out.write_all(showing::screen(&read(answer)?, Timestamp::now())?.as_bytes())?;
    }
    Ok(Exit::Done)
}
