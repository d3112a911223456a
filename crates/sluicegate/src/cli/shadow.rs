//! `shadow`: whether the copies' answers are those of the route's own upstream.
//!
//! `report` says the verdict first and in words, then what it stands on. Its exit code is the
//! verdict, so that a script may go on or not; see the table in [`super`]. A shadow that compares
//! nothing proves nothing, and counts as open.

use std::num::NonZeroUsize;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use serde_json::Value;
use sluicegate_shadow::Verdict;

use super::{
    AskArgs, Exit, Failure, Streams,
    ask::Asking,
    client::{Problem, segment},
    output, read,
};

mod brief;
mod likeness;
pub(super) mod outcomes;
mod pairs;
mod report;
#[cfg(test)]
mod tests;
mod told;

use told::Told;

/// What can be done with shadows.
#[derive(Debug, Subcommand)]
pub enum ShadowCommand {
    /// List the shadows, how their copies fare and what the comparisons say
    List {
        /// Where to ask.
        #[command(flatten)]
        ask: AskArgs,
    },
    /// Show what the comparisons of a route's shadows found; exit code 0: the same, 6: different, 7: open
    Report(ShadowNamed),
    /// Show the last pairs of answers that differ
    Pairs(ShadowPairsArgs),
    /// Forget what was found and begin anew, for a version that has just been put there
    Reset(ShadowNamed),
}

/// Arguments of a command that names a shadow.
#[derive(Debug, Args)]
pub struct ShadowNamed {
    /// The route whose requests are copied
    pub route: String,
    /// The upstream that gets the copies, where the route has several shadows
    #[arg(long, value_name = "UPSTREAM")]
    pub to: Option<String>,
    /// Where to ask.
    #[command(flatten)]
    pub ask: AskArgs,
}

/// Arguments of `shadow pairs`.
#[derive(Debug, Args)]
pub struct ShadowPairsArgs {
    /// Which one.
    #[command(flatten)]
    pub named: ShadowNamed,
    /// Show at most so many, the newest first
    #[arg(long, value_name = "N", default_value = "10")]
    pub limit: NonZeroUsize,
}

pub(crate) fn run(command: &ShadowCommand, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    match command {
        ShadowCommand::List { ask } => list(ask, to),
        ShadowCommand::Report(args) => report(args, to),
        ShadowCommand::Pairs(args) => pairs::show(args, to),
        ShadowCommand::Reset(args) => reset(args, to),
    }
}

/// The part of `sluicegate status`: a line for each; nothing where there is none.
pub(super) fn status(shadows: &Value, to: &mut Streams<'_>) -> Result<(), Failure> {
    if shadows.is_null() || shadows.as_array().is_some_and(Vec::is_empty) {
        return Ok(());
    }
    writeln!(to.out, "\nshadows")?;
    if let Some(error) = shadows["error"].as_str() {
        return Ok(writeln!(to.out, "  cannot be told: {}", output::plain(error))?);
    }
    for one in read::<Vec<Told>>(shadows.clone())? {
        for line in brief::lines(&one) {
            writeln!(to.out, "  {}", output::plain(&line))?;
        }
    }
    Ok(())
}

fn list(ask: &AskArgs, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    let Some(mut answer) = Asking::new(ask, &[])?.print("GET", "/shadows", None, to)? else {
        return Ok(Exit::Done);
    };
    let all: Vec<Told> = read(answer["shadows"].take())?;
    if all.is_empty() {
        writeln!(to.out, "none; declare one under `shadow` of a route in the configuration")?;
    }
    for line in all.iter().flat_map(brief::lines) {
        writeln!(to.out, "{}", output::plain(&line))?;
    }
    Ok(Exit::Done)
}

fn report(args: &ShadowNamed, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    let mut answer = ask("report", "GET", args, &[], to)?;
    if args.ask.json {
        output::json(to.out, &answer)?;
    }
    let shadows: Vec<Told> = read(answer["shadows"].take())?;
    if !args.ask.json {
        let now = Timestamp::now();
        for (at, shadow) in shadows.iter().enumerate() {
            if at > 0 {
                writeln!(to.out)?;
            }
            report::screen(shadow, now, to.out)?;
        }
    }
    let verdicts = || shadows.iter().map(|shadow| shadow.report.as_ref().map(|report| report.verdict));
    Ok(if verdicts().any(|verdict| verdict == Some(Verdict::Different)) {
        Exit::Different
    } else if verdicts().all(|verdict| verdict == Some(Verdict::Same)) {
        Exit::Done
    } else {
        Exit::Open
    })
}

fn reset(args: &ShadowNamed, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    let answer = ask("reset", "POST", args, &[], to)?;
    if args.ask.json {
        output::json(to.out, &answer)?;
        return Ok(Exit::Done);
    }
    let now: Told = read(answer)?;
    let (route, upstream) = (output::plain(&now.route), output::plain(&now.to));
    writeln!(
        to.out,
        "what was found of {route} -> {upstream} is forgotten; pairs are counted anew from now on\n\
         see how it goes with: {}",
        typed("report", &now.route, &now.to)
    )?;
    Ok(Exit::Done)
}

/// Asks for one route's shadows, or does something to one of them.
fn ask(
    command: &str,
    method: &str,
    args: &ShadowNamed,
    query: &[(&str, String)],
    to: &mut Streams<'_>,
) -> Result<Value, Failure> {
    let below = if command == "report" { String::new() } else { format!("/{command}") };
    let named = args.to.iter().map(|to| ("to", to.clone()));
    let query: Vec<_> = named
        .chain(query.iter().cloned())
        .map(|(name, value)| format!("{name}={}", segment(&value)))
        .collect();
    let query = if query.is_empty() { String::new() } else { format!("?{}", query.join("&")) };
    let path = format!("/shadows/{}{below}{query}", segment(&args.route));
    let asking = Asking::new(&args.ask, &[])?;
    asking.send_and(method, &path, None, to, |problem| in_words(problem, command, &args.route))
}

/// What a refusal means, and what to type instead.
fn in_words(problem: &Problem, command: &str, route: &str) -> Option<String> {
    let detail = output::plain(&problem.detail);
    match problem.code.as_str() {
        "shadow_unknown" => Some(format!("{detail}\n`sluicegate shadow list` shows how each one fares.")),
        "shadow_ambiguous" => {
            let known = problem.body["known"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let lines = known.map(|to| format!("\n  {}", typed(command, route, to)));
            let route = output::plain(route);
            Some(format!("`{route}` has several shadows. Name one:{}", lines.collect::<String>()))
        }
        "shadow_not_compared" => Some(format!(
            "{detail}\n`sluicegate shadow report {}` shows how its copies fare.",
            output::quoted(route)
        )),
        _ => None,
    }
}

/// A command as it is typed.
fn typed(command: &str, route: &str, to: &str) -> String {
    format!("sluicegate shadow {command} {} --to {}", output::quoted(route), output::quoted(to))
}
