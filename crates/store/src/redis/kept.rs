//! What the journals remember, and how it is written again.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use ::redis::ScriptInvocation;
use bytes::Bytes;

use super::{
    journal::{Kept, Remembered},
    scripts::SCRIPTS,
    wire::{id_arg, millis, put_write, tag_arg},
};
use crate::{
    queue::{EntryId, EntryState},
    record::{Bounds, Put, RecordKey, Tag},
};

/// A write of a record; none is its removal.
#[derive(Clone, Debug)]
pub(super) struct RecordWrite(pub(super) Option<Put>);

impl Remembered for RecordWrite {
    fn tag(&self) -> Option<Tag> {
        self.0.as_ref().map(|put| put.tag)
    }

    fn held(&self) -> bool {
        self.0.as_ref().is_some_and(|put| put.held)
    }

    fn bytes(&self) -> usize {
        64 + self.0.as_ref().map_or(0, |put| put.value.len())
    }
}

/// What never changes of an entry.
#[derive(Debug)]
pub(super) struct EntryBody {
    pub(super) line: Box<str>,
    pub(super) owner: Box<str>,
    pub(super) value: Bytes,
}

/// A change of an entry.
#[derive(Clone, Debug)]
pub(super) struct EntryWrite {
    pub(super) tag: Tag,
    pub(super) state: EntryState,
    pub(super) note: Bytes,
    pub(super) delay: Duration,
    pub(super) ttl: Duration,
    pub(super) body: Arc<EntryBody>,
}

impl Remembered for EntryWrite {
    fn tag(&self) -> Option<Tag> {
        Some(self.tag)
    }

    fn held(&self) -> bool {
        self.state == EntryState::Applying
    }

    fn bytes(&self) -> usize {
        128 + self.note.len() + self.body.value.len()
    }
}

/// The call that writes a record again.
pub(super) fn restore(
    prefix: &str,
    key: RecordKey,
    kept: &Kept<RecordWrite>,
    lease: Duration,
    started_anew: bool,
) -> ScriptInvocation<'static> {
    let mut call = SCRIPTS.restore.key(prefix);
    call.arg(u8::from(started_anew)).arg(&key.0[..]);
    put_before(&mut call, &kept.before);
    let put = kept.write.0.clone().map(|put| Put { ttl: left(put.ttl, kept.at), ..put });
    put_write(&mut call, put.as_ref(), lease, Bounds::default());
    call
}

/// The call that writes an entry again.
pub(super) fn restore_entry(
    prefix: &str,
    id: EntryId,
    kept: &Kept<EntryWrite>,
    lease: Duration,
    started_anew: bool,
) -> ScriptInvocation<'static> {
    let EntryWrite { tag, state, note, delay, ttl, body } = &kept.write;
    let mut call = SCRIPTS.restore_entry.key(prefix);
    call.arg(u8::from(started_anew)).arg(id_arg(id));
    put_before(&mut call, &kept.before);
    call.arg(&tag_arg(*tag)[..]).arg(&*body.line).arg(&*body.owner).arg(&body.value[..]).arg(&note[..]);
    call.arg(*state as u8)
        .arg(millis(left(*delay, kept.at)))
        .arg(millis(left(*ttl, kept.at)))
        .arg(millis(lease));
    call
}

fn put_before(call: &mut ScriptInvocation<'_>, before: &[Tag]) {
    call.arg(before.len());
    for tag in before {
        call.arg(&tag_arg(*tag)[..]);
    }
}

fn left(span: Duration, since: Instant) -> Duration {
    span.saturating_sub(since.elapsed())
}
