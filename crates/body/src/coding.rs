//! A body without its content coding, up to a cap.
//!
//! `gzip`, `deflate`, `br` and `zstd`, also one upon the other. What is decoded is never more
//! than the cap, however little it was before: a bomb costs a few times the cap and the decoder's
//! own tables (below 4 MiB for the worst), and no more. Decoders that write into a window of the
//! sender's choice, which may be a thousand times the cap, get no more room than the cap needs. What
//! comes after the end of a stream makes the whole unreadable, since some readers would take no
//! notice of it.

use std::{
    borrow::Cow,
    io::{self, Read},
};

use http::{HeaderMap, header};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

mod brotli;

/// The most codings, one upon the other, that are taken off.
const MOST_CODINGS: usize = 3;

/// The most members of a `gzip` body, or frames of a `zstd` one. One is usual; each is set up anew,
/// so that a body of empty ones would cost more time than its bytes are worth.
const MOST_PARTS: usize = 64;

/// The largest window of `zstd` that a client must have room for (RFC 9659).
const ZSTD_WINDOW: u64 = 8 << 20;

/// Why a body cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unread {
    /// Its coding is not known, or it is damaged.
    Undecodable,
    /// It is larger than the cap.
    TooLarge,
}

/// The body as it was before it was encoded.
pub fn decoded<'a>(headers: &HeaderMap, body: &'a [u8], cap: usize) -> Result<Cow<'a, [u8]>, Unread> {
    let codings = codings(headers).ok_or(Unread::Undecodable)?;
    let mut plain = Cow::Borrowed(body);
    // The last one was put on last.
    for coding in codings.iter().rev() {
        plain = Cow::Owned(without(coding, &plain, cap)?);
    }
    if plain.len() > cap { Err(Unread::TooLarge) } else { Ok(plain) }
}

/// The codings in the order in which they were put on, without `identity`; none where there are
/// too many or their names are no text.
fn codings(headers: &HeaderMap) -> Option<Vec<&str>> {
    let mut codings = Vec::new();
    for value in headers.get_all(header::CONTENT_ENCODING) {
        let names = value.to_str().ok()?.split(',').map(str::trim);
        codings.extend(names.filter(|name| !name.is_empty() && !name.eq_ignore_ascii_case("identity")));
    }
    (codings.len() <= MOST_CODINGS).then_some(codings)
}

fn without(coding: &str, body: &[u8], cap: usize) -> Result<Vec<u8>, Unread> {
    let is = |name: &str| coding.eq_ignore_ascii_case(name);
    // Answers to which nothing was to be said are sent with a coding and without a body.
    if body.is_empty() {
        return Ok(Vec::new());
    }
    if is("gzip") || is("x-gzip") {
        gzip(body, cap)
    } else if is("deflate") {
        deflate(body, cap)
    } else if is("br") {
        brotli::plain(body, cap)
    } else if is("zstd") {
        zstd(body, cap)
    } else {
        Err(Unread::Undecodable)
    }
}

/// All members of a `gzip` body.
fn gzip(mut body: &[u8], cap: usize) -> Result<Vec<u8>, Unread> {
    let mut plain = Vec::new();
    for _ in 0..MOST_PARTS {
        let member = flate2::bufread::GzDecoder::new(&mut body);
        plain.extend(capped(member, cap - plain.len())?);
        if body.is_empty() {
            return Ok(plain);
        }
    }
    Err(Unread::Undecodable)
}

/// Meant is zlib (RFC 9110); some send the bare stream. What could be either is neither: it could
/// be made to say one thing to the one reader and another to the other.
fn deflate(body: &[u8], cap: usize) -> Result<Vec<u8>, Unread> {
    let mut bare = flate2::bufread::DeflateDecoder::new(body);
    let is_bare = capped(&mut bare, cap);
    // RFC 1950, 2.2.
    let is_headed = matches!(body, [method, flags, ..] if method & 15 == 8 && (u16::from(*method) << 8 | u16::from(*flags)).is_multiple_of(31));
    if !is_headed {
        return whole(is_bare, bare.total_in(), body);
    }
    if is_bare != Err(Unread::Undecodable) {
        return Err(Unread::Undecodable);
    }
    let mut headed = flate2::bufread::ZlibDecoder::new(body);
    let plain = capped(&mut headed, cap);
    whole(plain, headed.total_in(), body)
}

/// What was read of a stream that goes up to the end of the body.
fn whole(read: Result<Vec<u8>, Unread>, length: u64, body: &[u8]) -> Result<Vec<u8>, Unread> {
    read.and_then(|plain| if length == body.len() as u64 { Ok(plain) } else { Err(Unread::Undecodable) })
}

/// All frames of a `zstd` body.
fn zstd(mut body: &[u8], cap: usize) -> Result<Vec<u8>, Unread> {
    let mut plain = Vec::new();
    for _ in 0..MOST_PARTS {
        if let Some(after) = skipped(body) {
            body = after?;
        } else {
            plain.extend(frame(&mut body, cap - plain.len())?);
        }
        if body.is_empty() {
            return Ok(plain);
        }
    }
    Err(Unread::Undecodable)
}

/// The frame that the body begins with. Read as a stream it would be decoded up to its window before
/// anything is given; block by block (128 KiB) it ends soon after the cap.
fn frame(body: &mut &[u8], cap: usize) -> Result<Vec<u8>, Unread> {
    let mut decoder = FrameDecoder::new();
    decoder.set_max_window_size(ZSTD_WINDOW);
    decoder.init(&mut *body).map_err(|_| Unread::Undecodable)?;
    let enough = BlockDecodingStrategy::UptoBytes(cap.saturating_add(1));
    let whole = decoder.decode_blocks(&mut *body, enough).map_err(|_| Unread::Undecodable)?;
    if !whole {
        return Err(Unread::TooLarge);
    }
    let plain = decoder.collect().unwrap_or_default();
    let told = decoder.get_checksum_from_data();
    if told.is_some() && told != decoder.get_calculated_checksum() {
        return Err(Unread::Undecodable);
    }
    if plain.len() > cap { Err(Unread::TooLarge) } else { Ok(plain) }
}

/// What comes after a frame that holds nothing (RFC 8878, 3.1.2), where the body begins with one.
fn skipped(body: &[u8]) -> Option<Result<&[u8], Unread>> {
    let (head, rest) = body.split_first_chunk::<8>()?;
    let [magic @ .., a, b, c, d] = *head;
    if !matches!(magic, [0x50..=0x5f, 0x2a, 0x4d, 0x18]) {
        return None;
    }
    let length = usize::try_from(u32::from_le_bytes([a, b, c, d])).unwrap_or(usize::MAX);
    Some(rest.get(length..).ok_or(Unread::Undecodable))
}

/// What a decoder gives, which must not be more than the cap.
fn capped(decoder: impl Read, cap: usize) -> Result<Vec<u8>, Unread> {
    let mut plain = Vec::new();
    let limit = u64::try_from(cap).unwrap_or(u64::MAX).saturating_add(1);
    let read: io::Result<usize> = decoder.take(limit).read_to_end(&mut plain);
    match read {
        _ if plain.len() > cap => Err(Unread::TooLarge),
        Ok(_) => Ok(plain),
        Err(_) => Err(Unread::Undecodable),
    }
}

#[cfg(test)]
mod tests;
