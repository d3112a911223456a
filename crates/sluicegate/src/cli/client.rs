//! Talking to a running gateway's admin address.
//!
//! One blocking request per command. Nothing goes through a proxy of the environment: the
//! admin address is meant to be reached directly. Errors say which address was tried and
//! what to try next.

use std::{env, fmt::Write, fs, path::PathBuf, time::Duration};

use clap::Args;
use http::{Request, StatusCode};
use serde_json::Value;

/// Beyond what the gateway itself was asked to wait for.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// More than any status of a large configuration.
const LARGEST_ANSWER: u64 = 64 << 20;

/// Where the gateway is and how to be let in.
#[derive(Clone, Debug, Args)]
pub struct AdminArgs {
    /// The gateway's admin address
    #[arg(
        long = "admin",
        value_name = "URL",
        env = "SLUICEGATE_ADMIN",
        default_value = "http://127.0.0.1:9901"
    )]
    pub url: String,
    /// A file with the admin token; without it the environment's `SLUICEGATE_TOKEN`, if set
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

/// Why a request to the gateway failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    #[error(
        "no gateway can be reached at {url}: {reason}\n\
         Is it running? Its admin address stands under `admin.address`; name it with --admin URL or SLUICEGATE_ADMIN."
    )]
    Unreachable { url: String, reason: String },
    #[error("the gateway at {url} did not answer within {} s; it may still do what was asked: see `sluicegate status`", .limit.as_secs())]
    NoAnswer { url: String, limit: Duration },
    #[error("`{url}` is not an address: {reason}\nWrite it as http://127.0.0.1:9901.")]
    BadAddress { url: String, reason: String },
    #[error(
        "cannot read the token file {path}: {reason}\nWrite the token into it, or name another with --token-file FILE."
    )]
    TokenFile { path: PathBuf, reason: std::io::Error },
    #[error(
        "the token in {place} is none that can be sent: a token is one line of visible ASCII\n\
         Write the gateway's token there as it stands in its file."
    )]
    BadToken { place: String },
    #[error("the gateway at {url} refused: {}{}", .problem.detail, hint(*.status))]
    Refused { url: String, status: StatusCode, problem: Box<Problem> },
    #[error(
        "{url} answered {status}, but not as a Sluicegate admin address does\nIs it the admin address, and not a listener or another service? See --admin."
    )]
    NotOurs { url: String, status: StatusCode },
}

fn hint(status: StatusCode) -> &'static str {
    match status {
        StatusCode::UNAUTHORIZED => "\nGive the token with --token-file FILE or SLUICEGATE_TOKEN.",
        _ => "",
    }
}

/// The problem in a refusal, as far as commands need it.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) code: String,
    pub(crate) detail: String,
    /// The whole of it, for `--json` and members of its own.
    pub(crate) body: Value,
}

/// A gateway's admin address.
pub(crate) struct Client {
    url: String,
    token: Option<String>,
}

impl Client {
    pub(crate) fn new(args: &AdminArgs) -> Result<Self, ClientError> {
        let url = base_url(args.url.trim())?;
        let (token, place) = match &args.token_file {
            Some(path) => {
                let token = fs::read_to_string(path)
                    .map_err(|reason| ClientError::TokenFile { path: path.clone(), reason })?;
                (token, path.display().to_string())
            }
            None => (env::var("SLUICEGATE_TOKEN").unwrap_or_default(), "SLUICEGATE_TOKEN".to_owned()),
        };
        let token = Some(token.trim().to_owned()).filter(|token| !token.is_empty());
        let can_be_sent = |token: &String| token.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        if !token.as_ref().is_none_or(can_be_sent) {
            return Err(ClientError::BadToken { place });
        }
        Ok(Self { url, token })
    }

    /// The address that is asked, as it is shown to people.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// Sends a request and reads the JSON of its answer. `patience` is how long the gateway
    /// was asked to wait before it answers.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        patience: Duration,
    ) -> Result<Value, ClientError> {
        let limit = patience.saturating_add(ANSWER_LIMIT);
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_LIMIT))
            .timeout_global(Some(limit))
            .build()
            .into();
        let bad_address = |reason: String| ClientError::BadAddress { url: self.url.clone(), reason };
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header("accept", "application/json");
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(actor) = actor() {
            request = request.header("x-sluicegate-actor", actor);
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let request = request.body(body).map_err(|error| bad_address(error.to_string()))?;
        let unreachable = |reason: String| ClientError::Unreachable { url: self.url.clone(), reason };
        let failed = |error: ureq::Error| match error {
            ureq::Error::BadUri(reason) => bad_address(reason),
            ureq::Error::Http(error) => bad_address(error.to_string()),
            ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
                unreachable("it does not accept the connection".to_owned())
            }
            ureq::Error::Timeout(_) => ClientError::NoAnswer { url: self.url.clone(), limit },
            ureq::Error::HostNotFound => unreachable("its name does not resolve".to_owned()),
            ureq::Error::Io(error) => unreachable(error.to_string()),
            error => unreachable(error.to_string()),
        };
        let mut answer = agent.run(request).map_err(failed)?;
        let status = answer.status();
        let not_ours = || ClientError::NotOurs { url: self.url.clone(), status };
        let text = answer.body_mut().with_config().limit(LARGEST_ANSWER).read_to_string().map_err(failed)?;
        let body: Value = serde_json::from_str(&text).map_err(|_| not_ours())?;
        if status.is_success() {
            return Ok(body);
        }
        let text_at = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
        match (text_at("code"), text_at("detail")) {
            (Some(code), Some(detail)) => Err(ClientError::Refused {
                url: self.url.clone(),
                status,
                problem: Box::new(Problem { code, detail, body }),
            }),
            _ => Err(not_ours()),
        }
    }
}

/// `127.0.0.1:9901` is an address too; a path in front of the API's own is kept.
fn base_url(written: &str) -> Result<String, ClientError> {
    let url = if written.contains("://") { written.to_owned() } else { format!("http://{written}") };
    let bad = |reason: String| ClientError::BadAddress { url: written.to_owned(), reason };
    let uri: http::Uri = url.parse().map_err(|error: http::uri::InvalidUri| bad(error.to_string()))?;
    match uri.scheme_str() {
        Some("http" | "https") if uri.query().is_none() => Ok(url.trim_end_matches('/').to_owned()),
        _ => Err(bad("it is not of the form http://HOST:PORT".to_owned())),
    }
}

/// Who asks, as far as the environment tells; the gateway records it as a claim.
fn actor() -> Option<String> {
    ["SLUICEGATE_ACTOR", "USER", "LOGNAME"]
        .iter()
        .find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()))
        .filter(|name| name.chars().all(|c| c.is_ascii_graphic() || c == ' '))
}

/// A name as one segment of a path (RFC 3986, 3.3).
pub(crate) fn segment(name: &str) -> String {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}
