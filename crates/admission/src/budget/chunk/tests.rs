use super::Chunk;

fn read(data: &str) -> (Option<u64>, u64, bool) {
    let chunk = Chunk::read(data.as_bytes()).unwrap();
    (chunk.usage.and_then(|usage| usage.tokens()), chunk.text, chunk.only_tells_usage())
}

#[test]
fn each_shape_is_read() {
    let text = r#"{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":"Hello"},"finish_reason":null}],"usage":null}"#;
    assert_eq!(read(text), (None, 5, false));
    let tools = r#"{"choices":[{"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"find","arguments":"{\"a\""}}]}}]}"#;
    assert_eq!(read(tools), (None, 8, false));
    assert_eq!(read(r#"{"choices":[{"text":"abc","index":0,"logprobs":null}]}"#), (None, 3, false));
    assert_eq!(
        read(r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#),
        (Some(3), 0, true)
    );
    assert_eq!(
        read(r#"{"type":"response.output_text.delta","delta":"Hi","obfuscation":"zzzz"}"#),
        (None, 2, false)
    );
    assert_eq!(read(r#"{"type":"response.output_text.done","text":"Hi there"}"#), (None, 0, false));
    assert_eq!(
        read(
            r#"{"type":"response.completed","response":{"usage":{"input_tokens":4,"output_tokens":5,"total_tokens":9}}}"#
        ),
        (Some(9), 0, false)
    );
    assert_eq!(
        read(
            r#"{"type":"message_start","message":{"content":[],"usage":{"input_tokens":25,"output_tokens":1}}}"#
        ),
        (Some(26), 0, false)
    );
    assert_eq!(
        read(r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello"}}"#),
        (None, 5, false)
    );
    assert_eq!(
        read(
            r#"{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":15}}"#
        ),
        (Some(15), 0, false)
    );
}

#[test]
fn only_a_chunk_that_chooses_nothing_and_tells_usage_is_extra() {
    let filters = r#"{"choices":[],"prompt_filter_results":[{"prompt_index":0}],"usage":null}"#;
    assert_eq!(read(filters), (None, 0, false));
    let beside_a_choice = r#"{"choices":[{"index":0,"delta":{}}],"usage":{"total_tokens":295}}"#;
    assert_eq!(read(beside_a_choice), (Some(295), 0, false));
}

#[test]
fn other_types_than_expected_are_passed_over() {
    for data in [
        "null",
        "1",
        "\"x\"",
        "[{\"usage\":{\"total_tokens\":1}}]",
        r#"{"message":"down","delta":7,"choices":{"a":1},"response":[1],"usage":"many"}"#,
    ] {
        assert_eq!(read(data), (None, 0, false), "{data}");
    }
    assert_eq!(Chunk::read(b"[DONE]"), None);
    assert_eq!(Chunk::read(br#"{"usage":{"total_tokens":1}"#), None);
}
