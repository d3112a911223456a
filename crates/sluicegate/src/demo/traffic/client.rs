//! An HTTP/1.1 client with one kept-alive connection.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    time::{Instant, timeout_at},
};

use super::mix::Ask;
use crate::gateway::Gateway;

/// A request that takes longer is an error.
const LIMIT: Duration = Duration::from_secs(30);

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// With a success; the freezes that its answer tells of, if any.
    Done { freeze: Option<String> },
    /// A freeze refused it; the seconds of its `Retry-After`, if it had a readable one.
    Refused { retry_after: Option<u64> },
    /// In any other way.
    Failed(String),
}

/// Talks to the first listener of a gateway, wherever a reload has put it.
pub(super) struct Client {
    gateway: Arc<Gateway>,
    kept: Option<SendRequest<Full<Bytes>>>,
}

impl Client {
    pub(super) fn of(gateway: Arc<Gateway>) -> Self {
        Self { gateway, kept: None }
    }

    /// Sends it and reads the answer to its end. The instant is when the answer began, or when
    /// it was given up: how long a stream goes on is no delay.
    pub(super) async fn send(&mut self, ask: &Ask) -> (Outcome, Instant) {
        let exchange = async {
            if let Some(kept) = self.kept.take()
                && let Ok(outcome) = self.exchange(kept, ask).await
            {
                return Ok(outcome);
            }
            let fresh = self.connect().await?;
            self.exchange(fresh, ask).await
        };
        let reason = match timeout_at(Instant::now() + LIMIT, exchange).await {
            Ok(Ok(ended)) => return ended,
            Ok(Err(reason)) => reason,
            Err(_) => format!("no end after {LIMIT:?}"),
        };
        (Outcome::Failed(format!("{} {}: {reason}", ask.method, ask.path)), Instant::now())
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let address = self.gateway.addresses().first().copied().ok_or("the gateway has no listener")?;
        let socket = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
        let (sender, connection) =
            handshake(TokioIo::new(socket)).await.map_err(|error| error.to_string())?;
        // It ends when the sender is dropped; what goes wrong on it, the sender is told.
        tokio::spawn(connection);
        Ok(sender)
    }

    /// One request on this connection, which is kept where it can be used again.
    async fn exchange(
        &mut self,
        mut sender: SendRequest<Full<Bytes>>,
        ask: &Ask,
    ) -> Result<(Outcome, Instant), String> {
        let text = |error: hyper::Error| error.to_string();
        sender.ready().await.map_err(text)?;
        let request = Request::builder()
            .method(&ask.method)
            .uri(&ask.path)
            .header(header::HOST, "sluicegate-demo")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(ask.body.clone()))
            .map_err(|error| error.to_string())?;
        let (head, body) = sender.send_request(request).await.map_err(text)?.into_parts();
        let answered = Instant::now();
        let body = body.collect().await.map_err(text)?.to_bytes();
        self.kept = Some(sender);
        Ok((judged(ask, head.status, &head.headers, &body), answered))
    }
}

fn judged(ask: &Ask, status: StatusCode, headers: &HeaderMap, body: &Bytes) -> Outcome {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if status.is_success() {
        return Outcome::Done { freeze: text("sluicegate-freeze").map(ids) };
    }
    let problem = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    if ask.write && problem["code"] == "read_only" {
        return Outcome::Refused { retry_after: text("retry-after").and_then(|after| after.parse().ok()) };
    }
    let detail = problem["detail"].as_str().unwrap_or_default();
    Outcome::Failed(format!("{} {}: {status} {detail}", ask.method, ask.path))
}

/// The ids in `id=a;until=…, id=b`.
fn ids(banner: &str) -> String {
    let id = |one: &str| one.trim().trim_start_matches("id=").split(';').next().map(str::to_owned);
    banner.split(',').filter_map(id).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method, StatusCode};

    use super::{Ask, Outcome, ids, judged};

    #[test]
    fn the_banner_is_read_for_its_ids() {
        assert_eq!(ids("id=manual;until=2030-01-05T03:00:00Z, id=config"), "manual, config");
    }

    #[test]
    fn only_a_write_that_a_freeze_refused_counts_as_refused() {
        let ask = |write| Ask { method: Method::PUT, path: "/x".to_owned(), body: "".into(), write };
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", HeaderValue::from_static("61"));
        let frozen = r#"{"code":"read_only","detail":"no"}"#.into();
        let refused = judged(&ask(true), StatusCode::LOCKED, &headers, &frozen);
        assert_eq!(refused, Outcome::Refused { retry_after: Some(61) });
        let failed = judged(&ask(false), StatusCode::LOCKED, &headers, &frozen);
        assert_eq!(failed, Outcome::Failed("PUT /x: 423 Locked no".to_owned()));
        let other = judged(&ask(true), StatusCode::SERVICE_UNAVAILABLE, &headers, &"gone".into());
        assert!(matches!(other, Outcome::Failed(_)), "{other:?}");
    }
}
