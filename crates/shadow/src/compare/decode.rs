//! The body of an answer without its content coding, up to a cap.

use std::{
    borrow::Cow,
    io::{self, Read},
};

use http::{HeaderMap, header};
use ruzstd::decoding::StreamingDecoder;

/// The most codings, one upon the other, that are taken off.
const MOST_CODINGS: usize = 3;

/// The largest window of `zstd` that a client must have room for (RFC 9659).
const ZSTD_WINDOW: u64 = 8 << 20;

/// Why a body cannot be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unread {
    /// Its coding is not known, or it is damaged.
    Undecodable,
    /// It is larger than the cap.
    TooLarge,
}

/// The body as it was before it was encoded.
pub(super) fn decoded<'a>(headers: &HeaderMap, body: &'a [u8], cap: usize) -> Result<Cow<'a, [u8]>, Unread> {
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
        capped(flate2::read::MultiGzDecoder::new(body), cap)
    } else if is("deflate") {
        // Meant is zlib (RFC 9110); some servers send the bare stream.
        match capped(flate2::read::ZlibDecoder::new(body), cap) {
            Err(Unread::Undecodable) => capped(flate2::read::DeflateDecoder::new(body), cap),
            read => read,
        }
    } else if is("br") {
        capped(brotli_decompressor::Decompressor::new(body, 4096), cap)
    } else if is("zstd") {
        zstd(body, cap)
    } else {
        Err(Unread::Undecodable)
    }
}

/// All frames of a `zstd` body.
fn zstd(mut body: &[u8], cap: usize) -> Result<Vec<u8>, Unread> {
    let mut plain = Vec::new();
    while !body.is_empty() {
        if let Some(after) = skipped(body) {
            body = after?;
            continue;
        }
        let frame = StreamingDecoder::new_with_max_window_size(&mut body, ZSTD_WINDOW);
        let mut frame = frame.map_err(|_| Unread::Undecodable)?;
        plain.extend(capped(&mut frame, cap - plain.len())?);
    }
    Ok(plain)
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
