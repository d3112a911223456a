use proptest::prelude::*;

use super::{Boundaries, data_of};

/// All events of a stream that comes in these pieces.
fn events(pieces: &[&[u8]]) -> Vec<Vec<u8>> {
    let (mut boundaries, mut events, mut open) = (Boundaries::new(), Vec::new(), Vec::new());
    for piece in pieces {
        let mut rest = *piece;
        while let Some(end) = boundaries.next_end(rest) {
            open.extend_from_slice(&rest[..end]);
            events.push(std::mem::take(&mut open));
            rest = &rest[end..];
        }
        open.extend_from_slice(rest);
    }
    events.push(open);
    events
}

fn data(events: &[Vec<u8>]) -> Vec<Vec<u8>> {
    events.iter().filter_map(|event| data_of(event)).map(std::borrow::Cow::into_owned).collect()
}

proptest! {
    #[test]
    fn pieces_make_no_difference(
        text in "(data: ?[ab]{0,3}|event: x|:c|d)?(\n|\r|\r\n){1,2}(data:[ab]|\n|\r|\r\n){0,12}",
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes = text.as_bytes();
        let whole = events(&[bytes]);
        prop_assert_eq!(whole.concat(), bytes);
        let (before, after) = bytes.split_at(cut.index(bytes.len() + 1));
        let cut = events(&[before, after]);
        prop_assert_eq!(cut.concat(), bytes);
        prop_assert_eq!(data(&cut), data(&whole));
        // CR and CRLF mean what LF means.
        let plain = text.replace("\r\n", "\n").replace('\r', "\n");
        prop_assert_eq!(data(&whole), data(&events(&[plain.as_bytes()])));
    }
}

#[test]
fn data_is_what_follows_its_name() {
    let data =
        |event: &str| data_of(event.as_bytes()).map(|data| String::from_utf8(data.into_owned()).unwrap());
    assert_eq!(data("event: a\ndata: x\n\n").as_deref(), Some("x"));
    assert_eq!(data("data:x\r\ndata:  y\r\n\r\n").as_deref(), Some("x\n y"));
    assert_eq!(data("\u{feff}data: x\n\n").as_deref(), Some("x"));
    assert_eq!(data(": ping\n\n"), None);
    assert_eq!(data("database: x\n\n"), None);
}
