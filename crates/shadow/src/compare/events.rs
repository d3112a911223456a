//! The events of a `text/event-stream`, as the WHATWG specification reads them
//! (<https://html.spec.whatwg.org/multipage/server-sent-events.html>, 9.2.5 and 9.2.6).
//!
//! The whole stream is at hand, so this is a loop over its lines; the crates of the field read
//! asynchronous streams.

use std::borrow::Cow;

/// One event; only what it carries is of interest here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// Its type; empty where it has none.
    pub(super) name: String,
    /// Its data lines, with a line feed between each two.
    pub(super) data: String,
}

/// The events of a stream. One that no empty line ends is not an event.
pub(super) fn events(stream: &[u8]) -> Vec<Event> {
    let text = String::from_utf8_lossy(stream);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let (mut events, mut name, mut data) = (Vec::new(), String::new(), None::<String>);
    for line in Lines(text) {
        if line.is_empty() {
            let name = std::mem::take(&mut name);
            if let Some(data) = data.take() {
                events.push(Event { name, data });
            }
            continue;
        }
        // A comment is a field without a name.
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut name),
            "data" => match &mut data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => data = Some(value.to_owned()),
            },
            _ => {}
        }
    }
    events
}

/// The lines of a body of JSON in lines, as events without a type.
pub(super) fn lines(body: &[u8]) -> Vec<Event> {
    let text: Cow<'_, str> = String::from_utf8_lossy(body);
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(|line| Event { name: String::new(), data: line.to_owned() }).collect()
}

/// The lines that are ended by CR LF, LF or CR; what follows the last end is no line yet.
struct Lines<'a>(&'a str);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let end = memchr::memchr2(b'\n', b'\r', self.0.as_bytes())?;
        let line = &self.0[..end];
        let after = &self.0[end..];
        self.0 = after.strip_prefix("\r\n").unwrap_or(&after[1..]);
        Some(line)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{events, lines};

    fn read(stream: &str) -> Vec<(String, String)> {
        events(stream.as_bytes()).into_iter().map(|event| (event.name, event.data)).collect()
    }

    fn of(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(name, data)| ((*name).to_owned(), (*data).to_owned())).collect()
    }

    #[test]
    fn the_examples_of_the_specification() {
        assert_eq!(read("data: YHOO\ndata: +2\ndata: 10\n\n"), of(&[("", "YHOO\n+2\n10")]));
        let comments =
            ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n";
        assert_eq!(read(comments), of(&[("", "first event"), ("", "second event"), ("", " third event")]));
        // One without data in it, one of a line feed, and one that is never ended.
        assert_eq!(read("data\n\ndata\ndata\n\ndata:"), of(&[("", ""), ("", "\n")]));
        assert_eq!(read("data:test\n\ndata: test\n\n"), of(&[("", "test"), ("", "test")]));
        assert_eq!(read("event: add\ndata: 73857293\n\n"), of(&[("add", "73857293")]));
    }

    #[test]
    fn lines_end_in_three_ways() {
        let expected = of(&[("e", "1\n2"), ("", "3")]);
        for end in ["\n", "\r", "\r\n"] {
            let stream = ["event: e", "data: 1", "data: 2", "", "data: 3", "", ""].join(end);
            assert_eq!(read(&stream), expected, "{end:?}");
        }
    }

    #[test]
    fn a_type_holds_for_one_event_and_an_event_without_data_is_none() {
        assert_eq!(read("event: a\n\ndata: 1\n\n"), of(&[("", "1")]));
        assert_eq!(read("event: a\nevent: b\nretry: 10\ndata: 1\n\n"), of(&[("b", "1")]));
        assert_eq!(read("Data: 1\n data: 2\ndataset: 3\n\n"), of(&[]));
    }

    #[test]
    fn a_mark_of_byte_order_at_the_start_is_no_text() {
        assert_eq!(read("\u{feff}data: 1\n\n"), of(&[("", "1")]));
        assert_eq!(read("\u{feff}\u{feff}data: 1\n\n"), of(&[]));
        assert_eq!(events(b"data: \xff\n\n")[0].data, "\u{fffd}");
    }

    #[test]
    fn json_in_lines_is_one_event_each() {
        let read = lines(b"{\"a\":1}\r\n\n {\"b\":2}").into_iter().map(|event| event.data);
        assert!(read.eq(["{\"a\":1}", "{\"b\":2}"]));
    }

    proptest! {
        #[test]
        fn what_is_sent_is_read(sent in prop::collection::vec(("[a-z]{0,3}", prop::collection::vec("[^\r\n]{1,8}", 1..4)), 0..6)) {
            let mut stream = String::new();
            let mut expected = Vec::new();
            for (name, data) in &sent {
                stream.extend(["event: ", name.as_str(), "\n: x\n"]);
                for line in data {
                    stream.extend(["data: ", line.as_str(), "\n"]);
                }
                stream.push('\n');
                expected.push((name.clone(), data.join("\n")));
            }
            prop_assert_eq!(read(&stream), expected);
        }

        #[test]
        fn no_bytes_make_it_panic(stream in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = events(&stream);
            let _ = lines(&stream);
        }
    }
}
