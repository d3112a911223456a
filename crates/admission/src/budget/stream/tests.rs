use std::ops::ControlFlow::{Break, Continue};

use bytes::Bytes;
use proptest::prelude::*;

use super::{MOST_EVENT, Stream};

const TEXT: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}";
const EXTRA: &str = "data: {\"choices\":[],\"usage\":{\"total_tokens\":9}}";
const DONE: &str = "data: [DONE]";

/// What goes on, and how much was held at most.
fn through(strip: bool, pieces: &[Bytes]) -> (Vec<u8>, usize, usize) {
    let (mut stream, mut out, mut held, mut seen) = (Stream::new(strip), Vec::new(), 0, 0);
    for piece in pieces {
        let flow = stream.feed(piece, |_| {
            seen += 1;
            Continue(())
        });
        assert!(flow.is_continue());
        held = held.max(stream.held.len());
        while let Some(bytes) = stream.next() {
            out.extend_from_slice(&bytes);
        }
    }
    stream.end(|_| {
        seen += 1;
        Continue(())
    });
    while let Some(bytes) = stream.next() {
        out.extend_from_slice(&bytes);
    }
    assert!(stream.is_empty());
    (out, held, seen)
}

proptest! {
    #[test]
    fn exactly_the_extra_chunk_is_taken_out_however_the_stream_is_cut(
        events in prop::collection::vec(prop_oneof![Just(TEXT), Just(EXTRA), Just(DONE), Just(": ping")], 0..8),
        end in prop_oneof![Just("\n\n"), Just("\r\n\r\n"), Just("\r\r")],
        unfinished in any::<bool>(),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        strip in any::<bool>(),
    ) {
        let mut text: String = events.iter().flat_map(|event| [*event, end]).collect();
        let mut kept: String =
            events.iter().filter(|event| !strip || **event != EXTRA).flat_map(|event| [*event, end]).collect();
        if unfinished {
            text.push_str("data: {\"cho");
            kept.push_str("data: {\"cho");
        }
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let bytes = Bytes::from(text);
        let pieces: Vec<_> = cuts.windows(2).map(|pair| bytes.slice(pair[0]..pair[1])).collect();
        let (out, _, seen) = through(strip, &pieces);
        prop_assert_eq!(String::from_utf8(out).unwrap(), kept);
        prop_assert_eq!(seen, events.iter().filter(|event| [TEXT, EXTRA].contains(event)).count());
    }
}

#[test]
fn an_event_that_is_too_long_goes_on_unread() {
    let long = format!("data: \"{}\"\n\n", "x".repeat(MOST_EVENT));
    let text = Bytes::from(format!("{long}{EXTRA}\n\n{DONE}\n\n"));
    for strip in [false, true] {
        let pieces: Vec<_> =
            (0..text.len()).step_by(1000).map(|at| text.slice(at..text.len().min(at + 1000))).collect();
        let (out, held, seen) = through(strip, &pieces);
        assert!(held <= MOST_EVENT);
        assert_eq!(seen, 1);
        let expected =
            if strip { format!("{long}{DONE}\n\n") } else { String::from_utf8(text.to_vec()).unwrap() };
        assert!(out == expected.as_bytes());
    }
}

#[test]
fn bytes_go_on_at_once_where_nothing_is_taken_out() {
    let mut stream = Stream::new(false);
    assert!(stream.feed(&Bytes::from_static(b"data: {\"cho"), |_| Continue(())).is_continue());
    assert_eq!(stream.next().as_deref(), Some(&b"data: {\"cho"[..]));
    assert!(stream.is_empty());
    let mut stream = Stream::new(true);
    assert!(stream.feed(&Bytes::from_static(b"data: 1\n\ndata: {\"cho"), |_| Continue(())).is_continue());
    assert_eq!(stream.next().as_deref(), Some(&b"data: 1\n\n"[..]));
    assert!(stream.next().is_none() && !stream.is_empty());
}

#[test]
fn what_is_broken_off_ends_with_the_event_that_did_it() {
    let text = format!("{DONE}\n\n{TEXT}\n\n{TEXT}\n\n{EXTRA}\n\n{TEXT}\n\n");
    let expected = format!("{DONE}\n\n{TEXT}\n\n{TEXT}\n\n");
    for strip in [false, true] {
        for at in 0..text.len() {
            let (mut stream, mut seen, mut out) = (Stream::new(strip), 0, Vec::new());
            for piece in [&text[..at], &text[at..]] {
                let flow = stream.feed(&Bytes::copy_from_slice(piece.as_bytes()), |_| {
                    seen += 1;
                    if seen == 2 { Break(()) } else { Continue(()) }
                });
                while let Some(bytes) = stream.next() {
                    out.extend_from_slice(&bytes);
                }
                if flow.is_break() {
                    break;
                }
            }
            assert!(stream.is_empty());
            assert_eq!(
                (seen, String::from_utf8(out).unwrap()),
                (2, expected.clone()),
                "strip: {strip}, at {at}"
            );
        }
    }
}
