//! What a message is, and what may become of it; the messages themselves.

mod bodies;
mod heads;

/// What may become of a message.
#[derive(Debug)]
pub(crate) enum Expect {
    /// One answer with one of these statuses (0: none at all), then the connection is closed;
    /// the upstream sees nothing.
    Refused(&'static [u16]),
    /// One answer with one of these statuses; the upstream sees nothing. The message itself is
    /// whole, so that the connection may go on.
    Answered(&'static [u16]),
    /// As `Answered`, then the upstream sees exactly these.
    AnsweredThen(&'static [u16], &'static [&'static str]),
    /// The upstream sees exactly these (method, target, body), each is answered 200.
    Forwarded(&'static [&'static str]),
    /// As `Forwarded`, and the connection is closed after.
    ForwardedThenClosed(&'static [&'static str]),
    /// As `Forwarded`, and what follows is refused with one of these statuses.
    ThenRefused(&'static [&'static str], &'static [u16]),
    /// The upstream may see the beginning of this one, never its end; the client gets one of
    /// these statuses (0: none), then the connection is closed.
    Broken(&'static str, &'static [u16]),
    /// Any of these: where RFC 9112 leaves it to the recipient.
    OneOf(&'static [Expect]),
}

impl Expect {
    /// How many answers there can be at most.
    pub(crate) fn most_answers(&self) -> usize {
        match self {
            Self::Refused(_) | Self::Answered(_) | Self::Broken(..) => 1,
            Self::Forwarded(requests) | Self::ForwardedThenClosed(requests) => requests.len(),
            Self::ThenRefused(requests, _) | Self::AnsweredThen(_, requests) => requests.len() + 1,
            Self::OneOf(several) => several.iter().map(Self::most_answers).max().unwrap_or(0),
        }
    }
}

/// One message.
pub(crate) struct Case {
    /// What it is.
    pub(crate) name: &'static str,
    message: String,
    /// What may become of it.
    pub(crate) expect: Expect,
    /// Whether the client closes its side after it.
    pub(crate) end: bool,
    /// What the upstream must not see in any head or trailer.
    pub(crate) never: &'static [&'static str],
}

impl Case {
    /// The bytes: one per character.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.message.chars().map(|c| u8::try_from(u32::from(c)).expect("a byte")).collect()
    }

    fn end(mut self) -> Self {
        self.end = true;
        self
    }

    fn never(mut self, never: &'static [&'static str]) -> Self {
        self.never = never;
        self
    }
}

fn case(name: &'static str, message: impl Into<String>, expect: Expect) -> Case {
    Case { name, message: message.into(), expect, end: false, never: &[] }
}

/// A message with this first line and a Host.
fn line(line: &str) -> String {
    format!("{line}\r\nHost: localhost\r\n\r\n")
}

/// A GET of `/a` with these field lines.
fn get(lines: &str) -> String {
    format!("GET /a HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n")
}

/// A POST to `/a` with these field lines and body.
fn post(lines: &str, body: &str) -> String {
    format!("POST /a HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n{body}")
}

/// A POST to `/a` in chunks.
fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", body)
}

/// A request that must never be seen where it stands inside or behind another.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";

const BAD: Expect = Expect::Refused(&[400]);
const NOT_TAKEN: Expect = Expect::Answered(&[400]);
const CODING: Expect = Expect::Refused(&[400, 501]);
const A: Expect = Expect::Forwarded(&["GET /a"]);
const BODY: Expect = Expect::Forwarded(&["POST /a hello"]);
const BAD_OR_A: Expect = Expect::OneOf(&[BAD, A]);
const NOT_TAKEN_OR_A: Expect = Expect::OneOf(&[BAD, NOT_TAKEN, A]);
const BAD_OR_BODY: Expect = Expect::OneOf(&[BAD, BODY]);
/// A body whose framing is wrong: what was begun never looks complete.
const BROKEN: Expect = Expect::Broken("POST /a", &[0, 400, 502]);
/// A body that has not come when the client closes.
const CUT: Expect = Expect::Broken("POST /a", &[0, 400, 408, 502]);

/// Every message.
pub(crate) fn cases() -> Vec<Case> {
    heads::cases().into_iter().chain(bodies::cases()).collect()
}
