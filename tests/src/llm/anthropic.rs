//! Anthropic's messages, as its reference shows them.

use serde_json::{Value, json};

use super::{TOKEN, talk::Events};

fn event(kind: &str, mut data: Value) -> String {
    data["type"] = kind.into();
    format!("event: {kind}\ndata: {data}\n\n")
}

/// The prompt's tokens stand in the first event, beside one of the answer; all of the answer's in
/// the last but one.
pub(super) fn events(prompt: u64, tokens: u64, tells: bool) -> Events {
    let mut message = json!({ "id": "msg_1", "type": "message", "role": "assistant", "content": [],
                              "model": "small", "stop_reason": null });
    let mut delta = json!({ "delta": { "stop_reason": "end_turn", "stop_sequence": null } });
    if tells {
        message["usage"] = json!({ "input_tokens": prompt, "output_tokens": 1 });
        delta["usage"] = json!({ "output_tokens": tokens });
    }
    let block = json!({ "index": 0, "content_block": { "type": "text", "text": "" } });
    Events {
        begin: vec![
            event("message_start", json!({ "message": message })),
            event("content_block_start", block),
            event("ping", json!({})),
        ],
        token: event(
            "content_block_delta",
            json!({ "index": 0, "delta": { "type": "text_delta", "text": TOKEN } }),
        ),
        end: vec![
            event("content_block_stop", json!({ "index": 0 })),
            event("message_delta", delta),
            event("message_stop", json!({})),
        ],
    }
}

pub(super) fn whole(prompt: u64, tokens: u64, tells: bool) -> String {
    let text = TOKEN.repeat(usize::try_from(tokens).unwrap());
    let mut answer = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "small",
        "content": [{ "type": "text", "text": text }], "stop_reason": "end_turn", "stop_sequence": null,
    });
    if tells {
        answer["usage"] = json!({ "input_tokens": prompt, "cache_creation_input_tokens": 0,
                                  "cache_read_input_tokens": 0, "output_tokens": tokens });
    }
    answer.to_string()
}
