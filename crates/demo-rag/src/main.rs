//! `demo-rag`: one instance of the service as a program of its own.

use std::{io::Write, net::SocketAddr, process::ExitCode};

use clap::Parser;
use sluicegate_demo_rag::{Options, Settings, start};

/// A small RAG service over an embedded corpus.
#[derive(Debug, Parser)]
#[command(name = "demo-rag", version)]
struct Flags {
    /// Where to listen; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:0")]
    address: SocketAddr,
    /// The model version it tells as `MODEL_VER`.
    #[arg(long, default_value = "m-1")]
    version_name: String,
    /// The seed of its chance: failures, jitter, ids.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Honour `Idempotency-Key` from the start.
    #[arg(long)]
    honour_keys: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    let options = Options {
        address: flags.address,
        version: flags.version_name,
        seed: flags.seed,
        switches: Settings { honour_keys: flags.honour_keys, ..Settings::default() },
        ..Options::default()
    };
    let running = match start(options).await {
        Ok(running) => running,
        Err(error) => {
            eprintln!("demo-rag: {error}");
            return ExitCode::from(2);
        }
    };
    // Whoever started it may not read what it prints; it serves all the same.
    let _ = writeln!(std::io::stdout(), "listening on {}", running.address());
    if let Err(error) = tokio::signal::ctrl_c().await {
        eprintln!("demo-rag: cannot wait for Ctrl-C: {error}");
        return ExitCode::FAILURE;
    }
    running.stop().await;
    ExitCode::SUCCESS
}
