//! Signatures as Standard Webhooks 1.0 has them.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use hmac::{Hmac, Mac};
use sha2::Sha256;

/// How secrets begin.
const PREFIX: &str = "whsec_";

/// A secret that messages are signed with.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

impl Secret {
    /// Reads `whsec_` and base64. What is wrong is told without the text: it may be nearly right.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let made_by = "`echo whsec_$(openssl rand -base64 32)` makes one";
        let encoded = text
            .trim()
            .strip_prefix(PREFIX)
            .ok_or_else(|| format!("is no secret: it must begin with `{PREFIX}`; {made_by}"))?;
        let bytes = STANDARD
            .decode(encoded)
            .map_err(|_| format!("is no secret: base64 must follow `{PREFIX}`; {made_by}"))?;
        if !(24..=64).contains(&bytes.len()) {
            return Err(format!("is a secret of {} bytes; it must have 24 to 64; {made_by}", bytes.len()));
        }
        Ok(Self(bytes))
    }

    /// Reads one secret from each line.
    pub(crate) fn read_lines(text: &str) -> Result<Vec<Self>, String> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        let secrets: Vec<_> = lines.map(Self::read).collect::<Result<_, _>>()?;
        if secrets.is_empty() {
            return Err("holds no secret; `echo whsec_$(openssl rand -base64 32)` makes one".to_owned());
        }
        Ok(secrets)
    }
}

/// The value of `webhook-signature`: one signature for each secret.
pub(crate) fn signature(secrets: &[Secret], id: &str, timestamp: i64, body: &[u8]) -> String {
    let one = |secret: &Secret| {
        // Keys of any length are taken.
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret.0).ok()?;
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        Some(format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes())))
    };
    secrets.iter().filter_map(one).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::{Secret, signature};

    /// The worked example of the Standard Webhooks libraries.
    #[test]
    fn a_signature_is_what_the_standards_own_libraries_make() {
        let secret = Secret::read("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (id, body) = ("msg_p5jXN8AQM9LWM0D4loKWxJek", br#"{"test": 2432232314}"#);
        let expected = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signature(std::slice::from_ref(&secret), id, 1_614_265_330, body), expected);
        let two = signature(&[secret.clone(), secret], id, 1_614_265_330, body);
        assert_eq!(two, format!("{expected} {expected}"));
    }

    #[test]
    fn secrets_are_refused_without_being_told() {
        for (text, words) in [
            ("s3cret", "must begin with `whsec_`"),
            ("whsec_s3cret!", "base64 must follow"),
            ("whsec_c2hvcnQ=", "is a secret of 5 bytes; it must have 24 to 64"),
        ] {
            let message = Secret::read(text).unwrap_err();
            assert!(message.contains(words) && !message.contains("s3cret"), "{message}");
        }
        assert!(Secret::read_lines("\n \n").is_err());
        let line = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        assert_eq!(Secret::read_lines(&format!("{line}\n\n{line}\n")).unwrap().len(), 2);
        assert_eq!(format!("{:?}", Secret::read(line).unwrap()), "Secret([redacted])");
    }
}
