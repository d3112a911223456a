//! Real overload: what comes back when more is asked of a service than it can do, with the
//! gateway before it, with other proxies and with nothing. See `sluicegate_benches::overload`.
//!
//! `--quick` runs the gateway alone for a few seconds a phase and fails if something was let in
//! after its deadline, or nothing came back.

use std::{
    env,
    ffi::OsString,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    thread,
    time::Duration,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use sluicegate_benches::{
    Failure,
    child::Child,
    overload::{
        Setting,
        phase::{Lengths, PHASES, Phase, Seen},
        service,
        systems::{Stage, System},
        table::{Line, Table},
    },
    pin::{Side, pin},
};
use tokio::{net::TcpListener, runtime::LocalRuntime};

/// That of the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// The load of `--quick`.
const QUICK: Duration = Duration::from_secs(3);
/// Any number: the same arrivals and the same times of service for all systems.
const SEED: u64 = 4;

#[derive(Debug, Parser)]
#[command(about = "Overload: a service with a capacity, more work than that, and a proxy between")]
struct Cli {
    #[command(subcommand)]
    role: Option<Role>,
    #[command(flatten)]
    run: Run,
}

#[derive(Clone, Debug, Args)]
struct Run {
    /// The gateway alone, for a few seconds a phase: prove that it runs
    #[arg(long)]
    quick: bool,
    /// Seconds of load in each phase
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Interleaved rounds, of which medians are taken
    #[arg(long, default_value_t = 1)]
    rounds: usize,
    /// What to put before the service; without it, all that are installed
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<System>,
    /// Which phases: 0.9C, 2C, 5C, flood; without it all
    #[arg(long, value_parser = named, value_delimiter = ',')]
    phases: Vec<Phase>,
    /// Where Envoy is
    #[arg(long, default_value = "envoy")]
    envoy: PathBuf,
    #[command(flatten)]
    service: Service,
}

fn named(name: &str) -> Result<Phase, String> {
    let phase = PHASES.into_iter().find(|phase| phase.name == name);
    phase.ok_or_else(|| format!("the phases are {}", PHASES.map(|phase| phase.name).join(", ")))
}

/// What the service can do.
#[derive(Clone, Copy, Debug, Args)]
struct Service {
    /// Requests that the service works on at one time
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024))]
    places: u32,
    /// Milliseconds that each takes, in the mean
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    holds: u64,
    /// Milliseconds after which an answer is worthless
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    deadline: u64,
}

/// What the program is when it has started itself.
#[derive(Clone, Debug, Subcommand)]
enum Role {
    /// The service behind all
    #[command(hide = true)]
    Upstream {
        #[command(flatten)]
        service: Service,
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
            eprintln!("overload: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Role {
    fn play(self) -> Result<(), Failure> {
        match self {
            Self::Upstream { service } => {
                pin(Side::Around);
                LocalRuntime::new()?.block_on(async {
                    let listener = TcpListener::bind("127.0.0.1:0").await?;
                    println!("listening on {}", listener.local_addr()?);
                    Ok(service::serve(listener, service.setting(), SEED).await?)
                })
            }
            Self::Run { program, args } => {
                pin(Side::Proxy);
                // Comes back only if it could not be run.
                let error = Command::new(&program).args(args).exec();
                Err(format!("cannot run {}: {error}", program.display()).into())
            }
        }
    }
}

impl Service {
    const fn setting(self) -> Setting {
        Setting {
            places: self.places,
            holds: Duration::from_millis(self.holds),
            deadline: Duration::from_millis(self.deadline),
        }
    }

    fn start(self, own: &Path) -> Result<Child, Failure> {
        let mut command = Command::new(own);
        command.args(["upstream", "--places", &self.places.to_string()]);
        command.args(["--holds", &self.holds.to_string(), "--deadline", &self.deadline.to_string()]);
        Child::start(&mut command)
    }
}

impl Run {
    fn measure(mut self) -> Result<(), Failure> {
        if self.quick {
            (self.only, self.rounds) = (vec![System::Sluicegate], 1);
        } else if self.only.is_empty() {
            self.only = System::value_variants().to_vec();
        }
        if self.phases.is_empty() {
            self.phases = PHASES.into();
        }
        let load = if self.quick { QUICK } else { Duration::from_secs(self.seconds) };
        let lengths = Lengths::with_load(load);
        self.print_head();

        let mut tables: Vec<(Phase, Vec<Line>)> =
            self.phases.iter().map(|phase| (*phase, Vec::new())).collect();
        for round in 0..self.rounds.max(1) {
            for &system in &self.only {
                if system.version(&self.envoy).is_none() {
                    continue;
                }
                for (phase, lines) in &mut tables {
                    eprintln!("round {}: {}, {}", round + 1, system.name(), phase.name);
                    let seen = self.see(system, *phase, lengths, SEED + round as u64)?;
                    match lines.iter_mut().find(|line| line.system == system) {
                        Some(line) => line.rounds.push(seen),
                        None => lines.push(Line { system, rounds: vec![seen] }),
                    }
                }
            }
        }
        for (phase, lines) in &tables {
            println!("\n{}", Table { phase: *phase, setting: self.service.setting(), lines });
        }
        if self.quick { check(&tables) } else { Ok(()) }
    }

    /// One phase, before a service and behind a proxy that have seen nothing yet.
    fn see(&self, system: System, phase: Phase, lengths: Lengths, chance: u64) -> Result<Seen, Failure> {
        let own = env::current_exe()?;
        let folder = tempfile::tempdir()?;
        let setting = self.service.setting();
        let behind = self.service.start(&own)?;
        let upstream = behind.address;
        let stage = Stage { own: &own, folder: folder.path(), upstream, setting, envoy: &self.envoy };
        let (proxy, address) = system.start(&stage)?;
        let seen = phase.run(address, upstream, setting, lengths, chance)?;
        drop(proxy);
        Ok(seen)
    }

    fn print_head(&self) {
        let setting = self.service.setting();
        println!(
            "The service works on {} requests at a time, each for {:?} in the mean (from half of that to half \
             as long again): C is {:.0} requests a second. An answer is good if it is 200 and there {:?} after \
             its request was due. Open loop, Poisson arrivals; milliseconds; medians of {} rounds.\n",
            setting.places,
            setting.holds,
            setting.capacity(),
            setting.deadline,
            self.rounds.max(1)
        );
        if thread::available_parallelism().is_ok_and(|cores| cores.get() < 2) {
            println!("There is one core here, for the proxies, the service and the clients.\n");
        }
        for &system in &self.only {
            let version = system.version(&self.envoy);
            println!("- {}: {}", system.name(), version.as_deref().unwrap_or("not installed here, left out"));
        }
    }
}

fn check(tables: &[(Phase, Vec<Line>)]) -> Result<(), Failure> {
    println!("This was a quick run: the numbers mean little.");
    for (phase, lines) in tables {
        for seen in lines.iter().flat_map(|line| &line.rounds) {
            if seen.counts.came_late > 0 {
                let count = seen.counts.came_late;
                return Err(
                    format!("{}: {count} requests were let in after their deadline", phase.name).into()
                );
            }
            if seen.all.good() == 0 {
                return Err(format!("{}: nothing was answered in time", phase.name).into());
            }
        }
    }
    Ok(())
}
