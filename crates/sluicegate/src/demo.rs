//! `sluicegate demo`: a gateway and what it stands in front of, in one process.
//!
//! Three instances of the small RAG service and a gateway with the quickstart configuration
//! run on loopback; what is printed is a tour of commands to type in another terminal, each
//! with the addresses that are really in use. Everything the demo writes (the configuration,
//! which is watched, and the state) lies in a temporary folder of its own.
//!
//! Ctrl-C, SIGTERM and a closed terminal stop everything and remove the folder; what runs
//! then has [`STOP_LIMIT`] to finish, and a second signal does not wait for it. Standard
//! output may be closed at any time. The log is quiet but for warnings, by a line in the
//! configuration, where it can be changed like everything else.
//!
//! Exit codes: 0 after a stop that was asked for, 2 where the demo cannot be started.

mod config;
mod instances;
mod screen;
mod stand;
#[cfg(test)]
mod tests;
mod tour;
mod traffic;

use std::{
    io::{self, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use sluicegate_config::document::{LogInput, LogLevel};
use tokio::{
    runtime::Handle,
    time::{MissedTickBehavior, interval},
};

use self::{screen::Screen, stand::Stand, traffic::Traffic};
use crate::{cli::DemoArgs, logging, say::say, serve::side_runtime, signals::Signals};

/// How long a stop lets requests finish.
const STOP_LIMIT: Duration = Duration::from_secs(3);
/// How often the live line is written.
const LINE_EVERY: Duration = Duration::from_secs(1);

/// Runs until a signal ends it.
pub(crate) fn run(args: &DemoArgs) -> ExitCode {
    let begun = Instant::now();
    let log = logging::start(LogInput { level: LogLevel::Warn, ..LogInput::default() });
    let side = match side_runtime() {
        Ok(side) => side,
        Err(error) => return failed(&error),
    };
    let result: Result<(), Box<dyn std::error::Error>> = side.block_on(async {
        let mut signals = Signals::listen()?;
        let stand = Stand::start(Handle::current(), log, config::PREFERRED).await?;
        let program = tour::program();
        say(format_args!("{}", tour::text(&stand, &program, begun.elapsed())));
        if args.traffic {
            drive(&stand, &mut signals).await;
        } else {
            signals.any().await;
        }
        tokio::select! {
            () = stand.stop(STOP_LIMIT) => {}
            () = signals.any() => {}
        }
        Ok(())
    });
    side.shutdown_timeout(Duration::from_secs(1));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(error.as_ref()),
    }
}

/// Sends traffic and shows how it fares until a signal comes.
async fn drive(stand: &Stand, signals: &mut Signals) {
    let traffic = Traffic::start(stand.gateway());
    let mut screen = Screen::of_this_process();
    let mut ticks = interval(LINE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The first one comes at once, and there is nothing to tell yet.
    ticks.tick().await;
    loop {
        tokio::select! {
            _ = ticks.tick() => screen.show(&traffic.line()),
            () = signals.any() => break,
        }
    }
    screen.done();
    say(format_args!("{}", traffic.stop().await));
}

fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    // With standard error gone there is nowhere left to say it.
    drop(writeln!(io::stderr(), "sluicegate demo: {error}"));
    ExitCode::from(2)
}
