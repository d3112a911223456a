//! `sluicegate serve`: a gateway in the foreground, steered by signals.
//!
//! - SIGHUP reads the configuration file again and opens the access log anew.
//! - SIGTERM: `/readyz` turns 503, the listeners go on for `shutdown.drain_delay` while each
//!   answer tells its client to connect elsewhere, then they close, what runs is finished for
//!   up to `shutdown.limit`, and the process exits 0.
//! - SIGINT does the same without the delay. A second signal does not wait any longer.
//!
//! Exit codes: 0 after a stop that was asked for, 2 where the configuration cannot be run.

use std::{io, process::ExitCode, sync::Arc, time::Duration};

use sluicegate_config::load;
use sluicegate_server::Inherited;
use sluicegate_spans::Connect;
use tokio::runtime::{Builder, Runtime};

use crate::{
    cli::ServeArgs,
    gateway::{Gateway, Options},
    logging,
    signals::Signals,
};

/// Threads of the side runtime: admin API, probes, file watching. Blocking work has its own.
const SIDE_THREADS: usize = 2;

/// The runtime for everything that is not the data path.
pub(crate) fn side_runtime() -> io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(SIDE_THREADS)
        .thread_name("sluicegate-side")
        .enable_all()
        .build()
}

/// Runs until a signal ends it.
pub(crate) fn run(args: &ServeArgs, connect: Option<Connect>) -> ExitCode {
    let inherited = Inherited::from_env();
    let loaded = match load(&args.config) {
        Ok(loaded) => loaded,
        Err(rejected) => return invalid(&rejected),
    };
    let mut log = loaded.document.log;
    if args.json_log {
        log.format = sluicegate_config::document::LogFormat::Json;
    }
    let log = logging::start(log);
    let side = match side_runtime() {
        Ok(side) => side,
        Err(error) => return invalid(&error),
    };
    let options = Options { loaded, side: side.handle().clone(), inherited, log, connect };
    let result = side.block_on(async {
        let signals = Signals::listen()?;
        let started = tokio::task::spawn_blocking(|| Gateway::start(options)).await;
        let gateway = match started {
            Ok(Ok(gateway)) => gateway,
            Ok(Err(error)) => return Ok(invalid(&error)),
            Err(panic) => return Ok(invalid(&panic)),
        };
        gateway.watch();
        // The service manager may not be there; then nobody waits for the word.
        drop(sd_notify::notify(&[sd_notify::NotifyState::Ready]));
        steer(signals, Arc::new(gateway)).await;
        Ok::<_, io::Error>(ExitCode::SUCCESS)
    });
    side.shutdown_timeout(Duration::from_secs(1));
    result.unwrap_or_else(|error| invalid(&error))
}

fn invalid(error: &dyn std::fmt::Display) -> ExitCode {
    use io::Write;
    // With standard error gone there is nowhere left to say it.
    drop(writeln!(io::stderr(), "{error}"));
    ExitCode::from(2)
}

/// Serves until a signal ends it.
async fn steer(mut signals: Signals, gateway: Arc<Gateway>) {
    let delayed = loop {
        tokio::select! {
            _ = signals.hangup.recv() => {
                let gateway = gateway.clone();
                drop(tokio::task::spawn_blocking(move || gateway.reload()).await);
            }
            _ = signals.terminate.recv() => break true,
            _ = signals.interrupt.recv() => break false,
        }
    };
    drop(sd_notify::notify(&[sd_notify::NotifyState::Stopping]));
    gateway.announce();
    let (delay, limit) = gateway.shutdown();
    if delayed {
        tracing::info!(?delay, "stopping: not ready any more, still serving");
        tokio::select! {
            () = tokio::time::sleep(delay) => {}
            () = signals.end() => {}
        }
    }
    tracing::info!(?limit, "stopping: listeners close, what runs is finished");
    let closed = tokio::select! {
        closed = gateway.close(limit) => closed,
        () = signals.end() => {
            tracing::warn!("stopping at once: asked a second time");
            return;
        }
    };
    tracing::info!(finished = closed.finished, aborted = closed.aborted, "stopped");
}
