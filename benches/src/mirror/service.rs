//! The upstream behind every proxy, as the primary and as the shadow.
//!
//! It answers at once with about 1 KiB of what a retriever answers. Two answers differ in how
//! long it says it took, so a comparison cannot stop at equal bytes.

use std::{cell::Cell, convert::Infallible, fmt::Write, net::SocketAddr, rc::Rc};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, task::spawn_local};

use crate::{
    Failure,
    overload::{COUNTS, systems::get},
};

/// Where the answers differ.
pub const DIFFERS: &str = "/took_us";
/// Where they hold what, as a route's `answers` says it.
pub const ANSWERS: &str = "{ ids: /hits/*/id, scores: /hits/*/score, texts: /hits/*/text }";

/// Hits of an answer.
const HITS: usize = 5;

/// All of an answer that is always the same.
fn hits() -> String {
    let mut hits = String::from("\"hits\":[");
    for place in 0..HITS {
        let comma = if place == 0 { "" } else { "," };
        let score = 0.95 - 0.04 * place as f64;
        // Writing to a string cannot fail.
        let _ = write!(
            hits,
            "{comma}{{\"id\":\"doc-{place}#3\",\"score\":{score:.3},\"title\":\"Chapter {place}\",\"text\":\"Of the \
             sluices below the mill the miller opens {place} at dusk, when the water of the day has come down, and \
             shuts them before the morning.\"}}"
        );
    }
    hits.push_str("]}");
    hits
}

/// The answer to the request of this number: as long as all others.
fn text(number: u64, hits: &str) -> String {
    format!("{{\"took_us\":{},{hits}", 100_000 + number % 900_000)
}

/// Serves HTTP/1.1 until the process ends. Needs a local runtime.
///
/// # Errors
///
/// Accepting failed.
pub async fn serve(listener: TcpListener) -> std::io::Result<()> {
    let (hits, served): (Rc<str>, _) = (hits().into(), Rc::new(Cell::new(0)));
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (hits, served) = (hits.clone(), served.clone());
        let service = service_fn(move |request| {
            std::future::ready(Ok::<_, Infallible>(answer(&request, &hits, &served)))
        });
        let serving =
            http1::Builder::new().header_read_timeout(None).serve_connection(TokioIo::new(stream), service);
        // How a connection ends is the load's to notice.
        spawn_local(async move { drop(serving.await) });
    }
}

fn answer(request: &Request<Incoming>, hits: &str, served: &Cell<u64>) -> Response<Full<Bytes>> {
    let number = served.get();
    if request.uri().path() == COUNTS {
        return Response::new(Full::new(number.to_string().into()));
    }
    served.set(number + 1);
    let mut response = Response::new(Full::new(text(number, hits).into()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// How many requests the service at this address has answered.
///
/// # Errors
///
/// It does not tell.
pub fn served(address: SocketAddr) -> Result<u64, Failure> {
    Ok(get(address, COUNTS)?.parse()?)
}

#[cfg(test)]
mod tests {
    use super::{hits, text};

    #[test]
    fn answers_are_about_a_kib_and_differ_in_one_number() {
        let (one, other) = (text(7, &hits()), text(899_999, &hits()));
        assert_eq!(one.len(), other.len());
        assert!((900..1200).contains(&one.len()), "{}", one.len());
        assert_eq!(one.split_once(",\"hits\"").unwrap().1, other.split_once(",\"hits\"").unwrap().1);
        assert!(one != other && one.starts_with("{\"took_us\":100007,"));
    }
}
