//! One try: a request, and what came of it.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, Request, StatusCode, header};

use crate::{message::Message, metrics::Try, settings::WebhookSettings, sign::signature};

/// Why a try has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) result: Try,
    pub(crate) words: String,
    /// How long the receiver asks to be left alone.
    pub(crate) after: Option<Duration>,
    /// Whether it never wants this message.
    pub(crate) is_final: bool,
}

/// Sends the message once; `timestamp` is now, in seconds since 1970. Runs on a thread that may
/// block, at most for the receiver's timeout.
pub(crate) async fn post(
    settings: Arc<WebhookSettings>,
    message: Arc<Message>,
    timestamp: i64,
) -> Result<StatusCode, Failure> {
    let sent = tokio::task::spawn_blocking(move || send(&settings, &message, timestamp)).await;
    sent.unwrap_or_else(|_| Err(failed(Try::Unreachable, "the gateway is stopping".to_owned())))
}

fn send(settings: &WebhookSettings, message: &Message, timestamp: i64) -> Result<StatusCode, Failure> {
    let signature = signature(&settings.secrets, &message.id, timestamp, &message.body);
    let mut request = Request::post(&settings.url)
        .header(header::CONTENT_TYPE, "application/json")
        .header("webhook-id", &message.id)
        .header("webhook-timestamp", timestamp)
        .header("webhook-signature", signature);
    if let Some(headers) = request.headers_mut() {
        headers.extend(settings.headers.clone());
    }
    let request = request
        .body(&message.body[..])
        .map_err(|error| failed(Try::Unreachable, format!("the request cannot be made: {error}")))?;
    let answer = settings.agent.run(request).map_err(|error| in_words(&error, settings.timeout))?;
    let status = answer.status();
    if status.is_success() {
        return Ok(status);
    }
    let words = if status.is_redirection() {
        format!("answered {status}, and redirects are not followed; name the address itself in `url`")
    } else {
        format!("answered {status}")
    };
    let after = retry_after(answer.headers());
    Err(Failure { after, is_final: status == StatusCode::GONE, ..failed(Try::Refused, words) })
}

fn failed(result: Try, words: String) -> Failure {
    Failure { result, words, after: None, is_final: false }
}

fn in_words(error: &ureq::Error, timeout: Duration) -> Failure {
    match error {
        ureq::Error::Timeout(_) => failed(Try::Timeout, format!("did not answer within {timeout:?}")),
        ureq::Error::HostNotFound => failed(Try::Unreachable, "its name does not resolve".to_owned()),
        ureq::Error::Io(error) => failed(Try::Unreachable, format!("cannot be reached: {error}")),
        error => failed(Try::Unreachable, format!("cannot be reached: {error}")),
    }
}

/// `Retry-After` in seconds; a date says no more than that the receiver has a clock.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
