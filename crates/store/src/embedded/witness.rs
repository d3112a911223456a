//! A second account of how many rounds there were, kept beside the engine's own files.
//!
//! The engine takes a journal that ends too early for one that a crash has cut off, and goes
//! on with what is left. That is right for a round that nobody was told of, and wrong for a
//! file that was damaged: fences would be gone without a word, and writes be done twice. So
//! each round carries its number, and the last number is also written here, after the round
//! has been handed to the system and before it is answered. A store that knows of fewer
//! rounds than were answered is damaged.
//!
//! When the machine itself has gone down, rounds that were not synced may rightly be lost:
//! the last synced number is kept too, and it alone counts once the machine has been started
//! anew.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::Path,
};

use sha2::{Digest, Sha256};

const BYTES: usize = 32;

/// The account, and its file.
#[derive(Debug)]
pub(super) struct Witness {
    file: File,
    /// Which start of the machine this is.
    boot: u64,
    seen: Seen,
}

/// What was written last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seen {
    boot: u64,
    synced: u64,
    made: u64,
}

impl Seen {
    fn encode(self) -> [u8; BYTES] {
        let mut bytes = [0; BYTES];
        for (place, number) in bytes.chunks_exact_mut(8).zip([self.boot, self.synced, self.made]) {
            place.copy_from_slice(&number.to_be_bytes());
        }
        let check = digest(&bytes[..BYTES - 8]);
        bytes[BYTES - 8..].copy_from_slice(&check.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, check) = bytes.split_last_chunk::<8>()?;
        let number = |at: usize| Some(u64::from_be_bytes(*body.get(at * 8..)?.first_chunk()?));
        let seen = Self { boot: number(0)?, synced: number(1)?, made: number(2)? };
        (bytes.len() == BYTES && u64::from_be_bytes(*check) == digest(body)).then_some(seen)
    }
}

impl Witness {
    /// Makes the account of a new store.
    pub(super) fn make(path: &Path) -> io::Result<()> {
        fs::write(path, Seen::default().encode())?;
        File::open(path)?.sync_all()
    }

    /// Reads the account; none where it cannot be understood.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let bytes = fs::read(path)?;
        let file = OpenOptions::new().write(true).open(path)?;
        Ok(Seen::decode(&bytes).map(|seen| Self { file, boot: this_boot(), seen }))
    }

    /// Why a store that knows of `rounds` rounds is not whole.
    pub(super) fn contradicts(&self, rounds: u64) -> Option<String> {
        // A machine that does not tell its starts apart counts as started anew each time.
        let same = self.boot != 0 && self.boot == self.seen.boot;
        let least = if same { self.seen.made } else { self.seen.synced };
        (rounds < least).then(|| format!("the last {} rounds of its writes are missing", least - rounds))
    }

    /// Notes that this round has been made.
    pub(super) fn note(&mut self, round: u64, synced: bool) -> io::Result<()> {
        let synced = if synced { round } else { self.seen.synced };
        self.seen = Seen { boot: self.boot, synced, made: round };
        self.file.write_all_at(&self.seen.encode(), 0)
    }
}

fn digest(bytes: &[u8]) -> u64 {
    let digest = Sha256::digest(bytes);
    digest.iter().take(8).fold(0, |sum, byte| sum << 8 | u64::from(*byte))
}

/// A number of this start of the machine; 0 where the system does not tell.
fn this_boot() -> u64 {
    fs::read("/proc/sys/kernel/random/boot_id").map_or(0, |id| digest(&id))
}

#[cfg(test)]
mod tests {
    use super::{Seen, Witness};

    #[test]
    fn rounds_that_were_answered_are_missed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rounds");
        Witness::make(&path).unwrap();
        let mut witness = Witness::open(&path).unwrap().unwrap();
        assert_eq!(witness.contradicts(0), None);
        witness.note(7, true).unwrap();
        witness.note(9, false).unwrap();
        let mut again = Witness::open(&path).unwrap().unwrap();
        assert_eq!((again.contradicts(9), again.contradicts(10)), (None, None));
        assert!(again.contradicts(8).unwrap().contains("last 1 rounds"));
        // Another start of the machine.
        again.boot += 1;
        assert_eq!(again.contradicts(7), None);
        assert!(again.contradicts(6).is_some());
    }

    #[test]
    fn an_account_that_was_damaged_is_not_believed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rounds");
        let whole = Seen { boot: 1, synced: 2, made: 3 }.encode();
        for at in 0..whole.len() {
            let mut bytes = whole;
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            assert!(Witness::open(&path).unwrap().is_none());
        }
        std::fs::write(&path, &whole[..31]).unwrap();
        assert!(Witness::open(&path).unwrap().is_none());
    }
}
