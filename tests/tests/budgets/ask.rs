//! What the provider is asked, and what of its answer the client sees.

use sluicegate_tests::{Raw, llm::Manner};

use crate::{Books, CHAT, MESSAGES, prompt, raw_post, start};

/// The chunk that only tells the usage, as it stands in `stream`; and the stream without it.
fn split(stream: &str) -> (String, String) {
    let chunks = stream.split_inclusive("\n\n");
    let (told, rest): (Vec<&str>, Vec<&str>) = chunks.partition(|chunk| chunk.contains("\"choices\":[]"));
    (told.concat(), rest.concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_asked_for_its_usage_and_the_client_sees_what_it_asked_for() {
    let (llm, gateway) = start(&crate::budget(100_000), |_| Manner::default()).await;
    // As clients write it: spaces, escapes, numbers that lose digits when they are parsed.
    let rest = r#""messages" : [ {"role":"user", "content":"caf\u00e9 \u6570"} ],"seed":12345678901234567890.10 , "max_tokens":30"#;
    // What stands in the body, and what stands there when it goes on.
    let table = [
        (r#"{"stream":true, "#, r#"{"stream_options":{"include_usage":true},"stream":true, "#),
        (
            r#"{ "stream" : true,"stream_options":{},"#,
            r#"{ "stream" : true,"stream_options":{"include_usage":true},"#,
        ),
        (
            r#"{"stream":true,"stream_options":null, "#,
            r#"{"stream":true,"stream_options":{"include_usage":true}, "#,
        ),
        (
            r#"{"stream":true,"stream_options":{"include_obfuscation":false},"#,
            r#"{"stream":true,"stream_options":{"include_usage":true,"include_obfuscation":false},"#,
        ),
        (
            r#"{"stream":true,"stream_options":{ "include_usage" : false },"#,
            r#"{"stream":true,"stream_options":{ "include_usage" : true },"#,
        ),
    ];
    for (round, (theirs, ours)) in table.into_iter().enumerate() {
        let body = format!("{theirs}{rest}}}");
        let answer = Raw::connect(gateway.address()).await.ask(raw_post(CHAT, "acme", &body)).await;
        assert!(answer.status == 200 && answer.complete, "{answer:?}");
        let call = llm.calls().pop().unwrap();
        assert_eq!(String::from_utf8_lossy(&call.body), format!("{ours}{rest}}}"));
        assert_eq!(call.headers["content-length"], call.body.len().to_string().as_str());
        let (told, without) = split(std::str::from_utf8(&call.sent).unwrap());
        assert!(told.contains("\"total_tokens\""), "{told}");
        assert_eq!(answer.text(), without, "every other byte as it was");
        assert!(answer.text().ends_with("data: [DONE]\n\n"));
        let books = Books::closed(&gateway).await;
        assert_eq!(books.by_usage, (round as u64 + 1, llm.tokens()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_the_usage_gets_it() {
    let (llm, gateway) = start(&crate::budget(100_000), |_| Manner::default()).await;
    let mut body = prompt(3, 30, true);
    body["stream_options"] = serde_json::json!({ "include_usage": true });
    let asks = [(CHAT, body.to_string()), (CHAT, prompt(3, 30, false).to_string())];
    let others = [true, false].map(|stream| (MESSAGES, prompt(3, 30, stream).to_string()));
    for (path, body) in asks.into_iter().chain(others) {
        let answer = Raw::connect(gateway.address()).await.ask(raw_post(path, "acme", &body)).await;
        assert!(answer.status == 200 && answer.complete, "{answer:?}");
        let call = llm.calls().pop().unwrap();
        assert_eq!(
            (String::from_utf8_lossy(&call.body), answer.body),
            (body.clone().into(), call.sent),
            "{path}"
        );
        assert!(String::from_utf8_lossy(&llm.calls().pop().unwrap().sent).contains("\"usage\":{"));
    }
    assert_eq!(Books::closed(&gateway).await.by_usage, (4, llm.tokens()));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_can_be_read_is_accepted() {
    let (llm, gateway) = start(&crate::budget(100_000), |_| Manner::default()).await;
    let body = prompt(3, 30, false).to_string();
    let request = raw_post(CHAT, "acme", &body);
    let asking = request.replacen("\r\n", "\r\nAccept-Encoding: gzip, br\r\nAccept-Encoding: zstd\r\n", 1);
    assert_eq!(Raw::connect(gateway.address()).await.ask(asking).await.status, 200);
    let call = llm.calls().pop().unwrap();
    assert_eq!(call.headers.get_all("accept-encoding").iter().collect::<Vec<_>>(), ["identity"]);
    // What no model works for is nobody's business.
    let models = "GET /v1/models HTTP/1.1\r\nHost: localhost\r\nAccept-Encoding: gzip\r\n\r\n";
    assert_eq!(Raw::connect(gateway.address()).await.ask(models).await.status, 200);
    assert_eq!(llm.calls().pop().unwrap().headers["accept-encoding"], "gzip");
    assert_eq!(Books::closed(&gateway).await.by_usage.0, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_somebody_vouches_for_goes_on_as_it_came() {
    let (llm, gateway) = start(&crate::budget(100_000), |_| Manner::default()).await;
    let body = prompt(3, 30, true).to_string();
    let request = raw_post(CHAT, "acme", &body);
    for (number, line) in ["Signature: sig=:AAAA:", "Idempotency-Key: k"].into_iter().enumerate() {
        let asking = request.replacen("\r\n", &format!("\r\n{line}\r\n"), 1);
        let answer = Raw::connect(gateway.address()).await.ask(asking).await;
        let call = llm.calls().pop().unwrap();
        assert_eq!(
            (String::from_utf8_lossy(&call.body), answer.body),
            (body.clone().into(), call.sent),
            "{line}"
        );
        // Nobody told what it took: the prompt by its bytes, the answer by its events.
        let books = Books::closed(&gateway).await;
        let times = number as u64 + 1;
        assert_eq!(books.by_estimate, (times, times * (crate::prompt_estimate(&body) + 20)), "{line}");
    }
}
