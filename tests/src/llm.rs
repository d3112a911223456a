//! A provider of language models: it speaks OpenAI's chat completions and Anthropic's messages,
//! does what the request asks for, and keeps account of what it generated.
//!
//! It looks at requests as the real ones do: `max_tokens` ends an answer, `stream` makes it a
//! stream of events, one for each token, and `stream_options.include_usage` adds OpenAI's last
//! chunk. How much it would say if nobody stopped it, and how fast, is chosen by the test for each
//! request. What it has worked stands in its [`Call`]s, also where nobody stayed to hear it.

mod anthropic;
mod openai;
mod talk;

use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinSet};

use crate::upstream::Gate;

/// The text of one token: four bytes, as many as a token of English has.
pub const TOKEN: &str = "tok ";

/// How it treats one request.
#[derive(Clone, Debug)]
pub struct Manner {
    /// The tokens that it counts in the prompt; `None` counts its words.
    pub prompt: Option<u64>,
    /// The tokens that it says if nothing stops it.
    pub wants: u64,
    /// Whether the request's maximum does.
    pub obeys: bool,
    /// Whether answers tell their usage.
    pub tells: bool,
    /// How long the first token takes.
    pub first: Duration,
    /// How long each after it.
    pub each: Duration,
    /// After so many tokens it waits for the gate.
    pub pause: Option<(u64, Gate)>,
    /// Answers so instead.
    pub instead: Option<Fixed>,
}

/// An answer that hangs on nothing in the request.
#[derive(Clone, Debug)]
pub struct Fixed {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: &'static [(&'static str, &'static str)],
    /// Its content.
    pub content: Bytes,
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            prompt: None,
            wants: 20,
            obeys: true,
            tells: true,
            first: Duration::ZERO,
            each: Duration::ZERO,
            pause: None,
            instead: None,
        }
    }
}

/// One request, and the work that was done for it.
#[derive(Clone, Debug, Default)]
pub struct Call {
    /// Its path.
    pub path: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// The tokens of its prompt.
    pub prompt: u64,
    /// The tokens of the answer that were generated.
    pub generated: u64,
    /// The content of the answer as far as it went out.
    pub sent: Vec<u8>,
    /// Whether the answer went out to its end.
    pub whole: bool,
    /// Whether it is over.
    pub ended: bool,
}

impl Call {
    /// All tokens it took.
    pub fn tokens(&self) -> u64 {
        self.prompt + self.generated
    }
}

/// Chooses how a request is treated.
type Choice = Arc<dyn Fn(&Value) -> Manner + Send + Sync>;

/// Every request so far.
#[derive(Clone, Default)]
struct Calls(Arc<Mutex<Vec<Call>>>);

impl Calls {
    fn note<T>(&self, at: usize, change: impl FnOnce(&mut Call) -> T) -> T {
        change(&mut self.0.lock().unwrap()[at])
    }
}

/// A running provider; its connections end when it is dropped.
pub struct Llm {
    address: SocketAddr,
    calls: Calls,
    _tasks: JoinSet<()>,
}

impl Llm {
    /// One that treats each request as `choice` says.
    pub async fn start(choice: impl Fn(&Value) -> Manner + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (calls, mut tasks) = (Calls::default(), JoinSet::new());
        tasks.spawn(serve(listener, Arc::new(choice), calls.clone()));
        Self { address, calls, _tasks: tasks }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far, in the order they came.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.0.lock().unwrap().clone()
    }

    /// How many requests came.
    pub fn count(&self) -> usize {
        self.calls.0.lock().unwrap().len()
    }

    /// How many requests it works for.
    pub fn running(&self) -> usize {
        self.calls.0.lock().unwrap().iter().filter(|call| !call.ended).count()
    }

    /// All tokens it took for all requests.
    pub fn tokens(&self) -> u64 {
        self.calls.0.lock().unwrap().iter().map(Call::tokens).sum()
    }
}

async fn serve(listener: TcpListener, choice: Choice, calls: Calls) {
    let mut running = JoinSet::new();
    loop {
        while running.try_join_next().is_some() {}
        let Ok((stream, _)) = listener.accept().await else { continue };
        let _ = stream.set_nodelay(true);
        let (choice, calls) = (choice.clone(), calls.clone());
        let service = service_fn(move |request| answer(request, choice.clone(), calls.clone()));
        running.spawn(async move {
            // A client that goes away in the middle is what tests are about.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// The work for one request; dropped, it is over.
struct Work {
    calls: Calls,
    at: usize,
}

impl Work {
    fn note<T>(&self, change: impl FnOnce(&mut Call) -> T) -> T {
        self.calls.note(self.at, change)
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.note(|call| call.ended = true);
    }
}

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

async fn answer(request: Request<Incoming>, choice: Choice, calls: Calls) -> Result<Answer, hyper::Error> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let manner = choice(&asked);
    let prompt = manner.prompt.unwrap_or_else(|| talk::words(&asked));
    let path = parts.uri.path().to_owned();
    let at = {
        let mut all = calls.0.lock().unwrap();
        all.push(Call { path: path.clone(), headers: parts.headers, body, prompt, ..Call::default() });
        all.len() - 1
    };
    Ok(talk::answer(Work { calls, at }, manner, &asked, path.ends_with("/messages")).await)
}
