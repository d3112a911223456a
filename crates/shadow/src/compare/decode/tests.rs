use std::io::Write;

use flate2::{Compression, write};
use http::{HeaderMap, HeaderValue, header};
use proptest::prelude::*;

use super::{Unread, decoded};

const CAP: usize = 1 << 20;

/// The plain text of [`BR`] and [`ZSTD`], which the reference encoders made.
fn plain() -> Vec<u8> {
    "Sluicegate compares answers. ".repeat(8).into_bytes()
}

const BR: &str = "1be700f8c56d6c5de7772c1189a0576523050d962ce4625471be9dd205993d862e00";
const ZSTD: &str =
    "28b52ffd0468250100e8536c756963656761746520636f6d706172657320616e73776572732e2001002101a59cbf05d2e2";

/// 4 MiB of zeros.
const BR_BOMB: &str = "9bffff3ff82560e2b14020f7fe07";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

fn headers(codings: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for coding in codings {
        headers.append(header::CONTENT_ENCODING, HeaderValue::from_str(coding).unwrap());
    }
    headers
}

fn read(codings: &[&str], body: &[u8], cap: usize) -> Result<Vec<u8>, Unread> {
    decoded(&headers(codings), body, cap).map(std::borrow::Cow::into_owned)
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = write::GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn zlib(body: &[u8]) -> Vec<u8> {
    let mut encoder = write::ZlibEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

fn deflate(body: &[u8]) -> Vec<u8> {
    let mut encoder = write::DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn each_coding_is_taken_off() {
    let all: [(&str, Vec<u8>); 7] = [
        ("gzip", gzip(&plain())),
        ("X-GZip", gzip(&plain())),
        ("deflate", zlib(&plain())),
        ("deflate", deflate(&plain())),
        ("br", bytes(BR)),
        ("zstd", bytes(ZSTD)),
        ("identity", plain()),
    ];
    for (coding, body) in all {
        assert_eq!(read(&[coding], &body, CAP), Ok(plain()), "{coding}");
    }
    assert_eq!(read(&[], &plain(), CAP), Ok(plain()));
}

#[test]
fn several_codings_are_taken_off_from_the_last() {
    let twice = gzip(&bytes(BR));
    assert_eq!(read(&["br, gzip"], &twice, CAP), Ok(plain()));
    assert_eq!(read(&["br", "gzip"], &twice, CAP), Ok(plain()));
    assert_eq!(read(&["gzip, br"], &twice, CAP), Err(Unread::Undecodable));
    assert_eq!(read(&["br, br, br, br"], &bytes(BR), CAP), Err(Unread::Undecodable));
}

#[test]
fn all_members_and_frames_are_read() {
    let members = [gzip(b"one "), gzip(b"two")].concat();
    assert_eq!(read(&["gzip"], &members, CAP), Ok(b"one two".to_vec()));
    let skippable = [0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
    let frames = [bytes(ZSTD), skippable.to_vec(), bytes(ZSTD)].concat();
    assert_eq!(read(&["zstd"], &frames, CAP), Ok(plain().repeat(2)));
    assert_eq!(read(&["zstd"], &skippable[..9], CAP), Err(Unread::Undecodable));
}

#[test]
fn what_is_damaged_cut_or_unknown_is_undecodable() {
    for (coding, body) in [("gzip", gzip(&plain())), ("br", bytes(BR)), ("zstd", bytes(ZSTD))] {
        assert_eq!(read(&[coding], &body[..body.len() / 2], CAP), Err(Unread::Undecodable), "{coding}");
        assert_eq!(read(&[coding], b"no such thing", CAP), Err(Unread::Undecodable), "{coding}");
    }
    assert_eq!(read(&["compress"], &plain(), CAP), Err(Unread::Undecodable));
}

#[test]
fn an_empty_body_is_empty_in_every_coding() {
    for coding in ["gzip", "deflate", "br", "zstd"] {
        assert_eq!(read(&[coding], b"", CAP), Ok(Vec::new()));
    }
}

#[test]
fn the_cap_holds_for_what_comes_out() {
    let zeros = vec![0; 4 << 20];
    let all = [("gzip", gzip(&zeros)), ("deflate", zlib(&zeros)), ("br", bytes(BR_BOMB))];
    for (coding, body) in all {
        assert!(body.len() < 8192);
        assert_eq!(read(&[coding], &body, CAP), Err(Unread::TooLarge), "{coding}");
        assert_eq!(read(&[coding], &body, 4 << 20).unwrap().len(), 4 << 20, "{coding}");
    }
    let frames = bytes(ZSTD).repeat(100);
    assert_eq!(read(&["zstd"], &frames, plain().len() * 100 - 1), Err(Unread::TooLarge));
    assert_eq!(read(&["zstd"], &frames, plain().len() * 100).unwrap().len(), plain().len() * 100);
    assert_eq!(read(&[], &plain(), plain().len() - 1), Err(Unread::TooLarge));
}

#[test]
fn a_window_larger_than_a_client_needs_is_refused() {
    // A frame header that asks for a window of 2 GiB.
    let greedy = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];
    assert_eq!(read(&["zstd"], &greedy, CAP), Err(Unread::Undecodable));
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(
        coding in 0usize..4,
        body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let coding = ["gzip", "deflate", "br", "zstd"][coding];
        let _ = read(&[coding], &body, 4096);
    }

    #[test]
    fn no_damage_makes_a_decoder_panic(
        coding in 0usize..4,
        hits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let (coding, mut body) = match coding {
            0 => ("gzip", gzip(&plain())),
            1 => ("deflate", zlib(&plain())),
            2 => ("br", bytes(BR)),
            _ => ("zstd", bytes(ZSTD)),
        };
        for (at, value) in hits {
            let at = at.index(body.len());
            body[at] = value;
        }
        let _ = read(&[coding], &body, 4096);
    }
}
