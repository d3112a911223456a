//! `reload`: have a running gateway read its configuration file again.

use std::{fmt::Write, time::Duration};

use serde_json::Value;

use super::{
    Exit, Failure, ReloadArgs, Streams,
    ask::print_refusal,
    client::{Client, ClientError},
    output,
};

pub(crate) fn run(args: &ReloadArgs, to: &mut Streams<'_>) -> Result<Exit, Failure> {
    let client = Client::new(&args.admin)?;
    let body = match client.send("POST", "/reload", None, Duration::ZERO) {
        Ok(body) => body,
        Err(error) => {
            print_refusal(&error, args.json, to)?;
            let problem = match error {
                ClientError::Refused { problem, .. } if problem.code == "config_invalid" => problem,
                error => return Err(error.into()),
            };
            writeln!(to.err, "sluicegate: {}", problem.detail)?;
            for one in problem.body["problems"].as_array().into_iter().flatten() {
                writeln!(to.err, "  {}", problem_line(one))?;
            }
            return Ok(Exit::Invalid);
        }
    };
    if args.json {
        output::json(to.out, &body)?;
        return Ok(Exit::Done);
    }
    let hash = body["hash"].as_str().unwrap_or_default();
    writeln!(to.out, "generation {} runs ({})", body["generation"], hash.get(..12).unwrap_or(hash))?;
    let later: Vec<_> =
        body["needs_restart"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if !later.is_empty() {
        writeln!(to.out, "at the next start only: {}", later.join(", "))?;
    }
    Ok(Exit::Done)
}

/// `FILE:LINE:COLUMN: PATH: MESSAGE`, a form that editors find their way by.
pub(crate) fn problem_line(problem: &Value) -> String {
    let mut line = problem["file"].as_str().unwrap_or("?").to_owned();
    for member in ["line", "column"] {
        if let Some(number) = problem[member].as_u64() {
            // Writing to a string cannot fail.
            let _ = write!(line, ":{number}");
        }
    }
    if let Some(path) = problem["path"].as_str().filter(|path| !path.is_empty()) {
        let _ = write!(line, ": {path}");
    }
    line + ": " + problem["message"].as_str().unwrap_or("?")
}
