//! Handing a request to a connection and waiting for the response head.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response, StatusCode};
use hyper::{body::Incoming, client::conn::TrySendError};
use sluicegate_body::{Gate, LazyTimer, Outbound};
use tokio::time::{Sleep, sleep};

use crate::{
    RequestBody,
    failure::Failure,
    pool::{Lease, Sender},
};

/// How long a body waits for `100 Continue` (RFC 9110 section 10.1.1 leaves it to the sender).
const CONTINUE_WAIT: Duration = Duration::from_secs(1);

/// What became of a request that was handed to a connection.
pub(crate) enum Sent<B> {
    /// It was not taken: here it is.
    Not(Box<Request<Outbound<B>>>),
    /// Bytes may have gone out.
    Maybe(Failure),
}

/// Sends `request` and waits for the response head until `timer` has passed. `gate` is the one
/// in front of the request's body, where it waits for `100 Continue`.
pub(crate) async fn send<B: RequestBody>(
    lease: &mut Lease<B>,
    mut request: Request<Outbound<B>>,
    timer: &mut LazyTimer,
    gate: Option<&Arc<Gate>>,
) -> Result<Response<Incoming>, Sent<B>> {
    let result = match &mut lease.sender {
        Sender::Http1(sender) => {
            if let Some(gate) = gate.cloned() {
                hyper::ext::on_informational(&mut request, move |response| {
                    if response.status() == StatusCode::CONTINUE {
                        gate.open();
                    }
                });
            }
            in_time(sender.try_send_request(request), timer, gate).await
        }
        Sender::Http2(sender) => {
            // There is no way to hear a 100 on HTTP/2 here, and a server that does not want
            // the body can reset the stream: it flows at once.
            gate.inspect(|gate| gate.open());
            in_time(sender.try_send_request(request), timer, None).await
        }
        Sender::Spent => return Err(Sent::Not(Box::new(request))),
    };
    match result {
        Some(Ok(response)) => Ok(response),
        Some(Err(mut error)) => match error.take_message() {
            Some(request) => Err(Sent::Not(Box::new(request))),
            None => Err(Sent::Maybe(Failure::of(&error.into_error()))),
        },
        None => Err(Sent::Maybe(Failure::Deadline)),
    }
}

type Sending<B> = Result<Response<Incoming>, TrySendError<Request<Outbound<B>>>>;

/// The result of `sending`, or nothing when the timer passed first. Opens the gate when the
/// upstream has let a body wait for too long.
async fn in_time<B>(
    sending: impl Future<Output = Sending<B>>,
    timer: &mut LazyTimer,
    gate: Option<&Arc<Gate>>,
) -> Option<Sending<B>> {
    let mut sending = pin!(sending);
    let mut patience: Option<Pin<Box<Sleep>>> = gate.map(|_| Box::pin(sleep(CONTINUE_WAIT)));
    poll_fn(|cx: &mut Context<'_>| {
        if let Poll::Ready(done) = sending.as_mut().poll(cx) {
            return Poll::Ready(Some(done));
        }
        let waited = patience.as_mut().is_some_and(|sleep| sleep.as_mut().poll(cx).is_ready());
        if let (Some(gate), true) = (gate, waited) {
            patience = None;
            gate.open();
        }
        timer.poll_passed(cx).map(|()| None)
    })
    .await
}
