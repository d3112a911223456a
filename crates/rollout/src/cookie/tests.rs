use http::{HeaderMap, HeaderValue};
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use super::{CHARACTERS, CookieName, Signer};

const KEY: [u8; 8] = *b"\x01\x23\x45\x67\x89\xab\xcd\xef";

fn signer() -> Signer {
    Signer::new(&[171; 32], "retriever", 7)
}

fn name() -> CookieName {
    CookieName::new("sluicegate-arm").unwrap()
}

fn brought(lines: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines {
        headers.append("cookie", HeaderValue::try_from(*line).unwrap());
    }
    headers
}

#[test]
fn a_value_is_key_epoch_and_the_first_half_of_an_hmac() {
    // HMAC as RFC 2104 writes it down.
    let block = |pad: u8| -> Vec<u8> { (0..64).map(|at| if at < 32 { 0xab ^ pad } else { pad }).collect() };
    let message = [b"retriever".as_slice(), &KEY, &[0, 0, 0, 7]].concat();
    let inner = Sha256::new().chain_update(block(0x36)).chain_update(message).finalize();
    let tag = Sha256::new().chain_update(block(0x5c)).chain_update(inner).finalize();
    let bytes = [&KEY[..], &[0, 0, 0, 7], &tag[..16]].concat();
    let value = signer().sign(KEY);
    let base64: Vec<u8> = value.bytes().flat_map(six_bits).collect();
    let read: Vec<u8> =
        base64.chunks_exact(8).map(|bits| bits.iter().fold(0, |byte, bit| byte << 1 | bit)).collect();
    assert_eq!((read, value.len()), (bytes, 38));
    assert_eq!(signer().read(value.as_bytes()), Some(KEY));
}

fn six_bits(character: u8) -> [u8; 6] {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let at = alphabet.iter().position(|known| *known == character).unwrap();
    std::array::from_fn(|bit| u8::from(at >> (5 - bit) & 1 == 1))
}

#[test]
fn only_what_was_signed_for_this_rollout_and_epoch_is_read() {
    let value = signer().sign(KEY);
    for other in [
        Signer::new(&[171; 32], "retriever", 8),
        Signer::new(&[171; 32], "retriever2", 7),
        Signer::new(&[171; 32], "", 7),
        Signer::new(&[172; 32], "retriever", 7),
    ] {
        assert_eq!(other.read(value.as_bytes()), None);
        assert_eq!(signer().read(other.sign(KEY).as_bytes()), None);
    }
    // The name and the key cannot be read as each other's parts.
    let shifted = Signer::new(&[171; 32], "retrieve", 7).sign(*b"r1234567");
    assert_eq!(signer().read(shifted.as_bytes()), None);
}

proptest! {
    #[test]
    fn each_key_comes_back(key: [u8; 8], epoch: u64, secret: [u8; 32]) {
        let signer = Signer::new(&secret, "retriever", epoch);
        let value = signer.sign(key);
        prop_assert_eq!(value.len(), CHARACTERS);
        prop_assert_eq!(signer.read(value.as_bytes()), Some(key));
    }

    #[test]
    fn what_was_changed_anywhere_is_not_read(key: [u8; 8], at in 0..CHARACTERS, to: u8) {
        let mut value = signer().sign(key).into_bytes();
        prop_assume!(value[at] != to);
        value[at] = to;
        prop_assert_eq!(signer().read(&value), None);
    }

    #[test]
    fn what_was_never_signed_is_not_read(value: Vec<u8>, text in "[A-Za-z0-9_-]{38}") {
        prop_assert_eq!(signer().read(&value), None);
        prop_assert_eq!(signer().read(text.as_bytes()), None);
    }
}

#[test]
fn the_cookie_is_found_among_others() {
    let good = signer().sign(KEY);
    let forged = signer().sign(KEY).replace(|c: char| c.is_ascii_digit(), "A");
    for lines in [
        vec![format!("sluicegate-arm={good}")],
        vec![format!("a=b; sluicegate-arm={good}; c=d")],
        vec![format!("a=b;sluicegate-arm={good};c")],
        vec!["a=b".to_owned(), format!("c=d; sluicegate-arm={good} ")],
        vec![format!("sluicegate-arm={forged}; sluicegate-arm=x; sluicegate-arm={good}")],
    ] {
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        assert_eq!(signer().find(&name(), &brought(&lines)), Some(KEY), "{lines:?}");
    }
    for line in [
        format!("xsluicegate-arm={good}"),
        format!("sluicegate-arm2={good}"),
        format!("sluicegate-arm=\"{good}\""),
        format!("sluicegate-arm={good}="),
        format!("sluicegate-arm={forged}"),
        "sluicegate-arm".to_owned(),
        good.clone(),
    ] {
        assert_eq!(signer().find(&name(), &brought(&[&line])), None, "{line}");
    }
    assert_eq!(signer().find(&name(), &HeaderMap::new()), None);
}

#[test]
fn a_heap_of_forged_cookies_costs_no_more_than_a_few() {
    let good = format!("sluicegate-arm={}", signer().sign(KEY));
    let forged = format!("sluicegate-arm={}", "A".repeat(CHARACTERS));
    let find = |before: usize| {
        let mut lines = vec![forged.as_str(); before];
        lines.push(&good);
        signer().find(&name(), &brought(&[&lines.join("; ")]))
    };
    assert_eq!((find(2), find(3)), (Some(KEY), None));
}

#[test]
fn it_is_set_for_the_whole_site_and_out_of_reach_of_scripts() {
    let value = signer().sign(KEY);
    let set = |secure| signer().set_cookie(&name(), KEY, secure).unwrap();
    let plain = format!("sluicegate-arm={value}; Path=/; Max-Age=604800; HttpOnly; SameSite=Lax");
    assert_eq!(set(false), plain);
    assert_eq!(set(true), format!("{plain}; Secure"));
}

#[test]
fn names_are_tokens() {
    for good in ["sluicegate-arm", "__Host-arm", "a", "arm.v2"] {
        assert_eq!(CookieName::new(good).unwrap().as_str(), good);
    }
    let long = "a".repeat(65);
    for bad in ["", "a b", "a=b", "a;b", "a\"", "ä", "a,b", "a\n", &long] {
        assert!(CookieName::new(bad).unwrap_err().contains("1 to 64"), "{bad}");
    }
}
