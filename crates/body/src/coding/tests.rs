use std::io::{Read, Write};

use flate2::{Compression, write};
use http::{HeaderMap, HeaderValue, header};
use proptest::prelude::*;

use super::{MOST_PARTS, Unread, decoded};

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

/// The plain text in every coding.
fn encoded() -> [(&'static str, Vec<u8>); 5] {
    [
        ("gzip", gzip(&plain())),
        ("deflate", zlib(&plain())),
        ("deflate", deflate(&plain())),
        ("br", bytes(BR)),
        ("zstd", bytes(ZSTD)),
    ]
}

#[test]
fn each_coding_is_taken_off() {
    let others = [("X-GZip", gzip(&plain())), ("identity", plain())];
    for (coding, body) in encoded().into_iter().chain(others) {
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
    for (coding, body) in encoded() {
        for cut in [body.len() / 2, body.len() - 1] {
            assert_eq!(read(&[coding], &body[..cut], CAP), Err(Unread::Undecodable), "{coding} {cut}");
        }
        assert_eq!(read(&[coding], b"no such thing", CAP), Err(Unread::Undecodable), "{coding}");
    }
    assert_eq!(read(&["compress"], &plain(), CAP), Err(Unread::Undecodable));
}

#[test]
fn a_text_that_is_not_what_its_checksum_says_is_undecodable() {
    for (coding, mut body) in [("gzip", gzip(&plain())), ("deflate", zlib(&plain())), ("zstd", bytes(ZSTD))] {
        // The checksum of `gzip` is followed by the length.
        let at = body.len() - if coding == "gzip" { 5 } else { 1 };
        body[at] ^= 1;
        assert_eq!(read(&[coding], &body, CAP), Err(Unread::Undecodable), "{coding}");
    }
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
    for (coding, part) in [("zstd", bytes(ZSTD)), ("gzip", gzip(&plain()))] {
        let (parts, length) = (part.repeat(50), plain().len() * 50);
        assert_eq!(read(&[coding], &parts, length - 1), Err(Unread::TooLarge), "{coding}");
        assert_eq!(read(&[coding], &parts, length).unwrap().len(), length, "{coding}");
    }
    assert_eq!(read(&[], &plain(), plain().len() - 1), Err(Unread::TooLarge));
}

#[test]
fn parts_are_no_more_than_anybody_sends() {
    let skippable = [0x5a, 0x2a, 0x4d, 0x18, 0, 0, 0, 0].to_vec();
    for (coding, part) in [("gzip", gzip(b"")), ("zstd", bytes(ZSTD)), ("zstd", skippable)] {
        assert!(read(&[coding], &part.repeat(MOST_PARTS), CAP).is_ok(), "{coding}");
        let too_many = part.repeat(MOST_PARTS + 1);
        assert_eq!(read(&[coding], &too_many, CAP), Err(Unread::Undecodable), "{coding}");
    }
}

#[test]
fn nothing_comes_after_the_end() {
    for (coding, body) in encoded() {
        // The decoder of `br` reads 4,096 bytes at a time.
        for after in [1, 100, 4096 - body.len(), 10_000] {
            let longer = [body.clone(), vec![b'x'; after]].concat();
            assert_eq!(read(&[coding], &longer, CAP), Err(Unread::Undecodable), "{coding} {after}");
        }
        // Nor does another message, which some would read as well and others not.
        if coding == "deflate" || coding == "br" {
            assert_eq!(read(&[coding], &body.repeat(2), CAP), Err(Unread::Undecodable), "{coding}");
        }
    }
    // A stream that ends where what the decoder of `br` reads at a time does.
    let length = 4096 - 4_u16;
    let stored = u32::from(length - 1) << 4 | 1 << 20;
    let mut body = stored.to_le_bytes()[..3].to_vec();
    body.extend(vec![b' '; usize::from(length)]);
    body.push(3);
    assert_eq!((body.len(), read(&["br"], &body, CAP).unwrap().len()), (4096, usize::from(length)));
    body.push(b'x');
    assert_eq!(read(&["br"], &body, CAP), Err(Unread::Undecodable));
}

/// A bare stream whose first block begins with the header of zlib: who reads zlib first, and does
/// not mind its checksum, could be made to read something else.
#[test]
fn what_could_be_zlib_and_the_bare_stream_is_neither() {
    // The second byte of the header is the first of the block's length; the length inverted follows.
    let length = 0x019c_u16;
    let mut body = vec![0x78];
    body.extend(length.to_le_bytes());
    body.extend((!length).to_le_bytes());
    body.extend(vec![b' '; usize::from(length)]);
    // The last block, which is empty.
    body.extend([0x01, 0x00, 0x00, 0xff, 0xff]);
    let mut bare = Vec::new();
    flate2::read::DeflateDecoder::new(&body[..]).read_to_end(&mut bare).unwrap();
    assert_eq!(bare.len(), usize::from(length), "it is a stream to those who read it bare");
    assert_eq!(read(&["deflate"], &body, CAP), Err(Unread::Undecodable));
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
