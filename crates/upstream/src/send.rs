//! Handing a request to a connection and waiting for the response head.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, client::conn::TrySendError};
use pin_project_lite::pin_project;
use sluicegate_body::{Gate, LazyTimer, Outbound};
use tokio::time::{Sleep, sleep};

use crate::{RequestBody, failure::Failure, pool::Sender};

/// How long a body waits for `100 Continue` (RFC 9110 section 10.1.1 leaves it to the sender).
const CONTINUE_WAIT: Duration = Duration::from_secs(1);

/// What became of a request that was handed to a connection.
pub(crate) enum Sent<B> {
    /// It was not taken: here it is.
    Not(Box<Request<Outbound<B>>>),
    /// Bytes may have gone out.
    Maybe(Failure),
}

/// A request that a connection has been given, on its way to its response head.
pub(crate) trait Handed<B>: Future<Output = Result<Response<Incoming>, Sent<B>>> {}

impl<B, F: Future<Output = Result<Response<Incoming>, Sent<B>>>> Handed<B> for F {}

/// Hands `request` to the connection on the spot, so that no future has to keep room for it.
/// `gate` is the one in front of the request's body, where it waits for `100 Continue`.
pub(crate) fn dispatch<B: RequestBody>(
    sender: &mut Sender<B>,
    mut request: Request<Outbound<B>>,
    gate: Option<&Arc<Gate>>,
) -> impl Handed<B> + use<B> {
    match sender {
        Sender::Http1(sender) => {
            if let Some(gate) = gate.cloned() {
                hyper::ext::on_informational(&mut request, move |response| {
                    if response.status() == StatusCode::CONTINUE {
                        gate.open();
                    }
                });
            }
            Sending::Http1 { future: sender.try_send_request(request) }
        }
        Sender::Http2(sender) => {
            // There is no way to hear a 100 on HTTP/2 here, and a server that does not want
            // the body can reset the stream: it flows at once.
            gate.inspect(|gate| gate.open());
            Sending::Http2 { future: sender.try_send_request(request) }
        }
        Sender::Spent => Sending::Spent { request: Some(Box::new(request)) },
    }
}

pin_project! {
    #[project = SendingProjection]
    enum Sending<F1, F2, B> {
        Http1 { #[pin] future: F1 },
        Http2 { #[pin] future: F2 },
        Spent { request: Option<Box<Request<Outbound<B>>>> },
    }
}

type Answer<B> = Result<Response<Incoming>, TrySendError<Request<Outbound<B>>>>;

impl<F1, F2, B> Future for Sending<F1, F2, B>
where
    F1: Future<Output = Answer<B>>,
    F2: Future<Output = Answer<B>>,
{
    type Output = Result<Response<Incoming>, Sent<B>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match self.project() {
            SendingProjection::Http1 { future } => ready!(future.poll(cx)),
            SendingProjection::Http2 { future } => ready!(future.poll(cx)),
            SendingProjection::Spent { request } => {
                return match request.take() {
                    Some(request) => Poll::Ready(Err(Sent::Not(request))),
                    None => Poll::Pending,
                };
            }
        };
        Poll::Ready(answer.map_err(|mut error| match error.take_message() {
            Some(request) => Sent::Not(Box::new(request)),
            None => Sent::Maybe(Failure::of(&error.into_error())),
        }))
    }
}

/// The result of `sending`, or a missed deadline when the timer passed first. Opens the gate
/// when the upstream has let a body wait for too long.
pub(crate) async fn in_time<B>(
    sending: impl Handed<B>,
    timer: &mut LazyTimer,
    gate: Option<&Arc<Gate>>,
) -> Result<Response<Incoming>, Sent<B>> {
    let mut sending = pin!(sending);
    let mut patience: Option<Pin<Box<Sleep>>> = gate.map(|_| Box::pin(sleep(CONTINUE_WAIT)));
    poll_fn(|cx: &mut Context<'_>| {
        if let Poll::Ready(done) = sending.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        let waited = patience.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready());
        if let (Some(gate), true) = (gate, waited) {
            patience = None;
            gate.open();
        }
        timer.poll_passed(cx).map(|()| Err(Sent::Maybe(Failure::Deadline)))
    })
    .await
}
