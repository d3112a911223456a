//! What is needed to send a read once more.
//!
//! Nearly every read goes out on a pooled connection and might need it; hardly one ever does.
//! So the head is kept in the cheapest form: its fields as flat text in a buffer that the
//! worker uses again and again, read back only when it is sent. The body is kept as
//! [`Outbound::again`] does.

use http::{HeaderName, HeaderValue, Method, Request, Uri, request::Parts, uri::PathAndQuery};
use http_body::Body;
use sluicegate_body::Outbound;

use crate::{RequestBody, pool::Pools};

/// A second sending of a request.
#[derive(Debug)]
pub(crate) struct Spare<B> {
    method: Method,
    /// Who it is for stands in `Host`.
    target: PathAndQuery,
    /// `name:value` and a line feed each: no name holds a colon, no value a line feed.
    fields: Vec<u8>,
    /// None where the request has no body.
    body: Option<Box<Outbound<B>>>,
}

impl<B: RequestBody> Spare<B> {
    /// Keeps what is about to be sent; none where the body can be sent only once.
    pub(crate) fn of(head: &Parts, body: &Outbound<B>, pools: &Pools<B>) -> Option<Self> {
        let target = head.uri.path_and_query()?.clone();
        let body = if body.is_end_stream() { None } else { Some(Box::new(body.again()?)) };
        let mut fields = pools.buffer();
        for (name, value) in &head.headers {
            fields.extend_from_slice(name.as_str().as_bytes());
            fields.push(b':');
            fields.extend_from_slice(value.as_bytes());
            fields.push(b'\n');
        }
        Some(Self { method: head.method.clone(), target, fields, body })
    }

    /// Whether all that was read of the body meanwhile is still at hand.
    pub(crate) fn is_whole(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.can_repeat())
    }

    /// It was not needed.
    pub(crate) fn give_back(self, pools: &Pools<B>) {
        pools.keep_buffer(self.fields);
    }

    /// The request as it was kept.
    pub(crate) fn restore(self, pools: &Pools<B>) -> Option<(Parts, Outbound<B>)> {
        let (mut head, ()) = Request::new(()).into_parts();
        head.method = self.method;
        head.uri = Uri::from(self.target);
        for line in self.fields.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = HeaderName::from_bytes(&line[..colon]).ok()?;
            head.headers.append(name, HeaderValue::from_bytes(&line[colon + 1..]).ok()?);
        }
        pools.keep_buffer(self.fields);
        Some((head, self.body.map_or_else(Outbound::empty, |body| *body)))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Request;
    use http_body_util::Full;
    use sluicegate_body::Outbound;
    use sluicegate_core::Chance;
    use tokio::task::LocalSet;

    use super::{Pools, Spare};

    #[test]
    fn a_head_comes_back_as_it_was() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let pools = Pools::<Full<Bytes>>::new(Chance::seeded(1));
            let request = Request::post("/v1/retrieve?k=2&q=a:b")
                .header("host", "localhost")
                .header("x-twice", "one")
                .header("x-twice", "two: three")
                .header("x-empty", "")
                .header("x-bytes", http::HeaderValue::from_bytes(b"caf\xe9\tau lait").unwrap());
            let (head, ()) = request.body(()).unwrap().into_parts();
            for _ in 0..2 {
                let spare = Spare::of(&head, &Outbound::empty(), &pools).unwrap();
                let (restored, _) = spare.restore(&pools).unwrap();
                assert_eq!((&restored.method, &restored.uri), (&head.method, &head.uri));
                assert_eq!(restored.headers, head.headers);
            }
        });
    }
}
