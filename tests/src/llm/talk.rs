//! How an answer is generated.

use std::{collections::VecDeque, convert::Infallible};

use bytes::Bytes;
use futures::stream::unfold;
use http::Response;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use serde_json::Value;
use tokio::time::sleep;

use super::{Answer, Fixed, Manner, Work, anthropic, openai};

/// The words in all strings of the messages: the tokens of this model.
pub(super) fn words(asked: &Value) -> u64 {
    fn of(value: &Value) -> u64 {
        match value {
            Value::String(text) => text.split_whitespace().count() as u64,
            Value::Array(items) => items.iter().map(of).sum(),
            Value::Object(members) => {
                members.iter().filter(|(name, _)| *name != "role").map(|(_, value)| of(value)).sum()
            }
            _ => 0,
        }
    }
    of(&asked["messages"]) + of(&asked["system"])
}

/// The events of a dialect.
pub(super) struct Events {
    /// Before the first token.
    pub(super) begin: Vec<String>,
    /// A token.
    pub(super) token: String,
    /// After the last.
    pub(super) end: Vec<String>,
}

pub(super) async fn answer(work: Work, manner: Manner, asked: &Value, anthropic: bool) -> Answer {
    if let Some(Fixed { status, headers, content }) = manner.instead {
        work.note(|call| {
            call.sent = content.to_vec();
            call.whole = true;
        });
        let builder = headers
            .iter()
            .fold(Response::builder().status(status), |it, (name, value)| it.header(*name, *value));
        return builder.body(Full::new(content).boxed_unsync()).unwrap();
    }
    let most = ["max_completion_tokens", "max_tokens"].iter().find_map(|name| asked[*name].as_u64());
    let tokens = if manner.obeys { manner.wants.min(most.unwrap_or(u64::MAX)) } else { manner.wants };
    sleep(manner.first).await;
    if asked["stream"] == true {
        let usage = asked["stream_options"]["include_usage"] == true;
        let prompt = work.note(|call| call.prompt);
        let events = if anthropic {
            anthropic::events(prompt, tokens, manner.tells)
        } else {
            openai::events(prompt, tokens, usage && manner.tells)
        };
        return streamed(work, manner, tokens, events);
    }
    for done in 0..tokens {
        work.note(|call| call.generated += 1);
        next(&manner, done + 1).await;
    }
    let prompt = work.note(|call| call.prompt);
    let content = if anthropic {
        anthropic::whole(prompt, tokens, manner.tells)
    } else {
        openai::whole(prompt, tokens, manner.tells)
    };
    work.note(|call| {
        call.sent = content.clone().into_bytes();
        call.whole = true;
    });
    let builder = Response::builder().header("content-type", "application/json");
    builder.body(Full::from(content).boxed_unsync()).unwrap()
}

/// After a token.
async fn next(manner: &Manner, done: u64) {
    if let Some((_, gate)) = manner.pause.as_ref().filter(|(after, _)| *after == done) {
        gate.opened().await;
    }
    if !manner.each.is_zero() {
        sleep(manner.each).await;
    }
}

/// What is still to be sent of a stream.
struct Left {
    work: Work,
    manner: Manner,
    begin: VecDeque<String>,
    token: String,
    done: u64,
    tokens: u64,
    end: VecDeque<String>,
}

impl Left {
    async fn event(&mut self) -> Option<String> {
        if let Some(event) = self.begin.pop_front() {
            return Some(event);
        }
        if self.done < self.tokens {
            if self.done > 0 {
                next(&self.manner, self.done).await;
            }
            self.done += 1;
            self.work.note(|call| call.generated += 1);
            return Some(self.token.clone());
        }
        let event = self.end.pop_front()?;
        if self.end.is_empty() {
            self.work.note(|call| call.whole = true);
        }
        Some(event)
    }
}

fn streamed(work: Work, manner: Manner, tokens: u64, events: Events) -> Answer {
    let Events { begin, token, end } = events;
    let left = Left { work, manner, begin: begin.into(), token, done: 0, tokens, end: end.into() };
    let frames = unfold(left, |mut left| async {
        let event = left.event().await?;
        left.work.note(|call| call.sent.extend_from_slice(event.as_bytes()));
        Some((Ok::<_, Infallible>(Frame::data(Bytes::from(event))), left))
    });
    let builder = Response::builder().header("content-type", "text/event-stream; charset=utf-8");
    builder.body(StreamBody::new(frames).boxed_unsync()).unwrap()
}
