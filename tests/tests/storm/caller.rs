//! One client of the storm.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::StreamExt;
use http::Request;
use sluicegate_tests::{
    Client, Raw, Write,
    audit::When,
    client::{Body, full, stream},
    fleet::{Berth, Fleet},
};
use tokio::time::{sleep, timeout};

/// Whoever has no end of a write after this gives the test up.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often a write is sent roughly, at most; after that the client only asks for its end.
const ROUGH_SENDS: usize = 5;

/// One send of a write.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) number: u64,
    /// The gateway it went to.
    pub(crate) seat: usize,
    pub(crate) life: usize,
    /// Whether all of it went out; a part cannot begin anything.
    pub(crate) whole: bool,
    /// Whether it was made to differ from the write.
    pub(crate) other: bool,
    /// Before its first byte.
    pub(crate) began: When,
    /// After the answer was read, or it was given up, or the connection had broken.
    pub(crate) over: When,
    /// The whole answer.
    pub(crate) got: Option<Got>,
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) status: u16,
    /// A refusal's code.
    pub(crate) code: String,
    pub(crate) replayed: bool,
    pub(crate) retry_after: bool,
    pub(crate) body: Bytes,
}

impl Got {
    fn new(status: u16, replayed: bool, retry_after: bool, body: Bytes) -> Self {
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
        let code = json["code"].as_str().unwrap_or_default().to_owned();
        Self { status, code, replayed, retry_after, body }
    }

    pub(crate) fn is(&self, status: u16, code: &str) -> bool {
        self.status == status && self.code == code
    }

    /// Whether the write has come to an end for who reads this.
    fn is_final(&self) -> bool {
        let in_doubt = self.is(409, "idempotency_outcome_unknown");
        in_doubt || (!matches!(self.status, 429 | 500..) && !self.is(409, "idempotency_in_flight"))
    }
}

/// Everything that was sent.
#[derive(Clone, Default)]
pub(crate) struct Record(Arc<Mutex<Vec<Sent>>>);

impl Record {
    pub(crate) fn take(&self) -> Vec<Sent> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// How a send goes.
#[derive(Clone, Copy, Debug)]
enum How {
    /// To the end.
    Whole,
    /// Broken off in the middle of the request.
    MidRequest,
    /// Broken off after this, whatever has come.
    Leave(Duration),
    /// Broken off after the answer's head.
    MidAnswer,
}

enum Line {
    H1(Raw),
    H2(Client),
}

pub(crate) struct Caller {
    chance: fastrand::Rng,
    fleet: Arc<Fleet>,
    record: Record,
    h2: bool,
    /// Kept alive from one send to the next.
    line: Option<(Berth, Line)>,
}

impl Caller {
    /// A client; every fourth speaks HTTP/2.
    pub(crate) fn new(number: usize, seed: u64, fleet: Arc<Fleet>, record: Record) -> Self {
        let chance = fastrand::Rng::with_seed(seed ^ (number as u64) << 32);
        Self { chance, fleet, record, h2: number.is_multiple_of(4), line: None }
    }

    /// Sends a write some times roughly; then, mostly, until it has come to an end, and some
    /// more.
    pub(crate) async fn bring(&mut self, write: &Write) {
        let rough = if self.chance.bool() { 0 } else { self.chance.usize(1..ROUGH_SENDS) };
        for _ in 0..rough {
            let how = match self.chance.u8(..10) {
                0 => How::MidRequest,
                1 => How::MidAnswer,
                2..=5 => How::Leave(Duration::from_millis(self.chance.u64(..60))),
                _ => How::Whole,
            };
            // A twin is sent while the first one runs.
            let mut twin = (self.chance.u8(..4) == 0).then(|| self.twin());
            let (first, _) = tokio::join!(self.send(write, how), async {
                let twin = twin.as_mut()?;
                twin.send(write, How::Whole).await
            });
            if first.is_some_and(|got| got.is_final()) {
                break;
            }
        }
        if rough > 0 && self.chance.u8(..20) == 0 {
            return;
        }
        let got = self.insist(write).await;
        if self.chance.u8(..10) == 0 {
            self.send(write, How::Whole).await;
        }
        if got.status < 300 && self.chance.u8(..50) == 0 {
            self.send_other(write).await;
        }
    }

    /// Sends a write until it has come to an end.
    pub(crate) async fn insist(&mut self, write: &Write) -> Got {
        let begun = Instant::now();
        loop {
            let got = self.send(write, How::Whole).await;
            if let Some(got) = got.as_ref().filter(|got| got.is_final()) {
                return got.clone();
            }
            assert!(begun.elapsed() < PATIENCE, "write {} has come to no end: {got:?}", write.number);
            sleep(Duration::from_millis(self.chance.u64(5..50))).await;
        }
    }

    fn twin(&mut self) -> Self {
        let (fleet, record) = (self.fleet.clone(), self.record.clone());
        Self { chance: self.chance.fork(), fleet, record, h2: self.h2, line: None }
    }

    /// A connection to one of the gateways: the one that is open, or a new one.
    async fn line(&mut self) -> (Berth, Line) {
        let begun = Instant::now();
        loop {
            let kept = self.line.take().filter(|_| self.chance.u8(..8) > 0);
            if let Some((berth, line)) = kept
                && self.fleet.berth(berth.seat).await == berth
            {
                return (berth, line);
            }
            let berth = self.fleet.berth(self.chance.usize(..self.fleet.len())).await;
            let line = if self.h2 {
                Client::try_h2c(berth.address).await.map(Line::H2)
            } else {
                Raw::try_connect(berth.address).await.ok().map(Line::H1)
            };
            if let Some(line) = line {
                return (berth, line);
            }
            assert!(begun.elapsed() < PATIENCE, "no gateway takes a connection");
            sleep(Duration::from_millis(5)).await;
        }
    }

    async fn send(&mut self, write: &Write, how: How) -> Option<Got> {
        let turned = self.chance.bool();
        self.send_body(write, &write.body(turned), turned, how, false).await
    }

    /// Sends another request under the write's key.
    async fn send_other(&mut self, write: &Write) -> Option<Got> {
        self.send_body(write, &write.other_body(), false, How::Whole, true).await
    }

    async fn send_body(
        &mut self,
        write: &Write,
        body: &str,
        quoted: bool,
        how: How,
        other: bool,
    ) -> Option<Got> {
        let (berth, line) = self.line().await;
        let began = When::now();
        let (line, got) = match line {
            Line::H1(raw) => over_h1(raw, &write.request_with(body, quoted, ""), how).await,
            Line::H2(client) => over_h2(client, write, body, quoted, how).await,
        };
        self.line = line.map(|line| (berth, line));
        let (Berth { seat, life, .. }, whole) = (berth, !matches!(how, How::MidRequest));
        let (number, over) = (write.number, When::now());
        let record = Sent { number, seat, life, whole, other, began, over, got: got.clone() };
        self.record.0.lock().unwrap().push(record);
        got
    }
}

async fn over_h1(mut raw: Raw, request: &[u8], how: How) -> (Option<Line>, Option<Got>) {
    match how {
        How::MidRequest => {
            raw.send(&request[..request.len() - 20]).await;
            raw.reset();
            return (None, None);
        }
        How::MidAnswer => {
            raw.send(request).await;
            let _ = raw.head().await;
            raw.reset();
            return (None, None);
        }
        How::Whole | How::Leave(_) => raw.send(request).await,
    }
    let answer = if let How::Leave(after) = how {
        let Ok(answer) = timeout(after, raw.answer()).await else {
            raw.reset();
            return (None, None);
        };
        answer
    } else {
        raw.answer().await
    };
    let Some(answer) = answer.ok().filter(|answer| answer.complete) else { return (None, None) };
    let closes = answer.closes();
    let (replayed, later) = (answer.fields.get("idempotency-replayed"), answer.fields.get("retry-after"));
    let got = Got::new(answer.status, replayed == Some("true"), later.is_some(), answer.body.into());
    ((!closes).then_some(Line::H1(raw)), Some(got))
}

async fn over_h2(
    mut client: Client,
    write: &Write,
    body: &str,
    quoted: bool,
    how: How,
) -> (Option<Line>, Option<Got>) {
    let whole = |body: &str| full(body.to_owned());
    let request = |body: Body| {
        let key = if quoted { format!("\"{}\"", write.key()) } else { write.key() };
        Request::post(write.path())
            .header("content-type", "application/json")
            .header("x-document-id", &write.line)
            .header("idempotency-key", key)
            .body(body)
            .unwrap()
    };
    // A stream is reset when what waits for its answer is dropped.
    let answer = match how {
        How::MidRequest => {
            let half = Bytes::copy_from_slice(&body.as_bytes()[..20]);
            let pieces = futures::stream::iter([half]).chain(futures::stream::pending());
            let _ = timeout(Duration::from_millis(5), client.open(request(stream(pieces)))).await;
            return (Some(Line::H2(client)), None);
        }
        How::MidAnswer => {
            let opened = client.open(request(whole(body))).await.map(drop);
            return (opened.is_ok().then_some(Line::H2(client)), None);
        }
        How::Leave(after) => match timeout(after, client.send(request(whole(body)))).await {
            Ok(answer) => answer,
            Err(_) => return (Some(Line::H2(client)), None),
        },
        How::Whole => client.send(request(whole(body))).await,
    };
    let Ok(answer) = answer else {
        let line = (!client.is_closed()).then_some(Line::H2(client));
        return (line, None);
    };
    let replayed = answer.header("idempotency-replayed") == "true";
    let later = !answer.header("retry-after").is_empty();
    let got = Got::new(answer.status, replayed, later, answer.body);
    let line = (!client.is_closed()).then_some(Line::H2(client));
    (line, Some(got))
}
