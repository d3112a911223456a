//! The service behind every proxy: a pool of threads, each of which is a place.
//!
//! A request that finds no thread free waits in a queue without bounds. A thread cannot know
//! that the client it works for has left, or that its answer will come too late: it does the
//! work all the same, which is then wasted, and counted as such.

use std::{
    convert::Infallible,
    fmt,
    net::SocketAddr,
    str::FromStr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, Sender, channel},
    },
    thread,
};

use bytes::Bytes;
use fastrand::Rng;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpListener, sync::oneshot, task::spawn_local};

use super::{COUNTS, DUE, SENT, Setting, WAITED, clock};
use crate::{Failure, upstream::json};

/// One request in the queue.
struct Job {
    sent: u64,
    due: u64,
    /// Takes the nanoseconds until a place took it.
    answer: oneshot::Sender<u64>,
}

#[derive(Debug, Default)]
struct Counters {
    came_late: AtomicU64,
    served: AtomicU64,
    late: AtomicU64,
    gone: AtomicU64,
}

/// What the service has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Requests that were sent on to it after their deadline.
    pub came_late: u64,
    /// Requests that it worked on to the end.
    pub served: u64,
    /// ... whose deadline had passed by then.
    pub late: u64,
    /// ... whose client had left by then, though the deadline had not passed.
    pub gone: u64,
}

impl Counts {
    /// What it has done since these were its counts.
    #[must_use]
    pub const fn since(self, before: Self) -> Self {
        Self {
            came_late: self.came_late - before.came_late,
            served: self.served - before.served,
            late: self.late - before.late,
            gone: self.gone - before.gone,
        }
    }

    /// The share of its work that was for nobody, 0 to 1.
    #[must_use]
    pub fn wasted(&self) -> f64 {
        if self.served == 0 { 0.0 } else { (self.late + self.gone) as f64 / self.served as f64 }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {} {}", self.came_late, self.served, self.late, self.gone)
    }
}

impl FromStr for Counts {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let numbers = text.split(' ').map(str::parse).collect::<Result<Vec<_>, _>>()?;
        let [came_late, served, late, gone] = numbers[..] else {
            return Err(format!("these are no counts: {text}").into());
        };
        Ok(Self { came_late, served, late, gone })
    }
}

/// Serves until the process ends. Needs a local runtime.
///
/// # Errors
///
/// Accepting failed.
pub async fn serve(listener: TcpListener, setting: Setting, seed: u64) -> std::io::Result<()> {
    let (queue, jobs) = channel();
    let (jobs, counters) = (Arc::new(Mutex::new(jobs)), Arc::new(Counters::default()));
    for place in 0..setting.places {
        let (jobs, counters) = (jobs.clone(), counters.clone());
        let random = Rng::with_seed(seed.wrapping_add(place.into()));
        thread::spawn(move || work(&jobs, &counters, setting, random));
    }
    let text = Bytes::from(json());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let (queue, counters, text) = (queue.clone(), counters.clone(), text.clone());
        let service =
            service_fn(move |request| answer(request, queue.clone(), counters.clone(), text.clone()));
        let serving =
            http1::Builder::new().header_read_timeout(None).serve_connection(TokioIo::new(stream), service);
        // How a connection ends is the load's to notice.
        spawn_local(async move { drop(serving.await) });
    }
}

/// One place. Half as long to half as long again is what a request holds it.
fn work(jobs: &Mutex<Receiver<Job>>, counters: &Counters, setting: Setting, mut random: Rng) {
    loop {
        // One of the idle places waits for work, the others for their turn to.
        let Ok(Ok(job)) = jobs.lock().map(|jobs| jobs.recv()) else { return };
        let begun = clock::now();
        clock::sleep_until(clock::after(begun, setting.holds.mul_f64(0.5 + random.f64())));
        counters.served.fetch_add(1, Relaxed);
        let late = clock::now() > job.due;
        let gone = job.answer.send(begun.saturating_sub(job.sent)).is_err();
        if late {
            counters.late.fetch_add(1, Relaxed);
        } else if gone {
            counters.gone.fetch_add(1, Relaxed);
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    queue: Sender<Job>,
    counters: Arc<Counters>,
    text: Bytes,
) -> Result<Response<Full<Bytes>>, Infallible> {
    if request.uri().path() == COUNTS {
        let of = |counter: &AtomicU64| counter.load(Relaxed);
        let counts = Counts {
            came_late: of(&counters.came_late),
            served: of(&counters.served),
            late: of(&counters.late),
            gone: of(&counters.gone),
        };
        return Ok(Response::new(Full::new(counts.to_string().into())));
    }
    let mut response = Response::new(Full::new(text));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Whoever only asks whether it is there is told so at once.
    if let (Some(sent), Some(due)) = (moment(request.headers(), SENT), moment(request.headers(), DUE)) {
        if clock::now() > due {
            counters.came_late.fetch_add(1, Relaxed);
        }
        let (answer, answered) = oneshot::channel();
        // The places stay until the process ends.
        let _ = queue.send(Job { sent, due, answer });
        if let Ok(waited) = answered.await {
            headers.insert(WAITED, waited.into());
        }
    }
    Ok(response)
}

/// The number in a field.
pub(super) fn moment(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// Asks the service at this address for its counts.
///
/// # Errors
///
/// It does not tell.
pub fn counts(address: SocketAddr) -> Result<Counts, Failure> {
    super::systems::get(address, COUNTS)?.parse()
}

#[cfg(test)]
mod tests {
    use super::Counts;

    #[test]
    fn counts_are_read_as_they_are_written() {
        let counts = Counts { came_late: 1, served: 10, late: 2, gone: 3 };
        assert_eq!(counts.to_string().parse::<Counts>().unwrap(), counts);
        assert!("1 2 3".parse::<Counts>().is_err() && "1 2 3 x".parse::<Counts>().is_err());
        assert!((counts.wasted() - 0.5).abs() < 1e-9);
        assert!(Counts::default().wasted().abs() < 1e-9);
    }
}
