//! CPU per request through real sockets: the gateway beside a bare hyper loop, and beside
//! nginx where it is installed, in one run.
//!
//! Each proxy is a process of its own with one worker on one core; load and upstream share
//! another. The proxies stay up for the whole run and take turns, round by round, so that
//! drift of the machine meets all of them. What is told is user and system time of the whole
//! process, the median of the rounds, and its ratio to the bare loop's.

use std::{
    env,
    ffi::OsString,
    fs, io,
    net::SocketAddr,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, ExitCode},
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use sluicegate_benches::{
    Failure, bare,
    child::Child,
    config,
    load::Load,
    load_http2, nginx,
    pin::{Side, pin},
    stats::median,
    upstream,
};
use tokio::{net::TcpListener, runtime::LocalRuntime};

/// That of the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Debug, Parser)]
#[command(about = "CPU per request of the gateway, beside a bare hyper loop")]
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
    #[arg(long, default_value_t = 200_000)]
    requests: u64,
    /// Interleaved rounds, of which medians are taken
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Kept-alive connections of the HTTP/1.1 load
    #[arg(long, default_value_t = 64)]
    connections: usize,
}

/// What the program is when it has started itself.
#[derive(Clone, Debug, Subcommand)]
enum Role {
    /// The upstream behind all
    #[command(hide = true)]
    Upstream,
    /// The bare loop
    #[command(hide = true)]
    Bare {
        upstream: SocketAddr,
        #[arg(long)]
        http2: bool,
    },
    /// Becomes another program, on the core of the proxies
    #[command(hide = true)]
    Run { program: OsString, args: Vec<OsString> },
}

fn main() -> ExitCode {
    // The gateway is the very code of its binary.
    if env::args_os().nth(1).is_some_and(|it| it == "serve") {
        pin(Side::Proxy);
        return sluicegate::main(None);
    }
    let cli = Cli::parse();
    let done = match cli.role {
        Some(role) => role.play(),
        None => cli.run.measure(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sockets: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Role {
    fn play(self) -> Result<(), Failure> {
        pin(if matches!(self, Self::Upstream) { Side::Around } else { Side::Proxy });
        match self {
            Self::Upstream => listen(upstream::serve),
            Self::Bare { upstream, http2 } => listen(|listener| bare::serve(listener, upstream, http2)),
            // Comes back only if it could not be run.
            Self::Run { program, args } => Err(Command::new(program).args(args).exec().into()),
        }
    }
}

fn listen<F: Future<Output = io::Result<()>>>(serve: impl FnOnce(TcpListener) -> F) -> Result<(), Failure> {
    LocalRuntime::new()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on {}", listener.local_addr()?);
        Ok(serve(listener).await?)
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Work {
    Get,
    Post,
    Http2,
}

impl Work {
    const fn name(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Http2 => "h2c GET",
        }
    }
}

/// One line of the table.
struct Row<'a> {
    work: Work,
    name: String,
    proxy: &'a Child,
    address: SocketAddr,
    /// Seconds of CPU per 100,000 requests, and requests per second, by round.
    rounds: Vec<(f64, f64)>,
}

impl Run {
    fn measure(mut self) -> Result<(), Failure> {
        if self.quick {
            (self.requests, self.rounds) = (self.requests.min(1000), 1);
        }
        let own = env::current_exe()?;
        let folder = tempfile::tempdir()?;
        let behind = Child::start(Command::new(&own).arg("upstream"))?;
        let bare = |http2: &[&str]| {
            Child::start(Command::new(&own).arg("bare").arg(behind.address.to_string()).args(http2))
        };
        let gateway = |name: &str, document: String| -> Result<Child, Failure> {
            let path: PathBuf = folder.path().join(name);
            fs::write(&path, document)?;
            Child::start(Command::new(&own).arg("serve").arg("--config").arg(path))
        };
        let (bare, bare_http2) = (bare(&[])?, bare(&["--http2"])?);
        let open = gateway("open.yaml", config::gateway(behind.address))?;
        let frozen = gateway("frozen.yaml", config::frozen(behind.address))?;
        let version = nginx::version();
        let nginx =
            version.as_ref().map(|_| nginx::start(&own, folder.path(), behind.address)).transpose()?;
        // Last: what is started inherits the core, and could not choose another.
        let pinned = pin(Side::Around);

        let mut rows = vec![
            Row::new(Work::Get, "bare hyper loop", &bare),
            Row::new(Work::Get, "gateway", &open),
            Row::new(Work::Get, "gateway, a freeze covers the reads", &frozen),
            Row::new(Work::Post, "bare hyper loop", &bare),
            Row::new(Work::Post, "gateway", &open),
            Row::new(Work::Post, "gateway, a freeze covers another route", &frozen),
            Row::new(Work::Http2, "bare hyper loop", &bare_http2),
            Row::new(Work::Http2, "gateway", &open),
        ];
        if let (Some(nginx), Some(version)) = (&nginx, &version) {
            for work in [Work::Get, Work::Post, Work::Http2] {
                let address = if work == Work::Http2 { nginx.http2 } else { nginx.child.address };
                rows.push(Row { address, ..Row::new(work, &format!("nginx {version}"), &nginx.child) });
            }
        }
        // Connections are opened and code is paged in before anything counts.
        for row in &rows {
            self.send(row, (self.requests / 20).max(500))?;
        }
        for round in 0..self.rounds {
            for row in &mut rows {
                let before = row.proxy.cpu()?;
                let took = self.send(row, self.requests)?;
                let used = row.proxy.cpu()?.saturating_sub(before);
                let requests = self.requests as f64;
                row.rounds.push((used.as_secs_f64() * 1e5 / requests, requests / took.as_secs_f64()));
            }
            eprintln!("round {} of {} done", round + 1, self.rounds);
        }
        self.print(&rows, pinned, version.as_deref());
        Ok(())
    }

    fn send(self, row: &Row<'_>, requests: u64) -> Result<Duration, Failure> {
        let (address, connections) = (row.address, self.connections);
        let sent = match row.work {
            Work::Http2 => load_http2::run(address, requests),
            work => Load { address, requests, connections, post: work == Work::Post }.run(),
        };
        sent.map_err(|error| format!("{}, {}: {error}", row.work.name(), row.name).into())
    }

    fn print(self, rows: &[Row<'_>], pinned: bool, nginx: Option<&str>) {
        println!(
            "{} requests a measurement, medians of {} interleaved rounds. HTTP/1.1: {} kept-alive connections; \
             h2c: 8 connections of 8 streams. GET answers 1 KiB of JSON, POST echoes 1 KiB.",
            self.requests, self.rounds, self.connections
        );
        println!(
            "The gateway has one worker and its request ids, trace context, forwarded fields, timeouts, health \
             and metrics on; no access log. The bare loop has none of them."
        );
        if !pinned {
            println!("The processes could not be pinned to cores of their own.");
        }
        if nginx.is_none() {
            println!("nginx is not installed here, so it is not in the table.");
        }
        if self.quick {
            println!("This was a quick run: the numbers mean nothing.");
        }
        println!("\n| work | proxy | CPU-s per 100,000 | to the bare loop | requests a second |");
        println!("|---|---|---|---|---|");
        for work in [Work::Get, Work::Post, Work::Http2] {
            let of_work: Vec<_> = rows.iter().filter(|row| row.work == work).collect();
            let Some(bare) = of_work.first() else { continue };
            for row in &of_work {
                // Each round against its own bare loop: drift between rounds falls out.
                let pairs = row.rounds.iter().zip(&bare.rounds);
                let ratio = median(&pairs.map(|(own, bare)| own.0 / bare.0).collect::<Vec<_>>());
                let (work, name, cpu, rate) = (work.name(), &row.name, row.cpu(), row.rate());
                println!("| {work} | {name} | {cpu:.2} | {ratio:.2} | {rate:.0} |");
            }
        }
    }
}

impl<'a> Row<'a> {
    fn new(work: Work, name: &str, proxy: &'a Child) -> Self {
        Self { work, name: name.to_owned(), proxy, address: proxy.address, rounds: Vec::new() }
    }

    fn cpu(&self) -> f64 {
        median(&self.rounds.iter().map(|round| round.0).collect::<Vec<_>>())
    }

    fn rate(&self) -> f64 {
        median(&self.rounds.iter().map(|round| round.1).collect::<Vec<_>>())
    }
}
