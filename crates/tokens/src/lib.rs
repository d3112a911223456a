//! JSON Web Tokens, verified so that guards can go by what they say.
//!
//! A tenant, a sticky key or the scope of an idempotency key may stand in a claim. A claim is
//! worth something only if its token is verified, so a route that goes by one has each of its
//! requests' tokens verified here, once, before anything else asks ([`Verifier`]).
//!
//! **Why this way.** Reading tokens and their claims is `jsonwebtoken`'s; the signatures are
//! checked by `ring`, which the gateway has for TLS already. What a token may be signed with is
//! told by the configuration and by the key, never by the token: `none` is no algorithm, a key of
//! one kind verifies no signature of another, and a shared secret is taken from a file alone.
//!
//! **Promise.** Claims are handed on only of a token whose signature, times, issuer and audience
//! hold now. A token that came and does not hold is refused (401 `token_invalid`), as Envoy does:
//! a request that pretends to be somebody is not served as nobody. Without a token a request is
//! nobody's, or refused (401 `token_missing`) where `required` says so. A token is verified once
//! and remembered by its digest until it expires or the keys change; at most [`REMEMBERED`] are, of
//! [`REMEMBERED_BYTES`] together.
//!
//! **Failure.** Keys are fetched from a URL every `refresh`, and sooner (every [`HURRY`] at most)
//! when newer keys might verify a token: it names one that is not known, its signature fits none and
//! it names none, or there are no keys yet. While that fails the last good ones stay in use
//! ([`Tokens::trouble`] says so, for `/readyz`); where there never were any, requests that bring a
//! token get 503 `keys_unavailable`. Nothing of a request waits for a fetch.
//!
//! # Metrics
//!
//! | name | type | |
//! |---|---|---|
//! | `sluicegate_jwt_total{result}` | counter | tokens looked at: `valid`, `missing`, or why not: `malformed`, `algorithm`, `unknown_key`, `signature`, `expired`, `not_yet`, `issuer`, `audience`, `no_keys` |
//! | `sluicegate_jwks_fetches_total{result}` | counter | fetches of the keys: `ok`, `failed` |
//! | `sluicegate_jwks_keys` | gauge | keys in use |
//! | `sluicegate_jwks_fetched_timestamp_seconds` | gauge | when the keys in use were fetched or read; 0 where there are none |

mod crypto;
mod fetch;
mod files;
mod home;
mod input;
mod keys;
mod metrics;
mod remembered;
mod verifier;

pub use fetch::HURRY;
pub use home::Tokens;
pub use input::{AlgorithmInput, JwtInput, JwtSettings, KeysFrom};
pub use remembered::{REMEMBERED, REMEMBERED_BYTES};
pub use verifier::Verifier;

#[cfg(test)]
mod tests;
