//! `br`, with no more room than the cap needs.
//!
//! The decoder writes into a ring that is as large as what it has announced, up to a window of the
//! sender's choice, and gives nothing before that is full: a few bytes could make it fill 16 MiB, or
//! 1 GiB where it takes the large windows that are no part of HTTP's `br` (RFC 7932). A ring larger
//! than the cap is for a text larger than the cap, so it is not given one.

use std::{cell::Cell, io::Read};

use brotli_decompressor::{
    Allocator, BrotliDecoderParameter::BROTLI_DECODER_PARAM_LARGE_WINDOW as LARGE_WINDOW, StandardAlloc,
    reader::DecompressorCustomAlloc,
};

use super::{Unread, capped};

/// What the decoder adds to a ring, and more.
const SLACK: usize = 4096;

/// The least that an allocation may have: context maps take up to 16 KiB.
const LEAST: usize = 64 * 1024;

/// So much of the body is read at a time.
const AT_A_TIME: usize = 4096;

type Cell8 = <StandardAlloc as Allocator<u8>>::AllocatedMemory;

/// Gives room up to a limit, and notes that more was asked for.
struct Bounded<'a> {
    most: usize,
    refused: &'a Cell<bool>,
}

impl Allocator<u8> for Bounded<'_> {
    type AllocatedMemory = Cell8;

    fn alloc_cell(&mut self, length: usize) -> Cell8 {
        if length > self.most {
            self.refused.set(true);
            return Cell8::default();
        }
        StandardAlloc::default().alloc_cell(length)
    }

    fn free_cell(&mut self, cell: Cell8) {
        drop(cell);
    }
}

/// A stream after which nothing comes.
pub(super) fn plain(body: &[u8], cap: usize) -> Result<Vec<u8>, Unread> {
    let (mut rest, refused) = (body, Cell::new(false));
    let ring = cap.max(LEAST).checked_next_power_of_two().unwrap_or(usize::MAX);
    let bounded = Bounded { most: ring.saturating_add(SLACK), refused: &refused };
    let buffer: Cell8 = StandardAlloc::default().alloc_cell(AT_A_TIME);
    let tables = (StandardAlloc::default(), StandardAlloc::default());
    let mut decoder = DecompressorCustomAlloc::new(&mut rest, buffer, bounded, tables.0, tables.1);
    decoder.set_parameter(LARGE_WINDOW, 0);
    let plain =
        capped(&mut decoder, cap).map_err(|unread| if refused.get() { Unread::TooLarge } else { unread })?;
    // Asked again at its end, the decoder complains of what it took and did not use.
    let has_more = decoder.read(&mut [0]).is_err();
    drop(decoder);
    if has_more || !rest.is_empty() { Err(Unread::Undecodable) } else { Ok(plain) }
}
