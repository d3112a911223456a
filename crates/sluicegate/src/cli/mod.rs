//! The command line: what can be typed, and the commands that need no gateway of their own.
//!
//! `serve` and `demo` run a gateway and live elsewhere; the rest is here. `check` and
//! `schema` work on a file, `status`, `freeze`, `thaw`, `keys`, `intents`, `rollout`, `shadow` and
//! `reload` talk to a running gateway's admin address. Every command prints for people by default and
//! the API's own JSON with `--json`; results go to standard output, what went wrong to standard error.
//! Colours are for people alone: on terminals, and never in what a program reads (`paint`).
//!
//! Exit codes, for scripts:
//!
//! | code | meaning |
//! |---|---|
//! | 0 | done; with `freeze --wait`: drained, and every write's end is known |
//! | 1 | an error: the gateway cannot be reached, or refused, or did it only in part and says so |
//! | 2 | wrong usage, or a configuration that is not valid |
//! | 3 | kept for `freeze --wait` in a group, of which a member did not answer; no freeze spans one yet |
//! | 4 | `freeze --wait`: drained, but the end of some writes cannot be known |
//! | 5 | `freeze --wait`: not drained within the limit; the freeze is on |
//! | 6 | `shadow report`: a shadow answers differently, beyond noise |
//! | 7 | `shadow report`: open: too few pairs, nothing proven yet, or answers are not compared |

use std::{
    io::{self, IsTerminal, Write},
    path::PathBuf,
    process::ExitCode,
};

use anstream::{AutoStream, ColorChoice};
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use serde::de::DeserializeOwned;
use serde_json::Value;
use sluicegate_spans::Connect;

mod admission;
mod ask;
mod check;
mod client;
mod completions;
mod drain;
mod freeze;
mod intents;
mod keys;
mod output;
mod paint;
mod reload;
mod rollout;
mod schema;
mod shadow;
mod status;
#[cfg(test)]
mod tests;
mod upstreams;
mod watch;
mod webhooks;

pub use ask::{AskArgs, PageArgs, VerdictArgs};
pub use client::AdminArgs;
pub use completions::CompletionsArgs;
pub use freeze::{FreezeArgs, ThawArgs};
pub use intents::{IntentsCommand, IntentsListArgs};
pub use keys::{KeysCommand, KeysListArgs};
pub use rollout::{
    RolloutCommand, RolloutHistoryArgs, RolloutNamed, RolloutReasoned, RolloutStatusArgs, RolloutWeightArgs,
};
pub use shadow::{ShadowCommand, ShadowNamed, ShadowPairsArgs};

use paint::Painter;

/// The whole command line.
#[derive(Debug, Parser)]
#[command(name = "sluicegate", version, about = "The gateway that makes a RAG service safe to operate")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be asked for.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the gateway in the foreground
    Serve(ServeArgs),
    /// Run a gateway and three small RAG services on loopback, and show what to try
    Demo(DemoArgs),
    /// What needs no gateway of its own.
    #[command(flatten)]
    Client(ClientCommand),
}

/// The commands that [`run_client`] runs.
#[derive(Debug, Subcommand)]
pub enum ClientCommand {
    /// Check a configuration file and say everything that is wrong with it
    Check(CheckArgs),
    /// Print the JSON Schema of the configuration
    Schema,
    /// Show what a running gateway does: configuration, freezes, store, keys, intents, rollouts, shadows, upstreams
    Status(StatusArgs),
    /// Stop letting writes through, at once
    Freeze(FreezeArgs),
    /// End a freeze
    Thaw(ThawArgs),
    /// Look at idempotency keys, and settle one whose outcome is unknown
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Look at the writes that are kept for later, decide about one, pause the backfill
    #[command(subcommand)]
    Intents(IntentsCommand),
    /// Shift traffic between two versions step by step, watch it, take it back
    #[command(subcommand)]
    Rollout(RolloutCommand),
    /// See whether the copies that another version gets are answered the same
    #[command(subcommand)]
    Shadow(ShadowCommand),
    /// Have a running gateway read its configuration file again
    Reload(ReloadArgs),
    /// Print a script that completes commands and options in a shell
    Completions(CompletionsArgs),
}

/// Arguments of `serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// The configuration file
    #[arg(long, short, value_name = "FILE", env = "SLUICEGATE_CONFIG")]
    pub config: PathBuf,
    /// Log as JSON lines instead of text
    #[arg(long)]
    pub json_log: bool,
}

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Send mixed traffic and print a live line of what happens
    #[arg(long)]
    pub traffic: bool,
}

/// Arguments of `check`.
#[derive(Debug, Args)]
pub struct CheckArgs {
    /// The configuration file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `status`.
#[derive(Debug, Args)]
pub struct StatusArgs {
    /// Where the gateway is.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
    /// Go on showing it until ctrl-c
    #[arg(long)]
    pub watch: bool,
}

/// Arguments of `reload`.
#[derive(Debug, Args)]
pub struct ReloadArgs {
    /// Where the gateway is.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
}

/// How a command ended; the numbers are part of the contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    Failed = 1,
    Invalid = 2,
    Unsettled = 4,
    NotDrained = 5,
    Different = 6,
    Open = 7,
}

/// Where a command writes: results, and what went wrong.
pub(crate) struct Streams<'a> {
    pub(crate) out: &'a mut dyn Write,
    pub(crate) err: &'a mut dyn Write,
    /// Whether `out` is a terminal, on which what was written can be drawn over.
    pub(crate) terminal: bool,
}

/// Why a command could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Client(#[from] client::ClientError),
    #[error("cannot print: {0}")]
    Print(#[from] io::Error),
    #[error("{0}")]
    Other(String),
}

/// Reads an answer of the gateway as what it should be.
fn read<T: DeserializeOwned>(body: Value) -> Result<T, Failure> {
    serde_json::from_value(body).map_err(|error| {
        Failure::Other(format!("the gateway's answer cannot be read: {error}; is it as new as this command?"))
    })
}

/// What was typed, and whether a program reads what comes of it. What cannot be understood ends this
/// process, as the request for help does.
#[must_use]
pub fn typed() -> (Command, bool) {
    let matches = Cli::command().get_matches();
    match Cli::from_arg_matches(&matches) {
        Ok(cli) => (cli.command, for_a_program(&matches)),
        Err(error) => error.exit(),
    }
}

/// JSON, and scripts for shells.
fn for_a_program(typed: &ArgMatches) -> bool {
    match typed.subcommand() {
        Some(("completions" | "schema", _)) => true,
        Some((_, below)) => for_a_program(below),
        None => matches!(typed.try_get_one::<bool>("json"), Ok(Some(true))),
    }
}

/// Runs a command to its end; the exit code is the process's own.
#[must_use]
pub fn run_client(command: &ClientCommand, for_a_program: bool, connect: Option<Connect>) -> ExitCode {
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    let terminal = out.is_terminal();
    let paints = |choice| choice != ColorChoice::Never;
    let (mut painted_out, mut painted_err);
    let out: &mut dyn Write = if !for_a_program && paints(AutoStream::choice(&out)) {
        painted_out = Painter::new(out);
        &mut painted_out
    } else {
        &mut out
    };
    let err: &mut dyn Write = if paints(AutoStream::choice(&err)) {
        painted_err = Painter::new(err);
        &mut painted_err
    } else {
        &mut err
    };
    let exit = run(command, connect, &mut Streams { out, err, terminal });
    // What cannot be written has nowhere to be told either.
    drop((out.flush(), err.flush()));
    ExitCode::from(exit as u8)
}

fn run(command: &ClientCommand, connect: Option<Connect>, to: &mut Streams<'_>) -> Exit {
    let ended = match command {
        ClientCommand::Check(args) => check::run(args, connect, to),
        ClientCommand::Schema => schema::run(to),
        ClientCommand::Status(args) => status::run(args, to),
        ClientCommand::Freeze(args) => freeze::freeze(args, to),
        ClientCommand::Thaw(args) => freeze::thaw(args, to),
        ClientCommand::Keys(command) => keys::run(command, to),
        ClientCommand::Intents(command) => intents::run(command, to),
        ClientCommand::Rollout(command) => rollout::run(command, to),
        ClientCommand::Shadow(command) => shadow::run(command, to),
        ClientCommand::Reload(args) => reload::run(args, to),
        ClientCommand::Completions(args) => completions::run(args, to),
    };
    ended.unwrap_or_else(|failure| {
        // `sluicegate status | head -1` is no failure worth a word.
        let quiet = matches!(&failure, Failure::Print(error) if error.kind() == io::ErrorKind::BrokenPipe);
        if !quiet {
            // With standard error gone as well there is nowhere left to say it.
            let _ = writeln!(to.err, "sluicegate: {failure}");
        }
        Exit::Failed
    })
}
