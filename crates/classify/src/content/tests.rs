//! Bodies that tell, and bodies that lie.

use std::io::Write;

use flate2::{Compression, write};
use http::{HeaderMap, HeaderValue, header};
use proptest::prelude::*;
use sluicegate_core::{Access, Doubt, PresetName};

use super::{judge, plain, says_json};
use crate::preset::{ByPreset, Preset};

const CAP: usize = 64 * 1024;
const READ: Result<Access, Doubt> = Ok(Access::Read);
const WRITE: Result<Access, Doubt> = Ok(Access::Write);

fn mcp() -> ByPreset {
    ByPreset::new(Preset::known(PresetName::Mcp).unwrap(), ["search_documents", "get"])
}

fn openai() -> ByPreset {
    ByPreset::new(Preset::known(PresetName::Openai).unwrap(), [])
}

fn head(codings: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for coding in codings {
        headers.append(header::CONTENT_ENCODING, HeaderValue::from_str(coding).unwrap());
    }
    headers
}

fn of(by: &ByPreset, codings: &[&str], body: &[u8]) -> Result<Access, Doubt> {
    judge(by, false, &plain(&head(codings), body, CAP)?)
}

fn call(tool: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}"}}}}"#)
}

const LIST: &str = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;

#[test]
fn messages_are_what_their_methods_are() {
    let by = mcp();
    for method in ["initialize", "ping", "resources/read", "prompts/get", "notifications/initialized"] {
        assert_eq!(of(&by, &[], format!(r#"{{"method":"{method}"}}"#).as_bytes()), READ, "{method}");
    }
    // What was asked for before may still be asked after.
    for method in ["tasks/get", "tasks/list", "tasks/result"] {
        assert_eq!(of(&by, &[], format!(r#"{{"method":"{method}"}}"#).as_bytes()), READ, "{method}");
    }
    for method in ["tools/call", "tasks/cancel", "Tools/list", "tools/list ", "", "sampling/createMessage"] {
        assert_eq!(of(&by, &[], format!(r#"{{"method":"{method}"}}"#).as_bytes()), WRITE, "{method}");
    }
    let table = [
        (call("search_documents"), READ),
        (call("get"), READ),
        (call("delete"), WRITE),
        (call("Get"), WRITE),
        (call("get "), WRITE),
        // An answer to what the server asked.
        (r#"{"jsonrpc":"2.0","id":3,"result":{"x":[1,{}]}}"#.into(), READ),
        (r#"{"jsonrpc":"2.0","id":3,"error":{"code":-1}}"#.into(), READ),
        // Both: the method counts.
        (r#"{"result":{},"method":"x/y"}"#.into(), WRITE),
        // Escapes are what they stand for.
        (r#"{"meth\u006fd":"tools/c\u0061ll","params":{"n\u0061me":"g\u0065t"}}"#.into(), READ),
        (r#"{"params":{"name":"get"},"method":"tools/call"}"#.into(), READ),
        (r#"{"method":"tools/call","params":["get"]}"#.into(), WRITE),
        (r#"{"method":"tools/call","params":null}"#.into(), WRITE),
        (r#"{"method":"tools/call","params":{"name":["get"]}}"#.into(), WRITE),
        (
            r#"{"method":"tools/call","params":{"name":"get","arguments":{"name":"delete","Name":1}}}"#
                .into(),
            READ,
        ),
    ];
    for (body, access) in table {
        assert_eq!(of(&by, &[], body.as_bytes()), access, "{body}");
    }
}

#[test]
fn a_batch_writes_if_one_of_it_does() {
    let by = mcp();
    let batch = |of: &[&str]| format!("[{}]", of.join(","));
    assert_eq!(of(&by, &[], batch(&[LIST, &call("get")]).as_bytes()), READ);
    assert_eq!(of(&by, &[], batch(&[LIST, &call("delete")]).as_bytes()), WRITE);
    assert_eq!(of(&by, &[], batch(&[&call("delete"), LIST]).as_bytes()), WRITE);
    let form = Err(Doubt::Form);
    for broken in [
        "[]",
        "[[]]",
        "[1]",
        &batch(&[LIST, "null"]),
        &batch(&[LIST, "{}"]),
        &batch(&[LIST, &batch(&[LIST])]),
    ] {
        assert_eq!(of(&by, &[], broken.as_bytes()), form, "{broken}");
    }
}

#[test]
fn what_two_parsers_could_read_differently_is_in_doubt() {
    let by = mcp();
    let deep =
        format!(r#"{{"method":"ping","params":{{"x":{}{}}}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    let bodies: Vec<Vec<u8>> = [
        // Twice, also in another spelling that lenient parsers take for the same.
        r#"{"method":"ping","method":"tools/call"}"#,
        r#"{"method":"ping","m\u0065thod":"tools/call"}"#,
        r#"{"method":"ping","Method":"tools/call"}"#,
        r#"{"METHOD":"ping"}"#,
        r#"{"method":"tools/call","params":{"name":"get"},"params":{"name":"delete"}}"#,
        r#"{"method":"tools/call","params":{"name":"get"},"Params":{"name":"delete"}}"#,
        "{\"method\":\"tools/call\",\"params\":{\"name\":\"get\"},\"param\u{17f}\":{\"name\":\"delete\"}}",
        r#"{"method":"tools/call","params":{"name":"get","name":"delete"}}"#,
        r#"{"method":"tools/call","params":{"name":"get","NAME":"delete"}}"#,
        // To some a name ends at a NUL.
        r#"{"method\u0000":"tools/call","method":"ping"}"#,
        r#"{"method":"ping","Method\u0000x":"tools/call"}"#,
        r#"{"method":"tools/call","params":{"name\u0000":"delete","name":"get"}}"#,
        // No message, or none alone.
        "",
        " ",
        "{}",
        "null",
        "1",
        "\"x\"",
        r#"{"method":1}"#,
        r#"{"method":null}"#,
        r#"{"method":["ping"]}"#,
        r#"{"method":"ping"}{"method":"tools/call"}"#,
        "{\"method\":\"ping\"}\n{\"method\":\"tools/call\"}",
        r#"{"method":"ping""#,
        // What lenient parsers take.
        r#"{"method":"ping",}"#,
        "{'method':'ping'}",
        r#"{"method":"ping"} // x"#,
        r#"{"method":"ping","x":NaN}"#,
        "\u{feff}{\"method\":\"ping\"}",
        "{\"method\":\"ping\",\"x\":\"\n\"}",
        r#"{"method":"ping","x":"\ud800"}"#,
        r#"{"method":"ping","x":1e999}"#,
        &deep,
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .chain([
        b"{\"method\":\"ping\",\"x\":\"\xff\"}".to_vec(),
        b"{\"method\":\"ping\",\"\xc0\xaf\":1}".to_vec(),
    ])
    .chain([LIST.encode_utf16().flat_map(u16::to_le_bytes).collect()])
    .collect();
    for body in bodies {
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        assert_eq!(of(&by, &[], &body), Err(Doubt::Form), "{shown}");
    }
}

#[test]
fn a_question_writes_where_it_asks_to_be_stored() {
    let by = openai();
    let table = [
        (r#"{"model":"m","messages":[]}"#, READ),
        (r#"{"store":false,"background":null}"#, READ),
        (r#"{"store":true}"#, WRITE),
        (r#"{"store":"false"}"#, WRITE),
        (r#"{"store":0}"#, WRITE),
        (r#"{"background":true}"#, WRITE),
        (r#"{"conversation":"c-1"}"#, WRITE),
        (r#"{"conversation":{"id":"c-1"}}"#, WRITE),
        (r#"{"metadata":{"store":true}}"#, READ),
        (r#"{"store":false,"store":true}"#, Err(Doubt::Form)),
        (r#"{"store":false,"Store":true}"#, Err(Doubt::Form)),
        (r#"[{"store":false}]"#, Err(Doubt::Form)),
        ("", Err(Doubt::Form)),
    ];
    for (body, access) in table {
        assert_eq!(of(&by, &[], body.as_bytes()), access, "{body}");
    }
}

#[test]
fn what_is_kept_by_default_is_a_read_only_where_the_body_declines() {
    let table = [
        ("{}", WRITE),
        (r#"{"model":"m","input":"x"}"#, WRITE),
        (r#"{"store":true}"#, WRITE),
        (r#"{"store":null}"#, WRITE),
        (r#"{"store":0}"#, WRITE),
        (r#"{"store":"false"}"#, WRITE),
        (r#"{"background":false,"conversation":null}"#, WRITE),
        (r#"{"store":false}"#, READ),
        (r#"{"background":false,"store":false,"conversation":null}"#, READ),
        (r#"{"store":false,"background":true}"#, WRITE),
        (r#"{"conversation":"c-1","store":false}"#, WRITE),
        (r#"{"store":false,"STORE":true}"#, Err(Doubt::Form)),
    ];
    for (body, access) in table {
        assert_eq!(judge(&openai(), true, body), access, "{body}");
    }
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = write::GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn zlib(body: &[u8]) -> Vec<u8> {
    let mut encoder = write::ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// A frame of `zstd` of raw blocks (RFC 8878, 3.1.1).
fn zstd(body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x20, u8::try_from(body.len()).unwrap()];
    let block = u32::try_from(body.len()).unwrap() << 3 | 1;
    frame.extend(&block.to_le_bytes()[..3]);
    frame.extend(body);
    frame
}

/// Frames that say a byte 128 Ki times, 1,000 times over.
fn zstd_bomb() -> Vec<u8> {
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x58];
    for last in (0..1000).map(|at| u32::from(at == 999)) {
        frame.extend(&((128 * 1024) << 3 | 1 << 1 | last).to_le_bytes()[..3]);
        frame.push(b' ');
    }
    frame
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// [`LIST`], and the call of `delete`, as the reference encoder has them.
const BR_LIST: &str =
    "8b16807b226a736f6e727063223a22322e30222c226964223a312c226d6574686f64223a22746f6f6c732f6c697374227d03";
const BR_DELETE: &str = "1b4800808dd315f3a284751f21c92cc17be353bf6cdf583dc12698695287a50f36e0c07d4c9f161a080e4697482955be3f3df70cf45c65052d118c800a1919b47cdc20e69e8f07";
/// A ping and spaces, 100,000 bytes: the stream begins with a bracket.
const BR_OPENS: &str = "5b9f8681df7160c7907f1087c3e649538a9ced35489a1b9cd2e92b4a0e2c04c4b041f20bc09600";
/// An array of 8 Mi spaces.
const BR_BOMB: &str = "cbffff3ff8a540b6e2b24000f7fe2f040004205d03";

#[test]
fn encoded_bodies_are_read_decoded() {
    let by = mcp();
    let delete = call("delete");
    for (coding, list, write) in [
        ("gzip", gzip(LIST.as_bytes()), gzip(delete.as_bytes())),
        ("x-gzip", gzip(LIST.as_bytes()), gzip(delete.as_bytes())),
        ("GZIP", gzip(LIST.as_bytes()), gzip(delete.as_bytes())),
        ("deflate", zlib(LIST.as_bytes()), zlib(delete.as_bytes())),
        ("br", bytes(BR_LIST), bytes(BR_DELETE)),
        ("zstd", zstd(LIST.as_bytes()), zstd(delete.as_bytes())),
        ("identity", LIST.into(), delete.clone().into()),
    ] {
        assert_eq!(of(&by, &[coding], &list), READ, "{coding}");
        assert_eq!(of(&by, &[coding], &write), WRITE, "{coding}");
    }
}

#[test]
fn codings_that_lie_are_in_doubt() {
    let by = mcp();
    let gzipped = gzip(LIST.as_bytes());
    let spaces = vec![b' '; 8 << 20];
    let damaged = [&gzipped[..gzipped.len() - 9], b"x"].concat();
    let trailing = [&gzipped[..], b"{}"].concat();
    let two = [gzip(call("get").as_bytes()), gzip(call("delete").as_bytes())].concat();
    let table: &[(&[&str], &[u8], Doubt)] = &[
        (&["gzip"], &gzip(&spaces), Doubt::Large),
        (&["deflate"], &zlib(&spaces), Doubt::Large),
        (&["br"], &bytes(BR_BOMB), Doubt::Large),
        (&["zstd"], &zstd_bomb(), Doubt::Large),
        (&["gzip", "gzip"], &gzip(&gzipped), Doubt::Coding),
        (&["gzip, gzip"], &gzip(&gzipped), Doubt::Coding),
        (&["identity", "gzip"], &gzipped, Doubt::Coding),
        (&["compress"], &gzipped, Doubt::Coding),
        (&["gzip;q=1"], &gzipped, Doubt::Coding),
        (&["gzip"], LIST.as_bytes(), Doubt::Coding),
        (&["br"], LIST.as_bytes(), Doubt::Coding),
        (&["deflate"], LIST.as_bytes(), Doubt::Coding),
        (&["gzip"], &damaged, Doubt::Coding),
        (&["gzip"], &trailing, Doubt::Coding),
        // Two members: some read the first alone.
        (&["gzip"], &two, Doubt::Form),
        (&["deflate"], &[zlib(LIST.as_bytes()), zlib(call("delete").as_bytes())].concat(), Doubt::Coding),
        (&["br"], &[bytes(BR_LIST), bytes(BR_DELETE)].concat(), Doubt::Coding),
        (&[], &gzipped, Doubt::Form),
        (&["identity"], &gzipped, Doubt::Form),
    ];
    for (codings, body, doubt) in table {
        assert_eq!(of(&by, codings, body), Err(*doubt), "{codings:?} {}", body.len());
    }
    let raw = {
        let mut encoder = write::DeflateEncoder::new(Vec::new(), Compression::none());
        encoder.write_all(LIST.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    assert_eq!(of(&by, &["deflate"], &raw), READ, "the bare stream that some send");
    // One that could be a message of its own to a server that does not heed the coding.
    let opens = bytes(BR_OPENS);
    assert_eq!(opens[0], b'[');
    let decoded = sluicegate_body::coding::decoded(&head(&["br"]), &opens, 1 << 20).unwrap();
    assert!(decoded.starts_with(br#"{"method":"ping"}"#));
    assert_eq!(plain(&head(&["br"]), &opens, 1 << 20), Err(Doubt::Coding));
}

/// Parsers that detect UTF-16 and UTF-32 read these without a charset, and so would one that does
/// not heed the coding of a body that begins like this.
#[test]
fn json_is_recognised_in_any_of_its_encodings() {
    for open in ["{", "[", " \r\n\t{"] {
        let utf16: Vec<u16> = open.encode_utf16().collect();
        let all = [
            open.as_bytes().to_vec(),
            format!("\u{feff}{open}").into_bytes(),
            utf16.iter().flat_map(|unit| unit.to_le_bytes()).collect(),
            utf16.iter().flat_map(|unit| unit.to_be_bytes()).collect(),
            [0xfeff].iter().chain(&utf16).flat_map(|unit: &u16| unit.to_le_bytes()).collect(),
            [0xfeff].iter().chain(&utf16).flat_map(|unit: &u16| unit.to_be_bytes()).collect(),
            open.chars().flat_map(|c| u32::from(c).to_be_bytes()).collect(),
        ];
        for bytes in all {
            assert!(super::opens_json(&bytes), "{bytes:?}");
        }
    }
    for other in [gzip(b"{}"), zlib(b"{}"), zstd(b"{}"), bytes(BR_LIST), Vec::new()] {
        assert!(!super::opens_json(&other), "{other:?}");
    }
}

#[test]
fn json_in_utf_8_is_what_a_head_must_say() {
    let said = |values: &[&str]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::CONTENT_TYPE, HeaderValue::from_str(value).unwrap());
        }
        says_json(&headers)
    };
    for good in [
        "application/json",
        "Application/JSON; charset=UTF-8",
        "application/json;charset=\"utf-8\"",
        "application/json;",
        "application/vnd.elasticsearch+json; compatible-with=9",
    ] {
        assert!(said(&[good]), "{good}");
    }
    for bad in [
        "text/plain",
        "application/jsonl",
        "application/x-www-form-urlencoded",
        "application/json; charset=utf-7",
        "application/json; charset=utf-16",
        "application/json; Charset = latin1",
        "application/json; charset*=utf-16''x",
        "text/json",
        "",
    ] {
        assert!(!said(&[bad]), "{bad}");
    }
    assert!(!said(&[]) && !said(&["application/json", "application/json"]));
}

proptest! {
    /// Nothing that comes from a network panics, and nothing but the two words is a read.
    #[test]
    fn any_body_is_judged(body in proptest::collection::vec(any::<u8>(), 0..200), coding in 0..6usize) {
        let coding = ["gzip", "deflate", "br", "zstd", "identity", "x"][coding];
        let _ = of(&mcp(), &[coding], &body);
        let _ = of(&openai(), &[], &body);
    }

    /// A write stays one whatever members stand beside it.
    #[test]
    fn members_beside_a_write_do_not_hide_it(before in "[a-l]{1,8}", after in "[n-z]{1,8}", value in "[ -!#-\\[\\]-~]{0,20}") {
        let body = format!(r#"{{"{before}":["{value}"],"method":"tools/call","{after}":"{value}","params":{{"{after}":{{}},"name":"delete"}}}}"#);
        prop_assert_eq!(of(&mcp(), &[], body.as_bytes()), WRITE);
    }
}
