//! Why it could not be told what a request does.
//!
//! On some routes the body tells whether a request reads or writes. Where it cannot be read,
//! the request goes on as a write: a freeze refuses it, and without one it passes as any write
//! does. The doubt is kept, so that who is refused learns why, and so that it is counted.

/// What stood in the way of reading the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It is larger than what is read, encoded or decoded.
    Large,
    /// Its content coding is unknown, damaged, or one upon another.
    Coding,
    /// It is not JSON of the expected form, or JSON that two readers may read differently.
    Form,
    /// The client waits for `100 Continue` before it sends it.
    Waits,
    /// It broke off, or did not come in time.
    Broken,
    /// All bodies that are held take all the room there is.
    NoRoom,
}

impl Doubt {
    /// The name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Large => "large",
            Self::Coding => "coding",
            Self::Form => "form",
            Self::Waits => "waits",
            Self::Broken => "broken",
            Self::NoRoom => "no_room",
        }
    }

    /// What a client is told.
    #[must_use]
    pub const fn told(self) -> &'static str {
        match self {
            Self::Large => "its body is larger than what is read to tell; send a smaller one",
            Self::Coding => {
                "its content coding cannot be read; send it plain, or in one of gzip, deflate, br and zstd"
            }
            Self::Form => "its body is not application/json in UTF-8 that can be read in one way only",
            Self::Waits => "it waits for 100 Continue; send the body without Expect",
            Self::Broken => "its body broke off or did not come in time",
            Self::NoRoom => "too many bodies are being held at this moment; send it again",
        }
    }
}
