//! What a key costs: keyed beside unkeyed writes through real sockets, for each engine, in
//! one run.
//!
//! Each gateway is a process of its own with one worker on one core, which its side runtime
//! and the engine's thread share; load and upstream share another, and so does Redis. The
//! gateways stay up for the whole run and take turns, round by round. What is told is user
//! and system time of the whole gateway process, the median of the rounds, and its ratio to
//! the unkeyed writes of the same round. What Redis itself uses is not in it.
//!
//! How much room a million keys take on disk, and how much of it comes back, is measured on
//! the engine itself (`store_engines`).

use std::{
    env, fs,
    path::PathBuf,
    process::{Command, ExitCode},
};

use clap::{Args, Parser, Subcommand};
use sluicegate_benches::{
    Failure,
    child::Child,
    config,
    pin::{Side, pin},
    stats::median,
    upstream,
    writes::Writes,
};
use sluicegate_test_servers::Redis;
use tokio::{net::TcpListener, runtime::LocalRuntime};

/// That of the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Debug, Parser)]
#[command(about = "CPU per keyed write of the gateway, beside an unkeyed one")]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    run: Run,
}

#[derive(Clone, Copy, Debug, Args)]
struct Run {
    /// Prove that it runs, with too few requests for numbers to mean anything
    #[arg(long)]
    quick: bool,
    /// Requests per measurement
    #[arg(long, default_value_t = 50_000)]
    requests: u64,
    /// Interleaved rounds, of which medians are taken
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Kept-alive connections
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Leave Redis out
    #[arg(long)]
    without_redis: bool,
}

/// What the program is when it has started itself.
#[derive(Clone, Copy, Debug, Subcommand)]
enum Role {
    /// The upstream behind all
    #[command(hide = true)]
    Upstream,
}

fn main() -> ExitCode {
    // The gateway is the very code of its binary.
    if env::args_os().nth(1).is_some_and(|it| it == "serve") {
        pin(Side::Proxy);
        return sluicegate::main(None);
    }
    let cli = Cli::parse();
    let done = match cli.role {
        Some(Role::Upstream) => serve_upstream(),
        None => cli.run.measure(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("keyed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve_upstream() -> Result<(), Failure> {
    pin(Side::Around);
    LocalRuntime::new()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on {}", listener.local_addr()?);
        upstream::serve(listener).await
    })?;
    Ok(())
}

/// One line of the table.
struct Row {
    name: &'static str,
    keyed: bool,
    gateway: Child,
    rounds: Vec<Round>,
}

/// What one measurement came to.
struct Round {
    /// Seconds of CPU per 100,000 writes.
    cpu: f64,
    /// Writes per second.
    rate: f64,
    /// Milliseconds that 99 of 100 writes did not pass.
    p99: f64,
}

impl Run {
    fn measure(mut self) -> Result<(), Failure> {
        if self.quick {
            (self.requests, self.rounds) = (self.requests.min(1000), 1);
        }
        let own = env::current_exe()?;
        let folder = tempfile::tempdir()?;
        let behind = Child::start(Command::new(&own).arg("upstream"))?;
        let start = |name: &'static str, keyed: bool, store: &str| -> Result<Row, Failure> {
            let path: PathBuf = folder.path().join(format!("{}.yaml", name.replace(' ', "-")));
            fs::write(&path, config::writes(behind.address, store, keyed))?;
            let gateway = Child::start(Command::new(&own).arg("serve").arg("--config").arg(path))?;
            Ok(Row { name, keyed, gateway, rounds: Vec::new() })
        };
        let mut rows = vec![
            start("unkeyed", false, "memory: {}")?,
            start("memory", true, "memory: {}")?,
            start("embedded", true, "embedded: { path: data }")?,
            start("embedded, sync: always", true, "embedded: { path: synced, sync: always }")?,
        ];
        // Last: what is started inherits the core, and could not choose another.
        let pinned = pin(Side::Around);
        let redis = if self.without_redis { None } else { Some(redis()?) };
        if let Some(redis) = &redis {
            rows.push(start(
                "redis, appendfsync always",
                true,
                &format!("redis: {{ url: \"{}\" }}", redis.url()),
            )?);
        }

        let mut first_key = 0;
        for row in &rows {
            self.send(row, (self.requests / 20).max(500), &mut first_key)?;
        }
        for round in 0..self.rounds {
            for row in &mut rows {
                let before = row.gateway.cpu()?;
                let sent = self.send(row, self.requests, &mut first_key)?;
                let used = row.gateway.cpu()?.saturating_sub(before);
                let requests = self.requests as f64;
                row.rounds.push(Round {
                    cpu: used.as_secs_f64() * 1e5 / requests,
                    rate: requests / sent.took.as_secs_f64(),
                    p99: sent.p99.as_secs_f64() * 1e3,
                });
            }
            eprintln!("round {} of {} done", round + 1, self.rounds);
        }
        self.print(&rows, pinned);
        Ok(())
    }

    /// Sends writes whose keys have never been used before.
    fn send(
        self,
        row: &Row,
        requests: u64,
        first_key: &mut u64,
    ) -> Result<sluicegate_benches::writes::Sent, Failure> {
        let (address, connections) = (row.gateway.address, self.connections);
        let writes = Writes { address, requests, connections, first_key: row.keyed.then_some(*first_key) };
        *first_key += requests;
        writes.run().map_err(|error| format!("{}: {error}", row.name).into())
    }

    fn print(self, rows: &[Row], pinned: bool) {
        println!(
            "{} writes a measurement, medians of {} interleaved rounds, {} kept-alive connections. A POST of 1 KiB \
             of JSON is echoed; every key is new and lives for ten seconds.",
            self.requests, self.rounds, self.connections
        );
        println!("CPU is that of the gateway's process with one worker; Redis's own is not in it.");
        if !pinned {
            println!("The processes could not be pinned to cores of their own.");
        }
        if self.quick {
            println!("This was a quick run: the numbers mean nothing.");
        }
        println!("\n| writes | CPU-s per 100,000 | to unkeyed | writes a second | p99 ms |");
        println!("|---|---|---|---|---|");
        let Some(unkeyed) = rows.first() else { return };
        for row in rows {
            let pairs = row.rounds.iter().zip(&unkeyed.rounds);
            let ratio = median(&pairs.map(|(own, unkeyed)| own.cpu / unkeyed.cpu).collect::<Vec<_>>());
            let of = |what: fn(&Round) -> f64| median(&row.rounds.iter().map(what).collect::<Vec<_>>());
            let (cpu, rate, p99) = (of(|it| it.cpu), of(|it| it.rate), of(|it| it.p99));
            println!("| {} | {cpu:.2} | {ratio:.2} | {rate:.0} | {p99:.1} |", row.name);
        }
    }
}

fn redis() -> Result<Redis, Failure> {
    let started = tokio::runtime::Runtime::new()?.block_on(Redis::start());
    started.map_err(|error| format!("{error} (`--without-redis` leaves it out)").into())
}
