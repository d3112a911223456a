//! Lengths, codings, chunks, several messages in a row, and what belongs to one hop.

use super::{
    A, BAD, BAD_OR_A, BAD_OR_BODY, BODY, BROKEN, CODING, CUT, Case, Expect, NOT_TAKEN, SMUGGLED, case,
    chunked, get, line, post,
};

/// The messages whose body, or what stands behind it, is the matter.
pub(super) fn cases() -> Vec<Case> {
    [lengths(), codings(), chunks(), several(), hops()].into_iter().flatten().collect()
}

fn lengths() -> Vec<Case> {
    let length = |name, value: &str, expect| {
        case(name, post(&format!("Content-Length: {value}\r\n"), "hello"), expect)
    };
    vec![
        length("a plain length", "5", BODY),
        length("a length with a plus", "+5", BAD),
        length("a negative length", "-5", BAD),
        length("a length in hexadecimal", "0x5", BAD),
        length("a length with a fraction", "5.0", BAD),
        length("an empty length", "", BAD),
        length("two words for a length", "5 5", BAD),
        length("a length with a semicolon", "5;", BAD),
        length("a length beyond 64 bits", "18446744073709551621", BAD),
        length("the longest length", "18446744073709551615", Expect::Refused(&[400, 413, 431])),
        length("a length with zeros before it", "005", BAD_OR_BODY),
        length("one field, two lengths", "5, 6", BAD),
        length("one field, the same length twice", "5, 5", BAD_OR_BODY),
        case("two lengths", post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"), BAD),
        case("two lengths, the other way", post("Content-Length: 6\r\nContent-Length: 5\r\n", "hello!"), BAD),
        case(
            "the same length twice",
            post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
            BAD_OR_BODY,
        ),
        case("a length with a space before the colon", post("Content-Length : 5\r\n", "hello"), BAD),
        case("a length in a folded line", post("Content-Length:\r\n 5\r\n", "hello"), BAD),
        case(
            "a length with an underscore",
            post("Content_Length: 5\r\nContent-Length: 5\r\n", "hello"),
            BAD_OR_BODY,
        ),
        case(
            "a body to GET",
            format!(
                "GET /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{SMUGGLED}",
                SMUGGLED.len()
            ),
            Expect::OneOf(&[BAD, Expect::Forwarded(&["GET /a GET /smuggled HTTP/1.1\r\nHost: localhost"])]),
        ),
        case("less than its length, then the end", post("Content-Length: 10\r\n", "hello"), CUT).end(),
        case("less than its length, then nothing", post("Content-Length: 10\r\n", "hello"), CUT),
        case(
            "more than its length",
            post("Content-Length: 5\r\n", "hello, there\r\n\r\n"),
            Expect::ThenRefused(&["POST /a hello"], &[400]),
        ),
    ]
}

fn codings() -> Vec<Case> {
    let coding = |name, value: &str, expect| {
        case(name, post(&format!("Transfer-Encoding: {value}\r\n"), "5\r\nhello\r\n0\r\n\r\n"), expect)
    };
    // Read by its coding the body ends early and a request stands behind it.
    let both = |name, lines: &str| {
        let message = post(lines, &format!("0\r\n\r\n{SMUGGLED}"));
        case(name, message, Expect::OneOf(&[CODING, Expect::ForwardedThenClosed(&["POST /a"])]))
    };
    let smuggled = format!("0\r\n\r\n{SMUGGLED}");
    let length = format!("Content-Length: {}\r\n", smuggled.len());
    vec![
        coding("chunked", "chunked", BODY),
        coding("chunked in capitals", "CHUNKED", Expect::OneOf(&[CODING, BODY])),
        coding("chunked twice", "chunked, chunked", CODING),
        coding("another coding first", "gzip, chunked", CODING),
        coding("an unknown coding first", "x, chunked", CODING),
        coding("another coding last", "chunked, gzip", CODING),
        coding("another coding alone", "gzip", CODING),
        coding("identity", "identity", CODING),
        coding("almost chunked", "xchunked", CODING),
        coding("chunked with a parameter", "chunked;q=1", CODING),
        coding("chunked in quotes", "\"chunked\"", CODING),
        coding("chunked behind a comma", ", chunked", CODING),
        coding("chunked before a comma", "chunked,", CODING),
        coding("chunked behind a vertical tab", "\u{b}chunked", CODING),
        coding("chunked before a NUL", "chunked\0", CODING),
        coding("chunked behind a no-break space", "\u{a0}chunked", CODING),
        coding("no coding at all", "", CODING),
        coding("chunked in a folded line", "\r\n chunked", CODING),
        case(
            "no space before chunked",
            post("Transfer-Encoding:chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
            BODY,
        ),
        case(
            "a coding with a space before the colon",
            post(&format!("Transfer-Encoding : chunked\r\n{length}"), &smuggled),
            CODING,
        ),
        case(
            "two codings, both chunked",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            CODING,
        ),
        case(
            "two codings, identity last",
            post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "0\r\n\r\n"),
            CODING,
        ),
        case(
            "two codings, chunked last",
            post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
            CODING,
        ),
        both("a length and a coding", &format!("{length}Transfer-Encoding: chunked\r\n")),
        both("a coding and a length", &format!("Transfer-Encoding: chunked\r\n{length}")),
        both("a length of 0 and a coding", "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
        both(
            "two lengths and a coding",
            &format!("Content-Length: 3\r\n{length}Transfer-Encoding: chunked\r\n"),
        ),
        case(
            "a length and a coding that is not chunked",
            post(&format!("{length}Transfer-Encoding: xchunked\r\n"), &smuggled),
            CODING,
        ),
        case(
            "a coding whose name has an underscore",
            post("Transfer_Encoding: chunked\r\nContent-Length: 5\r\n", "hello"),
            BAD_OR_BODY,
        ),
        case(
            "a coding behind a bare LF",
            post(&format!("{length}Foo: x\nTransfer-Encoding: chunked\r\n"), &smuggled),
            Expect::OneOf(&[CODING, Expect::ForwardedThenClosed(&["POST /a"])]),
        ),
        case(
            "a coding behind a bare CR",
            post(&format!("{length}Foo: x\rTransfer-Encoding: chunked\r\n"), &smuggled),
            BAD,
        ),
        case(
            "chunks to GET",
            get("Transfer-Encoding: chunked\r\n") + "5\r\nhello\r\n0\r\n\r\n",
            Expect::OneOf(&[BAD, Expect::Forwarded(&["GET /a hello"])]),
        ),
    ]
}

fn chunks() -> Vec<Case> {
    let chunk = |name, body: &str, expect| case(name, chunked(body), expect);
    vec![
        chunk("a size that is no number", "g\r\nhello\r\n0\r\n\r\n", BROKEN),
        chunk("a negative size", "-5\r\nhello\r\n0\r\n\r\n", BROKEN),
        chunk("a size with a plus", "+5\r\nhello\r\n0\r\n\r\n", BROKEN),
        chunk("a size with 0x", "0x5\r\nhello\r\n0\r\n\r\n", BROKEN),
        chunk("no size", "\r\nhello\r\n0\r\n\r\n", BROKEN),
        chunk("a size beyond 64 bits", "10000000000000005\r\nhello\r\n0\r\n\r\n", BROKEN),
        chunk("a space before the size", " 5\r\nhello\r\n0\r\n\r\n", Expect::OneOf(&[BROKEN, BODY])),
        chunk("a space after the size", "5 \r\nhello\r\n0\r\n\r\n", Expect::OneOf(&[BROKEN, BODY])),
        chunk("a size with zeros before it", "0005\r\nhello\r\n0\r\n\r\n", Expect::OneOf(&[BROKEN, BODY])),
        chunk("two words for a size", "5 5\r\nhello\r\n0\r\n\r\n", BROKEN),
        chunk("an extension", "5;a=b\r\nhello\r\n0;c\r\n\r\n", Expect::OneOf(&[BROKEN, BODY])),
        chunk("an extension with a bare CR", "5;a\rb\r\nhello\r\n0\r\n\r\n", Expect::OneOf(&[BROKEN, BODY])),
        chunk("an extension with a bare LF", "5;a\nhello\r\n0\r\n\r\n", BROKEN),
        chunk(
            "an extension of 100 KiB",
            &format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(100 << 10)),
            BROKEN,
        ),
        chunk("sizes that end in LF alone", "5\nhello\n0\n\n", BROKEN),
        chunk("a size that ends in CR alone", "5\rhello\r\n0\r\n\r\n", BROKEN),
        chunk("more than the size", "5\r\nhello!\r\n0\r\n\r\n", BROKEN),
        chunk("no CRLF after a chunk", "5\r\nhello0\r\n\r\n", BROKEN),
        chunk("less than the size", "a\r\nhello\r\n0\r\n\r\n", CUT),
        chunk("no last chunk, then the end", "5\r\nhello\r\n", CUT).end(),
        chunk("half a chunk, then the end", "a\r\nhello", CUT).end(),
        chunk("no last line, then the end", "5\r\nhello\r\n0\r\n", CUT).end(),
        chunk("no last line, then nothing", "5\r\nhello\r\n0\r\n", CUT),
        chunk("a trailer", "5\r\nhello\r\n0\r\nFoo: x\r\n\r\n", Expect::OneOf(&[BROKEN, BODY])),
        chunk(
            "a trailer without a colon",
            "5\r\nhello\r\n0\r\nnonsense\r\n\r\n",
            Expect::OneOf(&[BROKEN, BODY]),
        )
        .never(&["nonsense"]),
        chunk(
            "trailers that would change the message",
            "5\r\nhello\r\n0\r\nContent-Length: 77\r\nTransfer-Encoding: gzip\r\nHost: x\r\n\r\n",
            Expect::OneOf(&[BROKEN, BODY]),
        )
        .never(&["content-length: 77", "gzip", "host: x"]),
        chunk(
            "trailers of 100 KiB",
            &format!("5\r\nhello\r\n0\r\nFoo: {}\r\n\r\n", "x".repeat(100 << 10)),
            Expect::OneOf(&[BROKEN, BODY]),
        ),
    ]
}

fn several() -> Vec<Case> {
    vec![
        case(
            "two requests at once",
            get("") + &line("GET /b HTTP/1.1"),
            Expect::Forwarded(&["GET /a", "GET /b"]),
        ),
        case(
            "requests with and without bodies at once",
            post("Content-Length: 5\r\n", "hello") + &get("") + &chunked("5\r\nhello\r\n0\r\n\r\n"),
            Expect::Forwarded(&["POST /a hello", "GET /a", "POST /a hello"]),
        ),
        case(
            "a request, then nonsense",
            get("") + "nonsense\r\n\r\n",
            Expect::ThenRefused(&["GET /a"], &[400]),
        ),
        case(
            "a request, then one with two Hosts",
            get("") + &get("Host: localhost\r\n"),
            Expect::ThenRefused(&["GET /a"], &[400]),
        ),
        case(
            "a request that closes, then another",
            get("Connection: close\r\n") + SMUGGLED,
            Expect::ForwardedThenClosed(&["GET /a"]),
        ),
        case("a refused request, then another", get("Foo : x\r\n") + SMUGGLED, BAD),
        case(
            "a path that is refused, then another",
            line("GET /a/../b HTTP/1.1") + &line("GET /c HTTP/1.1"),
            Expect::OneOf(&[BAD, Expect::AnsweredThen(&[400], &["GET /c"])]),
        ),
        case(
            "a refused path with a body that looks like a request",
            format!(
                "POST /a/../b HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{SMUGGLED}",
                SMUGGLED.len()
            ),
            Expect::OneOf(&[BAD, NOT_TAKEN]),
        ),
        case(
            "a chunked body with a request behind a wrong size",
            chunked(&format!("3\r\nhello\r\n0\r\n\r\n{SMUGGLED}")),
            BROKEN,
        ),
    ]
}

fn hops() -> Vec<Case> {
    vec![
        case("Connection names a field", get("Connection: X-Secret\r\nX-Secret: y\r\n"), A)
            .never(&["x-secret"]),
        case(
            "Connection names the length",
            post("Connection: Content-Length\r\nContent-Length: 5\r\n", "hello"),
            BAD_OR_BODY,
        ),
        case(
            "Connection names the coding",
            post(
                "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n",
                "5\r\nhello\r\n0\r\n\r\n",
            ),
            BAD_OR_BODY,
        ),
        case("Connection names the Host", get("Connection: Host\r\n"), BAD_OR_A),
        case(
            "fields of the last hop",
            get("Keep-Alive: timeout=5\r\nProxy-Connection: x-y\r\nTE: deflate\r\n"),
            A,
        )
        .never(&["keep-alive:", "proxy-connection", "deflate"]),
        case(
            "Connection in two fields",
            get("Connection: keep-alive\r\nConnection: X-Secret\r\nX-Secret: y\r\n"),
            A,
        )
        .never(&["x-secret"]),
        case(
            "an upgrade to h2c",
            get(
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n",
            ),
            BAD_OR_A,
        )
        .never(&["h2c", "http2-settings"]),
        case("an upgrade that Connection does not name", get("Upgrade: websocket\r\n"), A)
            .never(&["upgrade"]),
        case(
            "an upgrade with a request behind it, which the upstream does not take up",
            get("Connection: Upgrade\r\nUpgrade: websocket\r\n") + &line("GET /b HTTP/1.1"),
            Expect::OneOf(&[
                Expect::Forwarded(&["GET /a", "GET /b"]),
                Expect::ForwardedThenClosed(&["GET /a"]),
                BAD,
            ]),
        ),
        case(
            "an upgrade with a body",
            post("Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n", "hello"),
            BAD_OR_BODY,
        ),
        case(
            "an upgrade in HTTP/1.0",
            "GET /a HTTP/1.0\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
            Expect::OneOf(&[BAD, Expect::ForwardedThenClosed(&["GET /a"])]),
        )
        .never(&["websocket"]),
        case("an expectation of 100", post("Expect: 100-continue\r\nContent-Length: 5\r\n", "hello"), BODY),
        case(
            "an expectation of something else",
            post("Expect: tea\r\nContent-Length: 5\r\n", "hello"),
            Expect::OneOf(&[Expect::Refused(&[400, 417]), BODY]),
        ),
        case(
            "an expectation of 100 and no body, then the end",
            post("Expect: 100-continue\r\nContent-Length: 5\r\n", ""),
            CUT,
        )
        .end(),
    ]
}
