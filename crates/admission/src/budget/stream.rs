//! An event stream on its way through: read event by event, and one chunk taken out.
//!
//! Where nothing is to be taken out, bytes go on the moment they come, and only an event that
//! came in pieces is copied so that it can be read whole. Where the extra chunk is to be taken
//! out, an event goes on when it is whole: no client can use it before. Either way at most
//! [`MOST_EVENT`] is held; a longer event goes on unread.

use std::{collections::VecDeque, ops::ControlFlow};

use bytes::{Bytes, BytesMut};

use super::{
    chunk::Chunk,
    events::{Boundaries, data_of},
};

/// The longest event that is read, in bytes. The last event of OpenAI's responses repeats the
/// whole answer; 128,000 tokens of text fit.
pub const MOST_EVENT: usize = 1024 * 1024;

#[derive(Debug)]
pub(super) struct Stream {
    boundaries: Boundaries,
    /// What came of the event that is not whole.
    held: BytesMut,
    /// That event is too long, and goes on unread.
    overlong: bool,
    /// Whether the extra chunk is taken out.
    strip: bool,
    /// Whether the last event was taken out.
    removed: bool,
    out: VecDeque<Bytes>,
}

impl Stream {
    pub(super) fn new(strip: bool) -> Self {
        Self {
            boundaries: Boundaries::new(),
            held: BytesMut::new(),
            overlong: false,
            strip,
            removed: false,
            out: VecDeque::new(),
        }
    }

    /// Reads `bytes` and gives each event that is whole to `see`. Where that breaks it off, the
    /// event still goes on, and nothing after it.
    pub(super) fn feed(
        &mut self,
        bytes: &Bytes,
        mut see: impl FnMut(Chunk) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let between_events = self.held.is_empty() && !self.overlong;
        let mut at = if between_events { self.boundaries.line_feed(bytes) } else { 0 };
        // From here on nothing of `bytes` has gone on yet.
        let mut kept_from = if self.removed { at } else { 0 };
        while let Some(end) = self.boundaries.next_end(bytes.get(at..).unwrap_or_default()) {
            let end = at + end;
            let flow;
            (self.removed, flow) = self.event(bytes.get(at..end).unwrap_or_default(), &mut see);
            if self.removed {
                self.pass(bytes, kept_from, at);
                kept_from = end;
            }
            let held = std::mem::take(&mut self.held);
            if self.strip && !self.removed && !held.is_empty() {
                self.out.push_back(held.freeze());
            }
            self.overlong = false;
            at = end;
            if flow.is_break() {
                self.pass(bytes, kept_from, at);
                return flow;
            }
        }
        let tail = bytes.get(at..).unwrap_or_default();
        if !self.strip {
            self.out.push_back(bytes.clone());
            self.hold(tail);
        } else if self.overlong || self.held.len() + tail.len() > MOST_EVENT {
            self.overlong = true;
            self.flush();
            self.pass(bytes, kept_from, bytes.len());
        } else {
            self.pass(bytes, kept_from, at);
            self.hold(tail);
        }
        ControlFlow::Continue(())
    }

    /// This comes last.
    pub(super) fn add(&mut self, last: Bytes) {
        self.out.push_back(last);
    }

    /// The stream has ended: what is held is read and goes on.
    pub(super) fn end(&mut self, mut see: impl FnMut(Chunk) -> ControlFlow<()>) {
        if self.event(&[], &mut see).0 {
            self.held.clear();
        } else if self.strip {
            self.flush();
        }
    }

    /// What goes on to the client next.
    pub(super) fn next(&mut self) -> Option<Bytes> {
        self.out.pop_front()
    }

    /// Whether anything is still to go on.
    pub(super) fn is_empty(&self) -> bool {
        self.out.is_empty() && (!self.strip || self.held.is_empty())
    }

    /// Reads an event that ends with `last`; says whether it is taken out, and whether the
    /// stream goes on after it.
    fn event(
        &mut self,
        last: &[u8],
        see: &mut impl FnMut(Chunk) -> ControlFlow<()>,
    ) -> (bool, ControlFlow<()>) {
        let unread = (false, ControlFlow::Continue(()));
        if self.overlong || (!self.held.is_empty() && self.held.len() + last.len() > MOST_EVENT) {
            return unread;
        }
        let chunk = if self.held.is_empty() {
            read(last)
        } else {
            let mut whole = std::mem::take(&mut self.held);
            let before = whole.len();
            whole.extend_from_slice(last);
            let chunk = read(&whole);
            whole.truncate(before);
            self.held = whole;
            chunk
        };
        let Some(chunk) = chunk else { return unread };
        (self.strip && chunk.only_tells_usage(), see(chunk))
    }

    fn hold(&mut self, tail: &[u8]) {
        if self.overlong || self.held.len() + tail.len() > MOST_EVENT {
            self.overlong = true;
            self.held = BytesMut::new();
        } else {
            self.held.extend_from_slice(tail);
        }
    }

    fn flush(&mut self) {
        let held = std::mem::take(&mut self.held);
        if !held.is_empty() {
            self.out.push_back(held.freeze());
        }
    }

    fn pass(&mut self, bytes: &Bytes, from: usize, to: usize) {
        if from < to {
            self.out.push_back(bytes.slice(from..to));
        }
    }
}

fn read(event: &[u8]) -> Option<Chunk> {
    data_of(event).and_then(|data| Chunk::read(&data))
}

#[cfg(test)]
mod tests;
