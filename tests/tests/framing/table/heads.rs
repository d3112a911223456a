//! First lines, targets, fields and hosts.

use super::{
    A, BAD, BAD_OR_A, BODY, CODING, Case, Expect, NOT_TAKEN, NOT_TAKEN_OR_A, SMUGGLED, case, get, line, post,
};

/// The messages whose head is the matter.
pub(super) fn cases() -> Vec<Case> {
    [first_lines(), targets(), fields(), hosts()].into_iter().flatten().collect()
}

fn first_lines() -> Vec<Case> {
    vec![
        case(
            "method in lower case",
            line("get /a HTTP/1.1"),
            Expect::OneOf(&[Expect::Refused(&[400, 405, 501]), Expect::Forwarded(&["get /a"])]),
        ),
        case(
            "method of another kind",
            line("FROB /a HTTP/1.1"),
            Expect::OneOf(&[Expect::Refused(&[400, 405, 501]), Expect::Forwarded(&["FROB /a"])]),
        ),
        case("method with a parenthesis", line("G(T /a HTTP/1.1"), BAD),
        case("method with a colon", line("GET: /a HTTP/1.1"), BAD),
        case("no method", line(" /a HTTP/1.1"), BAD),
        case("two spaces before the target", line("GET  /a HTTP/1.1"), BAD_OR_A),
        case("a tab before the target", line("GET\t/a HTTP/1.1"), BAD_OR_A),
        case("a space after the version", line("GET /a HTTP/1.1 "), BAD_OR_A),
        case("no version", line("GET /a"), BAD),
        case("no target", line("GET HTTP/1.1"), BAD),
        case("version 0.9", line("GET /a HTTP/0.9"), Expect::Refused(&[400, 505])),
        case("version 1.2", line("GET /a HTTP/1.2"), Expect::OneOf(&[Expect::Refused(&[400, 505]), A])),
        case("version 2.0", line("GET /a HTTP/2.0"), Expect::Refused(&[400, 505])),
        case("version 1.10", line("GET /a HTTP/1.10"), Expect::Refused(&[400, 505])),
        case("version 01.1", line("GET /a HTTP/01.1"), Expect::Refused(&[400, 505])),
        case("version 1,1", line("GET /a HTTP/1,1"), Expect::Refused(&[400, 505])),
        case("version in lower case", line("GET /a http/1.1"), Expect::Refused(&[400, 505])),
        case("another protocol", line("GET /a RTSP/1.1"), Expect::Refused(&[400, 505])),
        case("an empty line first", format!("\r\n{}", get("")), BAD_OR_A),
        case("a space first", format!(" {}", get("")), BAD),
        case("lines that end in LF alone", "GET /a HTTP/1.1\nHost: localhost\n\n", BAD_OR_A),
        case("a bare CR in the first line", line("GET /a\rb HTTP/1.1"), BAD),
        case("a CR for the first line's end", "GET /a HTTP/1.1\rHost: localhost\r\n\r\n", BAD),
        case(
            "the HTTP/2 preface with nothing behind",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense nonsense",
            Expect::Refused(&[0, 400]),
        ),
        case(
            "a TLS hello on a plain port",
            "\u{16}\u{3}\u{1}\u{0}\u{5}\u{1}\u{0}\u{0}\u{1}\u{0}\r\n\r\n",
            Expect::Refused(&[0, 400]),
        ),
        case("half a first line, then the end", "GET /a HT", Expect::Refused(&[0, 400, 408])).end(),
        case("half a head, then the end", "GET /a HTTP/1.1\r\nHost: local", Expect::Refused(&[0, 400, 408]))
            .end(),
        case("half a head, then nothing", "GET /a HTTP/1.1\r\nHost: local", Expect::Refused(&[0, 400, 408])),
        case(
            "HTTP/1.0 without a Host",
            "GET /a HTTP/1.0\r\n\r\n",
            Expect::OneOf(&[BAD, Expect::ForwardedThenClosed(&["GET /a"])]),
        ),
        case(
            "HTTP/1.0 with a Host",
            "GET /a HTTP/1.0\r\nHost: localhost\r\n\r\n",
            Expect::ForwardedThenClosed(&["GET /a"]),
        ),
        case(
            "HTTP/1.0 that keeps the connection",
            "GET /a HTTP/1.0\r\nHost: localhost\r\nConnection: keep-alive\r\n\r\n",
            A,
        ),
        case(
            "HTTP/1.0 with a length",
            "POST /a HTTP/1.0\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhello",
            Expect::ForwardedThenClosed(&["POST /a hello"]),
        ),
        case(
            "HTTP/1.0 in chunks",
            format!(
                "POST /a HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}"
            ),
            CODING,
        ),
    ]
}

fn targets() -> Vec<Case> {
    let target = |name, target: &str, expect| case(name, line(&format!("GET {target} HTTP/1.1")), expect);
    vec![
        target("absolute form", "http://localhost/a", A),
        target("absolute form with another Host field", "http://127.0.0.1/a", NOT_TAKEN_OR_A)
            .never(&[": localhost\r"]),
        target("absolute form with a name and password", "http://me:secret@localhost/a", NOT_TAKEN_OR_A)
            .never(&["secret"]),
        target("absolute form of another scheme", "ftp://localhost/a", NOT_TAKEN_OR_A),
        target(
            "absolute form without a path",
            "http://localhost",
            Expect::OneOf(&[BAD, NOT_TAKEN, Expect::Forwarded(&["GET /"])]),
        ),
        target("absolute form with dot segments", "http://localhost/a/../b", NOT_TAKEN),
        target("a target that is only a name", "a", NOT_TAKEN),
        target("an authority to GET", "localhost:80", NOT_TAKEN),
        target("an asterisk to GET", "*", NOT_TAKEN),
        case(
            "an asterisk to OPTIONS",
            line("OPTIONS * HTTP/1.1"),
            Expect::OneOf(&[Expect::Answered(&[200, 400, 404, 405, 501]), Expect::Forwarded(&["OPTIONS *"])]),
        ),
        case("CONNECT", line("CONNECT localhost:80 HTTP/1.1"), Expect::Answered(&[400, 404, 405, 501])),
        case(
            "CONNECT with a request in its body",
            format!(
                "CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{SMUGGLED}",
                SMUGGLED.len()
            ),
            Expect::Refused(&[400, 404, 405, 501]),
        ),
        target("a fragment", "/a#b", NOT_TAKEN_OR_A),
        target("a space inside", "/a b", BAD),
        target("a NUL inside", "/a\0", BAD),
        target("a control character inside", "/a\u{1}", BAD),
        target(
            "bytes beyond ASCII",
            "/\u{c3}\u{a9}",
            Expect::OneOf(&[BAD, NOT_TAKEN, Expect::Forwarded(&["GET /%C3%A9"])]),
        ),
        target(
            "a quote",
            "/a\"b",
            Expect::OneOf(&[
                BAD,
                NOT_TAKEN,
                Expect::Forwarded(&["GET /a\"b"]),
                Expect::Forwarded(&["GET /a%22b"]),
            ]),
        ),
        target("dot segments", "/a/../b", NOT_TAKEN),
        target("a single dot segment", "/a/./b", NOT_TAKEN),
        target("dot segments at the end", "/a/..", NOT_TAKEN),
        target("dot segments at the start", "/../a", NOT_TAKEN),
        target("dot segments, encoded", "/a/%2e%2e/b", NOT_TAKEN),
        target("dot segments, half encoded", "/a/.%2E/b", NOT_TAKEN),
        target("a dot segment, encoded, at the end", "/a/%2e", NOT_TAKEN),
        target("dot segments behind doubled slashes", "/a//../b", NOT_TAKEN),
        target(
            "dots with a parameter",
            "/a/..;/b",
            Expect::OneOf(&[BAD, NOT_TAKEN, Expect::Forwarded(&["GET /a/..;/b"])]),
        ),
        target(
            "names that begin with dots",
            "/.well-known/...",
            Expect::Forwarded(&["GET /.well-known/..."]),
        ),
        target("an encoded slash", "/a%2fb", NOT_TAKEN),
        target("an encoded slash in capitals", "/a%2Fb", NOT_TAKEN),
        target("a backslash", "/a\\b", NOT_TAKEN),
        target("an encoded backslash", "/a%5Cb", NOT_TAKEN),
        target("an encoded NUL", "/a%00", NOT_TAKEN),
        target("doubled slashes", "//a///b//", Expect::Forwarded(&["GET /a/b/"])),
        target(
            "an encoding that is none",
            "/a%zz",
            Expect::OneOf(&[BAD, NOT_TAKEN, Expect::Forwarded(&["GET /a%zz"])]),
        ),
        target(
            "half an encoding",
            "/a%2",
            Expect::OneOf(&[BAD, NOT_TAKEN, Expect::Forwarded(&["GET /a%2"])]),
        ),
        target(
            "dots and slashes in the query",
            "/a?to=../b//c%2f%00",
            Expect::Forwarded(&["GET /a?to=../b//c%2f%00"]),
        ),
        target("an empty query", "/a?", Expect::OneOf(&[A, Expect::Forwarded(&["GET /a?"])])),
        target(
            "a target of 100 KiB",
            &format!("/{}", "a".repeat(100 << 10)),
            Expect::Refused(&[400, 414, 431]),
        ),
    ]
}

fn fields() -> Vec<Case> {
    vec![
        case("a field without a name", get(": x\r\n"), BAD),
        case("a field without a colon", get("nonsense\r\n"), BAD),
        case("a space in a name", get("Foo Bar: x\r\n"), BAD),
        case("a space before the colon", get("Foo : x\r\n"), BAD),
        case("a tab before the colon", get("Foo\t: x\r\n"), BAD),
        case("a parenthesis in a name", get("Foo(: x\r\n"), BAD),
        case("a NUL in a name", get("Fo\0o: x\r\n"), BAD),
        case("a byte beyond ASCII in a name", get("Fo\u{e9}: x\r\n"), BAD),
        case("a folded line", get("Foo: x\r\n y\r\n"), BAD),
        case("a line folded by a tab", get("Foo: x\r\n\ty\r\n"), BAD),
        case("a first field that is indented", "GET /a HTTP/1.1\r\n Host: localhost\r\n\r\n", BAD),
        case("a fold before the first field", "GET /a HTTP/1.1\r\n \r\nHost: localhost\r\n\r\n", BAD),
        case("a bare CR in a value", get("Foo: x\ry\r\n"), BAD),
        case("a bare CR that hides a field", get("Foo: x\rSecret: y\r\n"), BAD),
        case("a NUL in a value", get("Foo: x\0y\r\n"), BAD),
        case("a control character in a value", get("Foo: x\u{1}y\r\n"), BAD),
        case("a DEL in a value", get("Foo: x\u{7f}y\r\n"), BAD),
        case("bytes beyond ASCII in a value", get("Foo: \u{e9}\u{ff}\r\n"), BAD_OR_A),
        case("a bare LF between fields", get("Foo: x\nBar: y\r\n"), BAD_OR_A),
        case("tabs around a value", get("Foo:\t x \t\r\n"), BAD_OR_A),
        case("an empty value", get("Foo:\r\n"), A),
        case("an empty line of LF alone", "GET /a HTTP/1.1\r\nHost: localhost\r\n\n", BAD_OR_A),
        case(
            "a field of 100 KiB",
            get(&format!("Foo: {}\r\n", "x".repeat(100 << 10))),
            Expect::Refused(&[400, 431]),
        ),
        case("three thousand fields", get(&"Foo: x\r\n".repeat(3000)), Expect::Refused(&[400, 431])),
        case("names of the gateway's own", get("Sluicegate-Freeze: x\r\nX-Sluicegate-Arm: candidate\r\n"), A)
            .never(&["sluicegate-"]),
        case(
            "a method override",
            post("Content-Length: 5\r\nX-HTTP-Method-Override: DELETE\r\n", "hello"),
            BODY,
        )
        .never(&["delete"]),
        case(
            "an override of the two other names",
            get("X-Method-Override: PUT\r\nX-HTTP-Method: PUT\r\n"),
            A,
        )
        .never(&[": put"]),
    ]
}

fn hosts() -> Vec<Case> {
    let host = |name, lines: &str, expect| case(name, format!("GET /a HTTP/1.1\r\n{lines}\r\n"), expect);
    vec![
        host("no Host", "", BAD),
        host("two Hosts", "Host: localhost\r\nHost: 127.0.0.1\r\n", BAD),
        host("two Hosts alike", "Host: localhost\r\nHost: localhost\r\n", BAD),
        host("two Hosts, one in other letters", "Host: localhost\r\nhOST: 127.0.0.1\r\n", BAD),
        host("an empty Host", "Host:\r\n", BAD_OR_A),
        host("a Host with a space", "Host: local host\r\n", BAD),
        host("two names in a Host", "Host: localhost, 127.0.0.1\r\n", BAD),
        host("a Host with a path", "Host: localhost/b\r\n", BAD),
        host("a Host with a user", "Host: me@localhost\r\n", BAD),
        host("a Host with a port that is none", "Host: localhost:x\r\n", BAD),
        host("a Host with a space before the colon", "Host : localhost\r\n", BAD),
    ]
}
