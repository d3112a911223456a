//! Whether a token holds.
//!
//! In order, and whatever fails first is what is told: it can be read; its algorithm is one that
//! may be used; a key is known that may have signed it; it did; issuer and audience are the right
//! ones; it holds now, by the gateway's clock and give or take `leeway`.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use http::{HeaderMap, HeaderValue, header};
use jsonwebtoken::{Validation, decode, decode_header, errors::ErrorKind};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use sluicegate_core::{Claims, Clock, Code, Refusal, claims::VerifyTokens};

use crate::{
    home::Source,
    input::{JwtSettings, KeysFrom},
    metrics::Metrics,
    remembered::{TokenDigest, Verified, digest},
};

/// A longer one is no token of anybody's.
const LONGEST: usize = 16 * 1024;

/// How soon it is worth asking again where there are no keys yet.
const NO_KEYS_RETRY: Duration = Duration::from_secs(2);

/// Verifies tokens by one snapshot's settings and the keys that there are now.
#[derive(Debug)]
pub struct Verifier {
    settings: JwtSettings,
    /// Of what tokens are held against, beside the keys.
    against: TokenDigest,
    pub(crate) source: Arc<Source>,
    clock: Clock,
    metrics: Metrics,
}

macro_rules! verdicts {
    ($($name:ident, $word:literal, $about:literal;)*) => {
        /// What a token was found to be.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Verdict { $($name,)* }

        impl Verdict {
            pub(crate) const ALL: [Self; [$(Self::$name,)*].len()] = [$(Self::$name,)*];

            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            const fn detail(self) -> &'static str {
                match self { $(Self::$name => $about,)* }
            }
        }
    };
}

verdicts! {
    Valid, "valid", "the token holds";
    Missing, "missing", "no token came; send one";
    Malformed, "malformed", "the token cannot be read as a signed JSON Web Token that says when it expires; get a new one";
    Algorithm, "algorithm", "the token is signed in a way that is not accepted here";
    UnknownKey, "unknown_key", "the token is signed by a key that is not known here; get a new one";
    Signature, "signature", "the token's signature is wrong";
    Expired, "expired", "the token has expired; get a new one";
    NotYet, "not_yet", "the token does not hold yet";
    Issuer, "issuer", "the token is from an issuer that is not accepted here";
    Audience, "audience", "the token is for somebody else";
    NoKeys, "no_keys", "tokens cannot be verified: their keys have not been fetched yet";
}

impl Verifier {
    pub(crate) fn new(settings: JwtSettings, source: Arc<Source>, clock: Clock, metrics: Metrics) -> Self {
        crate::crypto::install();
        let JwtSettings { issuer, audience, algorithms, .. } = &settings;
        let against = Sha256::digest(format!("{issuer:?} {audience:?} {algorithms:?}")).into();
        Self { settings, against, source, clock, metrics }
    }

    pub(crate) const fn keys_from(&self) -> &KeysFrom {
        &self.settings.keys
    }

    /// The token of a request with these fields, if there is one.
    fn token<'a>(&self, headers: &'a HeaderMap) -> Result<Option<&'a str>, Refusal> {
        let name = &self.settings.header;
        let mut values = headers.get_all(name).iter();
        let (first, second) = (values.next(), values.next());
        if second.is_some() {
            let detail = format!("{name} is there more than once; send one token");
            return Err(Refusal::new(Code::BadRequest, detail));
        }
        let Some(value) = first.filter(|value| !value.is_empty()) else { return Ok(None) };
        let Ok(text) = value.to_str() else { return Err(self.refuse(Verdict::Malformed)) };
        // A tab parts them for some services: what is a token to one of them is one here.
        let scheme = text.split_once([' ', '\t']).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        Ok(match scheme {
            Some((_, token)) => Some(token.trim()),
            // Other credentials are not for us to judge.
            None if *name == header::AUTHORIZATION => None,
            None => Some(text),
        })
    }

    fn judge(&self, token: &str) -> Result<Arc<Claims>, Verdict> {
        let keys = self.source.keys.load();
        let Some(keys) = keys.as_ref() else {
            self.source.hurry();
            return Err(Verdict::NoKeys);
        };
        if token.len() > LONGEST {
            return Err(Verdict::Malformed);
        }
        let digest = digest(&self.against, token);
        let known = keys.remembered.find(&digest);
        let is_new = known.is_none();
        let verified = match known {
            Some(verified) => verified,
            None => self.verify(token, keys)?,
        };
        let (now, leeway) = (self.now(), self.settings.leeway.as_secs_f64());
        if now >= verified.until + leeway {
            return Err(Verdict::Expired);
        }
        if now + leeway < verified.from {
            return Err(Verdict::NotYet);
        }
        let claims = verified.claims.clone();
        if is_new {
            keys.remembered.keep(digest, verified, token.len());
        }
        Ok(claims)
    }

    /// All that does not change with time.
    fn verify(&self, token: &str, keys: &crate::keys::Keys) -> Result<Verified, Verdict> {
        let header = decode_header(token).map_err(|_| Verdict::Malformed)?;
        // What must be understood and is not, makes it another kind of token (RFC 7515 4.1.11).
        if header.crit.is_some() {
            return Err(Verdict::Malformed);
        }
        if !self.settings.algorithms.contains(&header.alg) {
            return Err(Verdict::Algorithm);
        }
        let validation = self.validation(header.alg);
        let mut found = Verdict::UnknownKey;
        for key in keys.candidates(header.kid.as_deref(), header.alg) {
            match decode::<Map<String, Value>>(token, &key.decoding, &validation) {
                Ok(read) => return verified(read.claims),
                Err(error) => match error.kind() {
                    ErrorKind::InvalidSignature => found = Verdict::Signature,
                    ErrorKind::InvalidIssuer => return Err(Verdict::Issuer),
                    ErrorKind::InvalidAudience => return Err(Verdict::Audience),
                    ErrorKind::MissingRequiredClaim(claim) if claim == "iss" => return Err(Verdict::Issuer),
                    ErrorKind::MissingRequiredClaim(claim) if claim == "aud" => {
                        return Err(Verdict::Audience);
                    }
                    _ => return Err(Verdict::Malformed),
                },
            }
        }
        // Without a name nothing tells a forged signature from one by a key that is new.
        if found == Verdict::UnknownKey || header.kid.is_none() {
            self.source.hurry();
        }
        Err(found)
    }

    /// What is left to the library: the signature, the issuer and the audience.
    fn validation(&self, algorithm: jsonwebtoken::Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        (validation.validate_exp, validation.validate_nbf) = (false, false);
        let mut required = Vec::new();
        if let Some(issuer) = &self.settings.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.validate_aud = !self.settings.audience.is_empty();
        if validation.validate_aud {
            validation.set_audience(&self.settings.audience);
            required.push("aud");
        }
        validation.set_required_spec_claims(&required);
        validation
    }

    fn now(&self) -> f64 {
        self.clock.now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
    }

    fn refuse(&self, why: Verdict) -> Refusal {
        self.metrics.found(why);
        let refusal = match why {
            Verdict::NoKeys => {
                return Refusal::new(Code::KeysUnavailable, why.detail()).retry_after(NO_KEYS_RETRY);
            }
            Verdict::Missing => Refusal::new(Code::TokenMissing, why.detail()),
            _ => Refusal::new(Code::TokenInvalid, why.detail()),
        };
        // RFC 6750 section 3.
        let challenge = match why {
            Verdict::Missing => Ok(HeaderValue::from_static("Bearer")),
            _ => HeaderValue::try_from(format!(
                "Bearer error=\"invalid_token\", error_description=\"{}\"",
                why.detail()
            )),
        };
        match challenge {
            Ok(challenge) => refusal.header(header::WWW_AUTHENTICATE, challenge),
            Err(_) => refusal,
        }
    }
}

/// The claims, and the times between which they hold.
fn verified(claims: Map<String, Value>) -> Result<Verified, Verdict> {
    let until = claims.get("exp").and_then(Value::as_f64).ok_or(Verdict::Malformed)?;
    let from = match claims.get("nbf") {
        None => 0.0,
        Some(from) => from.as_f64().ok_or(Verdict::Malformed)?,
    };
    Ok(Verified { claims: Arc::new(Claims::verified(claims)), from, until })
}

impl VerifyTokens for Verifier {
    fn claims(&self, headers: &HeaderMap) -> Result<Option<Arc<Claims>>, Refusal> {
        let Some(token) = self.token(headers)? else {
            if self.settings.required {
                return Err(self.refuse(Verdict::Missing));
            }
            self.metrics.found(Verdict::Missing);
            return Ok(None);
        };
        let claims = self.judge(token).map_err(|why| self.refuse(why))?;
        self.metrics.found(Verdict::Valid);
        Ok(Some(claims))
    }
}
