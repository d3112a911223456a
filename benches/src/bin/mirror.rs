//! What shadow traffic costs: a tenth of the requests is copied to a second upstream, by the
//! gateway, by nginx's `mirror` and by Envoy's `request_mirror_policies`, each beside itself
//! without copies. See `sluicegate_benches::mirror`.
//!
//! ```text
//! cargo run --release -p sluicegate-benches --bin mirror -- --envoy PATH
//! cargo run --release -p sluicegate-benches --bin mirror -- --bad
//! ```
//!
//! The first tells CPU time and latency of each system to the same system without copies, and the
//! CPU time of a copy; what is not installed is left out. The second is the gateway alone, with a
//! shadow that hangs, refuses, resets, trickles, answers without end or is missing: what that does
//! to the latency of the requests, and how much memory it takes. Each takes three minutes, and
//! fails if a request was not answered or nothing was copied.
//!
//! `--rate` is requests a second, `--seconds` the length of a turn, `--rounds` how many turns each
//! has. `--quick` proves that it runs and measures nothing worth keeping.

use std::{
    env,
    ffi::OsString,
    os::unix::process::CommandExt,
    path::PathBuf,
    process::{Command, ExitCode},
    thread,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use sluicegate_benches::{
    Failure,
    mirror::{
        SHARE,
        bad::Bad,
        course::Course,
        service,
        systems::{Copies, System},
        table::{Burdens, Costs},
    },
    pin::{Side, pin},
};
use tokio::{net::TcpListener, runtime::LocalRuntime};

/// That of the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The turns of `--quick`.
const SHORT: Duration = Duration::from_millis(700);
/// The first lines of the table of `--bad` are the gateway without a shadow, twice.
const WITHOUT: usize = 2;
/// Requests a second of `--quick`: a gateway that is not optimized answers as many.
const FEW: u32 = 500;

#[derive(Debug, Parser)]
#[command(about = "What shadow traffic costs, beside other proxies")]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    run: Run,
}

#[derive(Clone, Debug, Args)]
struct Run {
    /// Prove that it runs, in turns too short for numbers to mean anything
    #[arg(long)]
    quick: bool,
    /// The gateway alone, with shadows that are a burden
    #[arg(long)]
    bad: bool,
    /// Requests a second
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: u32,
    /// Seconds of each turn
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Interleaved rounds, of which medians are taken
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Where Envoy is
    #[arg(long, default_value = "envoy")]
    envoy: PathBuf,
}

/// What the program is when it has started itself.
#[derive(Clone, Debug, Subcommand)]
enum Role {
    /// The primary, or the shadow
    #[command(hide = true)]
    Upstream,
    /// A shadow as nobody wants it
    #[command(hide = true)]
    Bad { kind: Bad },
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
            eprintln!("mirror: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Role {
    fn play(self) -> Result<(), Failure> {
        pin(if matches!(self, Self::Run { .. }) { Side::Proxy } else { Side::Around });
        match self {
            Self::Upstream => LocalRuntime::new()?.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                println!("listening on {}", listener.local_addr()?);
                Ok(service::serve(listener).await?)
            }),
            Self::Bad { kind } => Ok(LocalRuntime::new()?.block_on(kind.serve())?),
            Self::Run { program, args } => {
                // Comes back only if it could not be run.
                let error = Command::new(&program).args(args).exec();
                Err(format!("cannot run {}: {error}", program.display()).into())
            }
        }
    }
}

impl Run {
    fn measure(self) -> Result<(), Failure> {
        let course = Course {
            own: env::current_exe()?,
            envoy: self.envoy,
            rate: if self.quick { self.rate.min(FEW) } else { self.rate },
            during: if self.quick { SHORT } else { Duration::from_secs(self.seconds) },
            rounds: if self.quick { 1 } else { self.rounds.max(1) },
        };
        let done = if self.bad { burdens(&course) } else { costs(&course) };
        if self.quick {
            println!("This was a quick run: the numbers mean nothing.");
        }
        done
    }
}

fn costs(course: &Course) -> Result<(), Failure> {
    let lines = course.costs()?;
    print_head(course);
    println!(
        "CPU is user and system time of the whole process, its side threads included. The gateway has its \
         request ids, trace context, forwarded fields, timeouts, health and metrics on, and compares ids, \
         scores, texts and all else but the time an answer says it took; nginx adds no headers and counts \
         nothing; Envoy has its request ids, forwarded fields and counters on.\n"
    );
    for system in [System::Sluicegate, System::Nginx, System::Envoy] {
        let version = system.version(&course.envoy);
        println!("- {}: {}", system.name(), version.as_deref().unwrap_or("not installed here, left out"));
    }
    println!("\n{}", Costs(&lines));
    lines.iter().try_for_each(|line| {
        let name = format!("{}, copies: {}", line.system.name(), line.copies.name());
        let failed = line.turns.iter().flat_map(|turn| turn.failed.values()).sum();
        let copies: u64 = line.turns.iter().map(|turn| turn.copies).sum();
        check(&name, failed, line.copies == Copies::None || copies > 0)
    })
}

fn burdens(course: &Course) -> Result<(), Failure> {
    let burdens = course.burdens()?;
    print_head(course);
    println!(
        "The gateway compares, sends 10 % noise, gives a copy one second, and its breaker for the shadow is \
         off, so that each copy goes all of its bad way. RSS is the most that was ever resident. In brackets \
         the bounds within which chance lets the ratio be, in 95 of 100 cases.\n"
    );
    println!("{}", Burdens(&burdens));
    burdens.iter().enumerate().try_for_each(|(place, burden)| {
        let name = format!("the shadow: {}", burden.name);
        check(&name, burden.failed(), place < WITHOUT || burden.copies() > 0)
    })
}

fn print_head(course: &Course) {
    println!(
        "GET, about 1 KiB of JSON, {} requests a second in an open loop (Poisson), {SHARE} % copied. Turns of \
         {:?}, medians of {} interleaved rounds; a ratio is the median of the rounds' own. Latency counts from \
         when a request was due. HTTP/1.1, kept-alive; each proxy has one worker and no access log.",
        course.rate, course.during, course.rounds
    );
    if thread::available_parallelism().is_ok_and(|cores| cores.get() < 2) {
        println!("There is one core here, for the proxies, the upstreams and the clients.");
    } else {
        println!("The proxies have one core, clients and upstreams another.");
    }
}

fn check(name: &str, failed: u64, copied: bool) -> Result<(), Failure> {
    if failed > 0 {
        return Err(format!("{name}: {failed} requests were not answered with 200").into());
    }
    if !copied {
        return Err(format!("{name}: nothing was copied").into());
    }
    Ok(())
}
