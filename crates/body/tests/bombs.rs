//! What a few bytes make a decoder spend, counted by an allocator.
#![allow(clippy::unwrap_used)]

use std::io::Write;

use http::{HeaderMap, HeaderValue, header};
use sluicegate_body::coding::{Unread, decoded};

const CAP: usize = 64 * 1024;

/// The cap a few times over, and the decoder's tables.
const BOUND: u64 = 4 << 20;

/// 128 MiB of zeros in a window of 1 GiB, which is no part of HTTP's `br`.
const LARGE_WINDOW: &str = "111effffff01900088c70221f7fe9fffffff004800c46101a07bffcfffff7f002400e2b000d0bdffe7ffff3f0\
    01200715800e8defff3ffff1f000980382c0074effff9ffff0f8004401c1600baf7fffcffff074002200e0b00ddfb7ffeffff0320011087058\
    0eefdff";

/// 16 MiB of zeros in a window of that size.
const BR: &str = "cfffff7f002400e2b14072efff07";

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().chunks_exact(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn gzip() -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![0; 16 << 20]).unwrap();
    encoder.finish().unwrap()
}

/// 8 MiB of zeros in a window of that size, in blocks of 128 KiB that name their byte once.
fn zstd() -> Vec<u8> {
    let block = |last: u8| [2 | last, 0, 0x10, 0];
    let head = bytes("28b52ffd0068");
    [head, block(0).repeat(63), block(1).to_vec()].concat()
}

#[test]
fn a_bomb_costs_no_more_than_a_few_times_the_cap() {
    for (name, coding, body, expected) in [
        // What says that it is `br` and is not is damaged.
        ("a large window", "br", bytes(LARGE_WINDOW), Unread::Undecodable),
        ("16 MiB", "br", bytes(BR), Unread::TooLarge),
        ("8 MiB", "zstd", zstd(), Unread::TooLarge),
        ("16 MiB", "gzip", gzip(), Unread::TooLarge),
    ] {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        let mut found = None;
        let spent = allocation_counter::measure(|| {
            found = Some(decoded(&headers, &body, CAP).map(|plain| plain.len()));
        });
        println!("{coding}, {name}: {} bytes make {} bytes spent", body.len(), spent.bytes_max);
        assert_eq!(found.unwrap(), Err(expected), "{coding}, {name}");
        assert!(spent.bytes_max < BOUND, "{coding}, {name}: {} bytes", spent.bytes_max);
    }
}
