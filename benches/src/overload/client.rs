//! The clients: they send when a request is due, whatever became of earlier ones.
//!
//! HTTP/1.1 over connections that are kept alive; one that finds none idle opens another, so
//! there are as many as there are requests under way. A client leaves when twice the deadline
//! has passed.

use std::{cell::RefCell, net::SocketAddr, rc::Rc, thread, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use sluicegate_core::Lane;
use tokio::{net::TcpStream, sync::mpsc, task::spawn_local, time::timeout};

use super::{ASK, BULK, DUE, SENT, WAITED, arrivals::Arrival, clock, service::moment};
use crate::{
    Failure,
    pin::{Side, pin},
};

/// What became of one request.
#[derive(Clone, Copy, Debug)]
pub struct Shot {
    /// When it was due, since the start.
    pub at: Duration,
    /// Who sent it.
    pub lane: Lane,
    /// How it ended.
    pub end: End,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// There was a whole answer.
    Answered {
        /// Its status.
        status: u16,
        /// From when it was due.
        after: Duration,
        /// From when it was due until a place of the service took it.
        waited: Option<Duration>,
    },
    /// There was none when the client left.
    GaveUp,
    /// The connection could not be made, or broke.
    Broke,
}

/// From the call until the first request may be due.
const BREATH: Duration = Duration::from_millis(50);

/// Sends these requests to `address`, each when it is due, and waits for the end of the last.
/// It keeps off the proxies' core, on threads of its own: the caller's stays free to start
/// proxies.
///
/// # Errors
///
/// There is no runtime to be had.
pub fn send(address: SocketAddr, arrivals: Vec<Arrival>, deadline: Duration) -> Result<Vec<Shot>, Failure> {
    let sending = thread::spawn(move || {
        pin(Side::Around);
        let runtime = tokio::runtime::LocalRuntime::new()?;
        Ok(runtime.block_on(drive(address, arrivals, deadline)))
    });
    sending.join().map_err(|_| "the clients panicked")?
}

async fn drive(address: SocketAddr, arrivals: Vec<Arrival>, deadline: Duration) -> Vec<Shot> {
    let begun = clock::after(clock::now(), BREATH);
    let pool = Rc::new(Pool { address, idle: RefCell::default() });
    let (told, mut ended) = mpsc::unbounded_channel();
    let (come, mut due) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for arrival in arrivals {
            clock::sleep_until(clock::after(begun, arrival.at));
            // Nobody listens any more only when all has come to an end.
            let _ = come.send(arrival);
        }
    });
    while let Some(Arrival { at, lane }) = due.recv().await {
        let (pool, told) = (pool.clone(), told.clone());
        spawn_local(async move {
            let sent = clock::after(begun, at);
            let asked = timeout(deadline * 2, pool.ask(lane, sent, deadline)).await;
            let end = match asked {
                Ok(Ok((status, waited))) => {
                    End::Answered { status, after: clock::between(sent, clock::now()), waited }
                }
                Ok(Err(_)) => End::Broke,
                Err(_) => End::GaveUp,
            };
            let _ = told.send(Shot { at, lane, end });
        });
    }
    drop(told);
    let mut shots = Vec::new();
    while let Some(shot) = ended.recv().await {
        shots.push(shot);
    }
    shots
}

type Sender = SendRequest<Empty<Bytes>>;

/// Connections that wait for a request.
struct Pool {
    address: SocketAddr,
    idle: RefCell<Vec<Sender>>,
}

impl Pool {
    async fn connect(&self) -> Result<Sender, Failure> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // How it ended is told to the request that was on it.
        spawn_local(async move { drop(connection.await) });
        Ok(sender)
    }

    /// One that was idle and is still good.
    async fn idle(&self) -> Option<Sender> {
        loop {
            let mut sender = self.idle.borrow_mut().pop()?;
            if sender.ready().await.is_ok() {
                return Some(sender);
            }
        }
    }

    async fn ask(
        &self,
        lane: Lane,
        sent: u64,
        deadline: Duration,
    ) -> Result<(u16, Option<Duration>), Failure> {
        let due = clock::after(clock::now(), deadline);
        let (mut sender, response) = loop {
            let (mut sender, fresh) = match self.idle().await {
                Some(sender) => (sender, false),
                None => (self.connect().await?, true),
            };
            match sender.send_request(self.request(lane, sent, due)).await {
                Ok(response) => break (sender, response),
                // The server closed an idle connection just as it was taken: as other clients do,
                // another is tried.
                Err(error) if !fresh && (error.is_canceled() || error.is_incomplete_message()) => {}
                Err(error) => return Err(error.into()),
            }
        };
        let status = response.status().as_u16();
        let waited = moment(response.headers(), WAITED).map(Duration::from_nanos);
        response.into_body().collect().await?;
        if sender.ready().await.is_ok() {
            self.idle.borrow_mut().push(sender);
        }
        Ok((status, waited))
    }

    fn request(&self, lane: Lane, sent: u64, due: u64) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = Uri::from_static(match lane {
            Lane::Interactive => ASK,
            Lane::Batch => BULK,
        });
        let headers = request.headers_mut();
        if let Ok(host) = HeaderValue::from_str(&self.address.to_string()) {
            headers.insert(header::HOST, host);
        }
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(SENT, sent.into());
        headers.insert(DUE, due.into());
        request
    }
}
