//! `check`: everything that is wrong with a configuration file, without running it.
//!
//! Files that it names (certificates, keys, secrets) are read. Nothing is bound, resolved or opened
//! for writing, so a file can be checked beside the gateway that runs it. What only the start can find out (an address in use, an upstream
//! name that does not resolve) is not found here.

use jiff::Timestamp;
use serde_json::json;
use sluicegate_config::{Loaded, Problem, load};
use sluicegate_freeze::Moments;
use sluicegate_spans::Connect;

use super::{CheckArgs, Exit, Failure, Streams, output};

mod files;

pub(crate) fn run(args: &CheckArgs, connect: Option<Connect>, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    let (loaded, problems) = match load(&args.file) {
        Ok(loaded) => {
            let mut problems = files::problems(&loaded);
            problems.extend(telemetry(&loaded, connect));
            (Some(loaded), problems)
        }
        Err(rejected) => (None, rejected.problems),
    };
    let warnings = loaded.as_ref().map(|loaded| loaded.warnings.as_slice()).unwrap_or_default();
    let exit = if problems.is_empty() { Exit::Done } else { Exit::Invalid };
    if args.json {
        let report = json!({
            "valid": exit == Exit::Done,
            "file": args.file.display().to_string(),
            "hash": loaded.as_ref().map(|loaded| &loaded.hash),
            "problems": problems,
            "warnings": warnings,
        });
        output::json(to.out, &report)?;
        return Ok(exit);
    }
    for problem in &problems {
        writeln!(to.err, "{problem}")?;
    }
    for warning in warnings {
        writeln!(to.err, "warning: {warning}")?;
    }
    match loaded {
        Some(loaded) if exit == Exit::Done => {
            let document = &loaded.document;
            writeln!(
                to.out,
                "{}: valid; {}, {}, {}",
                args.file.display(),
                output::count(document.listen.len(), "listener"),
                output::count(document.upstreams.len(), "upstream"),
                output::count(document.routes.len(), "route"),
            )?;
            windows(&loaded, to)?;
        }
        _ => {
            let found = output::count(problems.len(), "problem");
            writeln!(to.err, "{}: {found}; a running gateway would keep what it has", args.file.display())?;
        }
    }
    Ok(exit)
}

/// When each window of the calendar is on next, in UTC and by the clock of its rule.
fn windows(loaded: &Loaded, to: &mut Streams<'_>) -> Result<(), Failure> {
    let now = Timestamp::now();
    let settings = loaded.document.freeze.check().unwrap_or_default();
    for window in &settings.windows {
        let times = window.times(now, 3);
        if times.is_empty() {
            let why = match window.moments {
                Moments::Rule(_) => "not once in the next ten years",
                Moments::Once { .. } => "over",
            };
            writeln!(to.out, "  window {}: {why}", window.id)?;
        }
        for (start, end) in times {
            let local = match &window.moments {
                Moments::Rule(rule) => format!(", {} there", rule.zone().to_datetime(start)),
                Moments::Once { .. } => String::new(),
            };
            let lasts = output::between(start, end);
            writeln!(to.out, "  window {}: {start} for {lasts}{local}", window.id)?;
        }
    }
    Ok(())
}

/// What this build cannot do of the `telemetry` section, and files of it that cannot be used.
fn telemetry(loaded: &Loaded, connect: Option<Connect>) -> Vec<Problem> {
    let Some(otlp) = &loaded.document.telemetry.otlp else { return Vec::new() };
    let checked = sluicegate_spans::check(connect, otlp, &|path| loaded.source.resolve(path));
    crate::telemetry::problems(loaded, checked.err().unwrap_or_default())
}
