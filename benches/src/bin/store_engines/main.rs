//! Which engine the store on disk is built on: `fjall` and `redb` side by side.
//!
//! Both do what the store does: random keys, a fence begun and then sealed (two writes of a
//! value of 400 bytes, and a note of when it expires), many operations in one round, a sync
//! only where one is asked for. Every step runs in a process of its own, so that its memory
//! is its own, and so that it can be killed.

use std::{
    env, fs,
    io::{BufRead, BufReader, Write as _},
    path::Path,
    process::{Command, ExitCode, Stdio},
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use sluicegate_benches::Failure;
use sluicegate_core::Chance;

mod engines;

use engines::{Engine, Fjall, Map, Redb, Write};

/// Bytes of a value.
const VALUE: usize = 400;
/// How long a record lives, in seconds of simulated time.
const LIFE: u64 = 60;
/// Keys that are begun in one second of simulated time.
const PER_SECOND: u64 = 2000;
/// Operations in one round, as of so many clients at once.
const ROUND: usize = 32;

#[derive(Debug, Parser)]
#[command(about = "fjall and redb side by side, doing what the store does")]
struct Cli {
    /// Prove that it runs: few keys
    #[arg(long)]
    quick: bool,
    /// Keys that are written
    #[arg(long, default_value_t = 1_000_000)]
    keys: u64,
}

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().collect();
    let done = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [_, "step", "fjall", name, folder, keys] => step::<Fjall>(name, folder, keys),
        [_, "step", "redb", name, folder, keys] => step::<Redb>(name, folder, keys),
        _ => compare(&Cli::parse()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("store_engines: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(cli: &Cli) -> Result<(), Failure> {
    let keys = if cli.quick { 20_000 } else { cli.keys };
    println!("{keys} random keys, values of {VALUE} bytes, {ROUND} operations to a round.\n");
    println!("| | fjall | redb |");
    println!("|---|---|---|");
    let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
    for name in ["fill", "open", "intents", "killed", "life"] {
        let mut said = Vec::new();
        for (engine, folder) in ["fjall", "redb"].into_iter().zip(&folders) {
            let at = match name {
                "fill" | "open" => folder.path().join("filled"),
                other => folder.path().join(other),
            };
            said.push(if name == "killed" { killed(engine, &at)? } else { run(engine, name, &at, keys)? });
        }
        let [left, right] = &said[..] else { return Err("there are two engines".into()) };
        for ((what, fjall), (_, redb)) in left.iter().zip(right) {
            println!("| {what} | {fjall} | {redb} |");
        }
    }
    if cli.quick {
        println!("\nThis was a quick run: the numbers mean little.");
    }
    Ok(())
}

/// What a step has found: of what, and how much.
type Found = Vec<(String, String)>;

fn child(engine: &str, name: &str, folder: &Path, keys: u64) -> Result<Command, Failure> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["step", engine, name]).arg(folder).arg(keys.to_string()).stdout(Stdio::piped());
    Ok(command)
}

fn run(engine: &str, name: &str, folder: &Path, keys: u64) -> Result<Found, Failure> {
    let output = child(engine, name, folder, keys)?.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("the step `{name}` with {engine} ended with {}", output.status).into());
    }
    let lines = String::from_utf8(output.stdout)?;
    Ok(lines.lines().filter_map(|line| line.split_once('\t')).map(|(a, b)| (a.into(), b.into())).collect())
}

/// Kills a process that writes rounds without a sync and says after each that it is done;
/// then looks what of it is there.
fn killed(engine: &str, folder: &Path) -> Result<Found, Failure> {
    let mut writer = child(engine, "write", folder, 0)?.spawn()?;
    let output = BufReader::new(writer.stdout.take().ok_or("the child has no standard output")?);
    let mut acknowledged = 0;
    let begun = Instant::now();
    for line in output.lines() {
        acknowledged = line?.parse::<u64>()?;
        if begun.elapsed() > Duration::from_millis(500) {
            writer.kill()?;
        }
    }
    writer.wait()?;
    let found = run(engine, "count", folder, acknowledged)?;
    let kept = found.first().map_or("", |(_, kept)| kept);
    Ok(vec![("kept after `kill -9`, no sync: of acknowledged writes".into(), kept.to_owned())])
}

fn step<E: Engine>(name: &str, folder: &str, keys: &str) -> Result<(), Failure> {
    let (folder, keys) = (Path::new(folder), keys.parse()?);
    match name {
        "fill" => fill::<E>(folder, keys),
        "open" => open::<E>(folder),
        "intents" => intents::<E>(folder, keys / 1000),
        "write" => write_until_killed::<E>(folder),
        "count" => count::<E>(folder, keys),
        "life" => life::<E>(folder, keys),
        other => Err(format!("there is no step `{other}`").into()),
    }
}

fn key(number: u64) -> Vec<u8> {
    let chance = Chance::seeded(number);
    (0..4).flat_map(|_| chance.bits().to_be_bytes()).collect()
}

fn value(number: u64) -> Vec<u8> {
    // Half of it random: what is stored is text for the most part.
    let chance = Chance::seeded(!number);
    (0..VALUE / 16)
        .flat_map(|_| chance.bits().to_be_bytes())
        .chain(std::iter::repeat_n(b'a', VALUE / 2))
        .collect()
}

fn note(second: u64, number: u64) -> Vec<u8> {
    [second.to_be_bytes().to_vec(), key(number)].concat()
}

fn begin(number: u64, second: u64) -> [Write; 2] {
    [
        Write { map: Map::Records, key: key(number), value: Some(value(number)) },
        Write { map: Map::Expiry, key: note(second + LIFE, number), value: Some(Vec::new()) },
    ]
}

fn seal(number: u64) -> Write {
    Write { map: Map::Records, key: key(number), value: Some(value(number + 1)) }
}

/// Begins and seals keys, those of one round sealed in the next.
fn begin_and_seal<E: Engine>(engine: &mut E, keys: std::ops::Range<u64>, second: u64) -> Result<(), Failure> {
    let (from, to) = (keys.start, keys.end);
    let mut number = from;
    let mut begun = from..from;
    while !begun.is_empty() || number < to {
        let next = (number + ROUND as u64 / 2).min(to);
        let seals = begun.map(seal);
        let writes = (number..next).flat_map(|number| begin(number, second)).chain(seals).collect();
        engine.round(writes, false)?;
        begun = number..next;
        number = next;
    }
    Ok(())
}

fn fill<E: Engine>(folder: &Path, keys: u64) -> Result<(), Failure> {
    let mut engine = E::open(folder)?;
    let (begun, cpu) = (Instant::now(), cpu()?);
    begin_and_seal(&mut engine, 0..keys, 0)?;
    let took = begun.elapsed();
    say("begin and seal, keys per second", &format!("{:.0}", keys as f64 / took.as_secs_f64()));
    let used = self::cpu()?.saturating_sub(cpu);
    say("CPU per key, µs", &format!("{:.1}", used.as_secs_f64() * 1e6 / keys as f64));
    say("resident after it, MiB", &format!("{:.1}", resident()?));
    let begun = Instant::now();
    let chance = Chance::seeded(1);
    for _ in 0..10_000 {
        engine.get(&key(chance.below(keys)))?.ok_or("a key is gone")?;
    }
    say("a record is read in, µs", &format!("{:.1}", begun.elapsed().as_secs_f64() * 1e2));
    // The last round is synced, so that nothing is lost at the end of the process.
    engine.round(vec![seal(0)], true)?;
    say("size on disk, MiB", &format!("{:.0}", size(folder)?));
    // Not closed in order: what comes next is the open after a crash.
    std::io::stdout().flush()?;
    std::process::exit(0)
}

fn open<E: Engine>(folder: &Path) -> Result<(), Failure> {
    let begun = Instant::now();
    let engine = E::open(folder)?;
    engine.get(&key(1))?.ok_or("a key is gone")?;
    say("opened after a crash in, ms", &format!("{:.0}", begun.elapsed().as_secs_f64() * 1e3));
    say("resident after opening, MiB", &format!("{:.1}", resident()?));
    Ok(())
}

/// Writes that are synced, each alone and many to a round.
fn intents<E: Engine>(folder: &Path, rounds: u64) -> Result<(), Failure> {
    let mut engine = E::open(folder)?;
    for group in [1, ROUND as u64] {
        let begun = Instant::now();
        for round in 0..rounds.max(20) {
            let numbers = round * group..(round + 1) * group;
            engine.round(numbers.flat_map(|number| begin(number, 0)).collect(), true)?;
        }
        let per_second = (rounds.max(20) * group) as f64 / begun.elapsed().as_secs_f64();
        say(&format!("synced writes per second, {group} to a round"), &format!("{per_second:.0}"));
    }
    Ok(())
}

fn write_until_killed<E: Engine>(folder: &Path) -> Result<(), Failure> {
    let mut engine = E::open(folder)?;
    let mut output = std::io::stdout();
    for number in 0.. {
        engine.round(begin(number, 0).into(), false)?;
        writeln!(output, "{}", number + 1)?;
    }
    Ok(())
}

fn count<E: Engine>(folder: &Path, keys: u64) -> Result<(), Failure> {
    let engine = E::open(folder)?;
    let mut kept = 0;
    for number in 0..keys {
        kept += u64::from(engine.get(&key(number))?.is_some());
    }
    say("kept", &format!("{kept} of {keys}"));
    Ok(())
}

/// Keys that live for a minute of simulated time; what is due is removed after each second.
fn life<E: Engine>(folder: &Path, keys: u64) -> Result<(), Failure> {
    let mut engine = E::open(folder)?;
    let mut largest = 0.0_f64;
    let last = keys.div_ceil(PER_SECOND) + LIFE + 1;
    for second in 0..=last {
        let from = (second * PER_SECOND).min(keys);
        begin_and_seal(&mut engine, from..(from + PER_SECOND).min(keys), second)?;
        loop {
            // From where the last look ended: a log-structured tree walks past all that was
            // removed before.
            let due = engine.due(&second.to_be_bytes(), &(second + 1).to_be_bytes(), 256)?;
            if due.is_empty() {
                break;
            }
            let remove = |map, key: &[u8]| Write { map, key: key.to_vec(), value: None };
            let gone =
                due.iter().flat_map(|note| [remove(Map::Expiry, note), remove(Map::Records, &note[8..])]);
            engine.round(gone.collect(), false)?;
        }
        if second % 8 == 0 {
            largest = largest.max(size(folder)?);
        }
    }
    engine.round(Vec::from(begin(keys, last)), true)?;
    say("life of a minute: largest size on disk, MiB", &format!("{largest:.0}"));
    let mut smallest = size(folder)?;
    // What the engine does by itself in the background is given up to three seconds.
    for _ in 0..(keys / 4000).clamp(5, 30) {
        thread::sleep(Duration::from_millis(100));
        smallest = smallest.min(size(folder)?);
    }
    say("size when all but one have expired, MiB", &format!("{smallest:.1}"));
    say("resident at its end, MiB", &format!("{:.1}", resident()?));
    Ok(())
}

fn say(what: &str, found: &str) {
    println!("{what}\t{found}");
}

/// The size of a folder in MiB, as the disk has it.
fn size(folder: &Path) -> Result<f64, Failure> {
    use std::os::unix::fs::MetadataExt;
    let (mut blocks, mut folders) = (0, vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // A file may be removed while this walks.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                folders.push(entry.path());
            } else {
                blocks += metadata.blocks();
            }
        }
    }
    Ok(blocks as f64 * 512.0 / f64::from(1 << 20))
}

fn resident() -> Result<f64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = line.and_then(|it| it.trim().strip_suffix(" kB")).ok_or("no VmRSS")?.trim().parse()?;
    Ok(kib / 1024.0)
}

fn cpu() -> Result<Duration, Failure> {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Ok(Duration::new(now.tv_sec.try_into()?, now.tv_nsec.try_into()?))
}
