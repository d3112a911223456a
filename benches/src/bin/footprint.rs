//! What a sidecar costs while it does nothing: how soon it serves, and how much memory it
//! keeps, idle and after its first thousand requests.
//!
//! It runs `config/sidecar.yaml` with other addresses and a rate that lets the load in, with its one worker and with one per
//! core; then a gateway that fences writes on disk, of which it is told what memory it keeps
//! after them, after a `kill -9` and a new start, and when it has rested. The program is
//! `sluicegate` beside this one where that has been built, else the same code inside of this
//! one.

use std::{
    env, fs,
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use sluicegate_benches::{
    Failure, child::Child, config, load::Load, stats::median, upstream, writes::Writes,
};
use tokio::{net::TcpListener, runtime::LocalRuntime};

/// That of the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const SIDECAR: &str = include_str!("../../../config/sidecar.yaml");
const REQUESTS: u64 = 1000;
const CONNECTIONS: usize = 8;
/// Writes, for the measurement with a store on disk.
const KEYS: u64 = 50_000;
/// After so long without a write the store has put what it had gathered into files.
const REST: Duration = Duration::from_secs(15);

#[derive(Debug, Parser)]
#[command(about = "Start-up time and resident memory of the gateway as a sidecar")]
struct Cli {
    /// Prove that it runs: few starts
    #[arg(long)]
    quick: bool,
    /// Starts, of which medians are taken
    #[arg(long, default_value_t = 20)]
    starts: usize,
}

fn main() -> ExitCode {
    let done = match env::args_os().nth(1) {
        Some(role) if role == "serve" => return sluicegate::main(None),
        Some(role) if role == "upstream" => serve_upstream(),
        _ => measure(&Cli::parse()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("footprint: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve_upstream() -> Result<(), Failure> {
    LocalRuntime::new()?.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on {}", listener.local_addr()?);
        Ok(upstream::serve(listener).await?)
    })
}

/// What one start has shown.
struct Seen {
    listening: Duration,
    answered: Duration,
    idle_kib: u64,
    used_kib: u64,
}

fn measure(cli: &Cli) -> Result<(), Failure> {
    let starts = if cli.quick { 2 } else { cli.starts.max(1) };
    let own = env::current_exe()?;
    let built = own.with_file_name("sluicegate");
    let program = if built.is_file() { &built } else { &own };
    let folder = tempfile::tempdir()?;
    let behind = Child::start(Command::new(&own).arg("upstream"))?;
    println!(
        "`{}`, config/sidecar.yaml, medians of {starts} starts; {REQUESTS} requests over {CONNECTIONS} connections.\n",
        program.file_name().unwrap_or_default().display()
    );
    println!("| workers | listening | first answer | RSS idle | RSS after {REQUESTS} requests |");
    println!("|---|---|---|---|---|");
    let cores = std::thread::available_parallelism()?;
    for (workers, line) in [("1".to_owned(), "workers: 1\n"), (format!("one per core: {cores}"), "")] {
        let path = folder.path().join("sidecar.yaml");
        fs::write(&path, document(behind.address, line)?)?;
        let seen = (0..starts).map(|_| start(program, &path)).collect::<Result<Vec<_>, _>>()?;
        let of = |value: fn(&Seen) -> f64| median(&seen.iter().map(value).collect::<Vec<_>>());
        println!(
            "| {workers} | {:.1} ms | {:.1} ms | {:.1} MiB | {:.1} MiB |",
            of(|it| it.listening.as_secs_f64() * 1e3),
            of(|it| it.answered.as_secs_f64() * 1e3),
            of(|it| it.idle_kib as f64 / 1024.0),
            of(|it| it.used_kib as f64 / 1024.0),
        );
    }
    on_disk(cli, program, folder.path(), behind.address)?;
    if cli.quick {
        println!("\nThis was a quick run: the numbers mean little.");
    }
    Ok(())
}

/// What a gateway keeps in memory that keeps its fences on disk.
fn on_disk(cli: &Cli, program: &Path, folder: &Path, upstream: SocketAddr) -> Result<(), Failure> {
    let requests = if cli.quick { 500 } else { KEYS };
    let rest = if cli.quick { Duration::from_secs(1) } else { REST };
    let path = folder.join("keyed.yaml");
    let document = config::writes(upstream, "embedded: { path: data }", true);
    fs::write(&path, document.replace("ttl: 10s", "ttl: 1h"))?;
    let mut command = Command::new(program);
    command.arg("serve").arg("--config").arg(&path).env("RUST_LOG", "error");

    let first = Child::start(&mut command)?;
    let writes = Writes { address: first.address, requests, connections: CONNECTIONS, first_key: Some(0) };
    writes.run()?;
    let used = first.resident_kib()?;
    thread::sleep(rest);
    let used_rested = first.resident_kib()?;
    // As by `kill -9`: what it had gathered is in the journal alone.
    drop(first);
    let second = Child::start(&mut command)?;
    let again = second.resident_kib()?;
    thread::sleep(rest);
    let again_rested = second.resident_kib()?;

    println!("\n{requests} keyed writes, fenced in `store.embedded` for an hour; rests of {rest:?}.\n");
    println!("| RSS after the writes | at rest | after `kill -9` and a start | at rest |");
    println!("|---|---|---|---|");
    let mib = |kib: u64| kib as f64 / 1024.0;
    println!(
        "| {:.1} MiB | {:.1} MiB | {:.1} MiB | {:.1} MiB |",
        mib(used),
        mib(used_rested),
        mib(again),
        mib(again_rested)
    );
    Ok(())
}

/// The sidecar's document, with addresses that are free here.
fn document(upstream: SocketAddr, workers: &str) -> Result<String, Failure> {
    let mut text = SIDECAR.to_owned();
    let upstream = upstream.to_string();
    for (from, to) in [
        ("0.0.0.0:8080", "127.0.0.1:0"),
        ("127.0.0.1:9901", "127.0.0.1:0"),
        ("127.0.0.1:7001", &upstream),
        ("workers: 1\n", workers),
        // What is measured is memory, and not how fast requests may come.
        ("rps: 20, burst: 40", "rps: 100000, burst: 100000"),
    ] {
        if !text.contains(from) {
            return Err(format!("config/sidecar.yaml holds no `{}` to replace", from.trim()).into());
        }
        text = text.replace(from, to);
    }
    Ok(text)
}

fn start(program: &Path, config: &Path) -> Result<Seen, Failure> {
    let begun = Instant::now();
    let mut command = Command::new(program);
    // Its log would stand between the lines of the table.
    command.arg("serve").arg("--config").arg(config).env("RUST_LOG", "error");
    let child = Child::start(&mut command)?;
    first_answer(child.address)?;
    let answered = begun.elapsed();
    let idle_kib = child.resident_kib()?;
    Load { address: child.address, requests: REQUESTS, connections: CONNECTIONS, post: false }.run()?;
    Ok(Seen { listening: child.started_in, answered, idle_kib, used_kib: child.resident_kib()? })
}

fn first_answer(address: SocketAddr) -> Result<(), Failure> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.write_all(b"GET /v1/documents/1 HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    if answer.starts_with("HTTP/1.1 200") { Ok(()) } else { Err(format!("answered: {answer}").into()) }
}
