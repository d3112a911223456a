//! OpenAI's chat completions, as its reference shows them.

use serde_json::{Value, json};

use super::{TOKEN, talk::Events};

fn usage(prompt: u64, tokens: u64) -> Value {
    json!({ "prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens,
            "prompt_tokens_details": { "cached_tokens": 0 } })
}

/// A chunk. Each has a `usage` where it was asked for, `null` but in the last.
fn chunk(choices: &Value, usage: Option<&Value>) -> String {
    let mut chunk = json!({ "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_694_268_190,
                            "model": "small", "choices": choices });
    if let Some(usage) = usage {
        chunk["usage"] = usage.clone();
    }
    format!("data: {chunk}\n\n")
}

/// The chunk that only tells the usage.
pub(super) fn last(prompt: u64, tokens: u64) -> String {
    chunk(&json!([]), Some(&usage(prompt, tokens)))
}

pub(super) fn events(prompt: u64, tokens: u64, tells: bool) -> Events {
    let none = tells.then_some(&Value::Null);
    let of = |delta: Value, reason: Value| {
        chunk(&json!([{ "index": 0, "delta": delta, "finish_reason": reason }]), none)
    };
    let mut end = vec![of(json!({}), json!("stop"))];
    if tells {
        end.push(last(prompt, tokens));
    }
    end.push("data: [DONE]\n\n".to_owned());
    Events {
        begin: vec![of(json!({ "role": "assistant", "content": "" }), Value::Null)],
        token: of(json!({ "content": TOKEN }), Value::Null),
        end,
    }
}

pub(super) fn whole(prompt: u64, tokens: u64, tells: bool) -> String {
    let content = TOKEN.repeat(usize::try_from(tokens).unwrap());
    let mut answer = json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1_694_268_190, "model": "small",
        "choices": [{ "index": 0, "message": { "role": "assistant", "content": content },
                      "finish_reason": "stop" }],
    });
    if tells {
        answer["usage"] = usage(prompt, tokens);
    }
    answer.to_string()
}
