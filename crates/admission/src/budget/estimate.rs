//! How many tokens a request may take, before a model has counted them.
//!
//! The prompt is counted by length, not by a tokenizer: tokenizers differ by model, and a
//! tenant's budget must not hang on the gateway's knowing all of them. The rule: one token
//! for each four bytes of ASCII, the figure that OpenAI gives for English text ("What are
//! tokens and how to count them?", OpenAI help center; Anthropic's is 3.5), and one for each
//! character beyond ASCII, of which most scripts need about one each. It is taken over the
//! whole body, so that the JSON around the text stands for the tokens that chat templates put
//! around messages. Pictures and files in the body (base64) count [`MEDIA_TOKENS`] each
//! whatever their length. Numbers of the answer correct all this in the end, and raise the
//! estimates of those after it ([`learned`](super::learned)).

/// What a picture or file in the body counts: what Anthropic states for the largest picture
/// that is not scaled down (1568 pixels wide, pixels / 750); OpenAI's are of the same size.
pub const MEDIA_TOKENS: u64 = 1600;

/// Bytes of ASCII text in one token.
const BYTES_PER_TOKEN: u64 = 4;

/// The most tokens a request is expected to take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// Of its prompt.
    pub prompt: u64,
    /// Of its answer.
    pub output: u64,
    /// Whether the request names the most that its answer may take; else `output` is a guess.
    pub limited: bool,
}

impl Estimate {
    /// Both together.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.prompt.saturating_add(self.output)
    }
}

/// The tokens of so many bytes of text, of which nothing else is known.
#[must_use]
pub const fn tokens_of(bytes: u64) -> u64 {
    bytes.div_ceil(BYTES_PER_TOKEN)
}

/// The tokens of a body that holds `media` pictures or files, `media_bytes` long together.
pub(super) fn tokens_of_body(body: &[u8], media: u64, media_bytes: u64) -> u64 {
    let (mut ascii, mut beyond) = (0u64, 0u64);
    for byte in body {
        // Each character beyond ASCII has one byte of 0b11......, and others of 0b10.......
        ascii += u64::from(byte.is_ascii());
        beyond += u64::from(*byte >= 0xc0);
    }
    tokens_of(ascii.saturating_sub(media_bytes)) + beyond + media.saturating_mul(MEDIA_TOKENS)
}

#[cfg(test)]
mod tests {
    use super::{MEDIA_TOKENS, tokens_of_body};

    #[test]
    fn a_prompt_is_counted_by_its_length() {
        assert_eq!(tokens_of_body(b"", 0, 0), 0);
        assert_eq!(tokens_of_body(b"four", 0, 0), 1);
        assert_eq!(tokens_of_body(b"fives", 0, 0), 2);
        assert_eq!(tokens_of_body("数到一百".as_bytes(), 0, 0), 4);
        assert_eq!(tokens_of_body(&[b'A'; 4008], 1, 4000), 2 + MEDIA_TOKENS);
    }
}
