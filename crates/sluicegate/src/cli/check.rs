//! `check`: everything that is wrong with a configuration file, without running it.
//!
//! Nothing is bound, resolved or opened for writing, so a file can be checked beside the
//! gateway that runs it. What only the start can find out (an address in use, an upstream
//! name that does not resolve) is not found here.

use serde_json::json;
use sluicegate_config::{Loaded, Problem, load, problem_at};

use super::{CheckArgs, Exit, Failure, Streams, output};

pub(crate) fn run(args: &CheckArgs, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    let (loaded, problems) = match load(&args.file) {
        Ok(loaded) => {
            let problems = certificates(&loaded);
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
        }
        _ => {
            let found = output::count(problems.len(), "problem");
            writeln!(to.err, "{}: {found}; a running gateway would keep what it has", args.file.display())?;
        }
    }
    Ok(exit)
}

/// Certificates and keys that cannot be read, or do not belong together.
fn certificates(loaded: &Loaded) -> Vec<Problem> {
    let faults = sluicegate_server::check(&loaded.document.listen, &loaded.source.base_dir);
    faults.into_iter().map(|(path, message)| problem_at(loaded, &path, message)).collect()
}
