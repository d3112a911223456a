//! What `keys` and `intents` have in common: asking for one thing or for many, and saying what
//! was found out about a write.

use std::{io, num::NonZeroUsize, time::Duration};

use clap::Args;
use serde_json::{Value, json};

use super::{
    AdminArgs, Failure, Streams,
    client::{Client, ClientError, Problem},
    output,
};

/// Where the gateway is, and how its answer is printed.
#[derive(Debug, Args)]
pub struct AskArgs {
    /// Where the gateway is.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Print the API's JSON
    #[arg(long)]
    pub json: bool,
}

/// How much of a list is shown.
#[derive(Debug, Args)]
pub struct PageArgs {
    /// Show at most so many
    #[arg(long, value_name = "N", default_value = "100")]
    pub limit: NonZeroUsize,
    /// Show all of them
    #[arg(long, conflicts_with = "limit")]
    pub all: bool,
}

/// What was found out about a write whose fate was unknown.
#[derive(Debug, Args)]
pub struct VerdictArgs {
    /// It was applied: requests under its key get --status, without a body
    #[arg(long, required_unless_present = "not_applied", conflicts_with = "not_applied")]
    pub applied: bool,
    /// The status that requests under its key get
    #[arg(long, value_name = "N", default_value_t = 200, conflicts_with = "not_applied",
          value_parser = clap::value_parser!(u16).range(200..500))]
    pub status: u16,
    /// It was not applied: its key is free, and the next request under it runs
    #[arg(long)]
    pub not_applied: bool,
}

impl VerdictArgs {
    /// As the API takes it.
    pub(super) fn body(&self) -> Value {
        if self.applied {
            json!({ "applied": true, "status": self.status })
        } else {
            json!({ "applied": false })
        }
    }
}

/// A gateway that is asked, and what to do with its answer.
pub(super) struct Asking<'a> {
    client: Client,
    json: bool,
    /// What to try next where the gateway refuses with this code.
    hints: &'a [(&'a str, &'a str)],
}

impl<'a> Asking<'a> {
    pub(super) fn new(args: &AskArgs, hints: &'a [(&'a str, &'a str)]) -> Result<Self, Failure> {
        Ok(Self { client: Client::new(&args.admin)?, json: args.json, hints })
    }

    /// Asks, and prints the answer where JSON is wanted: of a refusal, too. None where it has
    /// been printed.
    pub(super) fn print(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        to: &mut Streams<'_>,
    ) -> Result<Option<Value>, Failure> {
        let answer = self.send(method, path, body, to)?;
        if self.json {
            output::json(to.out, &answer)?;
            return Ok(None);
        }
        Ok(Some(answer))
    }

    /// Asks for something that is not printed as it is.
    pub(super) fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        to: &mut Streams<'_>,
    ) -> Result<Value, Failure> {
        let in_words = |problem: &Problem| {
            let (_, hint) = self.hints.iter().find(|(code, _)| *code == problem.code)?;
            // What the caller must name is in the problem.
            let intent = problem.body["intent"].as_str().unwrap_or("ID");
            Some(format!("{}\n{}", problem.detail, hint.replace("{intent}", intent)))
        };
        self.send_and(method, path, body, to, in_words)
    }

    /// Asks; what a refusal means and what to try next is for the caller to say, as far as it
    /// knows better. The refusal itself is printed where JSON is wanted.
    pub(super) fn send_and(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        to: &mut Streams<'_>,
        in_words: impl FnOnce(&Problem) -> Option<String>,
    ) -> Result<Value, Failure> {
        let error = match self.client.send(method, path, body, Duration::ZERO) {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let ClientError::Refused { problem, .. } = &error else { return Err(error.into()) };
        print_refusal(&error, self.json, to)?;
        match in_words(problem) {
            Some(words) => Err(Failure::Other(words)),
            None => Err(error.into()),
        }
    }

    /// Follows a list's pages until there are enough of `items`, or no more. The last answer is
    /// returned with all that were found in it.
    pub(super) fn list(
        &self,
        path: &str,
        query: &[(&str, Option<&str>)],
        items: &str,
        page: &PageArgs,
        to: &mut Streams<'_>,
    ) -> Result<Value, Failure> {
        let filters: String = query
            .iter()
            .filter_map(|(name, value)| Some(format!("&{name}={}", super::client::segment((*value)?))))
            .collect();
        let mut wanted = if page.all { usize::MAX } else { page.limit.get() };
        let (mut found, mut after) = (Vec::new(), String::new());
        loop {
            let limit = wanted.min(LARGEST_PAGE);
            let mut answer = self.send("GET", &format!("{path}?limit={limit}{filters}{after}"), None, to)?;
            if let Value::Array(more) = answer[items].take() {
                wanted = wanted.saturating_sub(more.len());
                found.extend(more);
            }
            match answer["next"].as_str() {
                Some(next) if wanted > 0 => after = format!("&after={}", super::client::segment(next)),
                _ => {
                    answer[items] = Value::Array(found);
                    return Ok(answer);
                }
            }
        }
    }
}

/// A refusal is an answer, too: printed as it came where JSON is wanted.
pub(super) fn print_refusal(error: &ClientError, json: bool, to: &mut Streams<'_>) -> io::Result<()> {
    match error {
        ClientError::Refused { problem, .. } if json => output::json(to.out, &problem.body),
        _ => Ok(()),
    }
}

/// The most that the gateway gives at once.
const LARGEST_PAGE: usize = 500;
