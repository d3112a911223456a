//! Keys from a URL: fetched, kept, lost, rotated, and what a provider may try.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use http::HeaderMap;
use serde_json::{Value, json};
use sluicegate_core::{Code, claims::VerifyTokens};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    sync::watch,
    time::sleep,
};

use super::{NOW, Signer, bearer, claims, home, sub};
use crate::JwtInput;

/// A provider of keys: what it answers is the last thing sent to it.
async fn provider(answer: watch::Receiver<String>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    let asked: Arc<AtomicUsize> = Arc::default();
    let count = asked.clone();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut read = vec![0; 4096];
            let _ = stream.read(&mut read).await;
            count.fetch_add(1, Ordering::SeqCst);
            let body = answer.borrow().clone();
            let status = if body.is_empty() { "500 Broken" } else { "200 OK" };
            let head =
                format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes()).await;
        }
    });
    (url, asked)
}

/// Waits, by the real clock, until it holds.
async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = SystemTime::now() + Duration::from_secs(20);
    while !holds() {
        assert!(SystemTime::now() < end, "{what}");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_and_the_last_good_ones_stay() {
    let (first, second) = (Signer::p256(), Signer::p256());
    let set = |keys: &[Value]| json!({ "keys": keys }).to_string();
    let (answer, answers) = watch::channel(String::new());
    let (url, asked) = provider(answers).await;
    let asked = || asked.load(Ordering::SeqCst);
    let (tokens, registry) = home();
    let input: JwtInput = serde_json::from_value(json!({ "jwks_url": url, "refresh": "10s" })).unwrap();
    let make = || tokens.verifier(input.check().unwrap(), &Path::to_path_buf).unwrap();
    let verifier = make();
    tokens.apply(Some(&verifier));
    let token = first.token("ES256", "one", &claims());

    // None yet: said so, and asked again soon.
    until("its trouble is told", || tokens.trouble().is_some()).await;
    assert!(tokens.trouble().unwrap().contains("there are none"), "{:?}", tokens.trouble());
    let refusal = verifier.claims(&bearer(&token)).unwrap_err();
    assert_eq!(refusal.code(), Code::KeysUnavailable);
    assert!(verifier.claims(&HeaderMap::new()).unwrap().is_none(), "who brings no token needs no keys");

    answer.send_replace(set(&[first.key("one")]));
    until("the keys are there", || verifier.claims(&bearer(&token)).is_ok()).await;
    until("the trouble is over", || tokens.trouble().is_none()).await;

    // A reload goes on with them.
    let again = make();
    tokens.apply(Some(&again));
    let before = asked();
    assert_eq!(sub(&again, &token), Ok(Some("u7".into())));
    assert_eq!(asked(), before, "nothing was fetched for it");

    // So does one that trusts other authorities, before it has fetched anything by them.
    let folder = tempfile::tempdir().unwrap();
    let authority = rcgen::generate_simple_self_signed(["ca".to_owned()]).unwrap();
    std::fs::write(folder.path().join("ca.pem"), authority.cert.pem()).unwrap();
    let input = JwtInput { ca: Some(folder.path().join("ca.pem")), ..input.clone() };
    let trusting = tokens.verifier(input.check().unwrap(), &Path::to_path_buf).unwrap();
    assert_eq!(sub(&trusting, &token), Ok(Some("u7".into())));

    // One that asks for more takes nothing for verified that another has.
    for more in [json!({ "issuer": "us" }), json!({ "audience": ["us"] }), json!({ "algorithms": ["ES384"] })]
    {
        let mut stricter = json!({ "jwks_url": url });
        stricter.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let input: JwtInput = serde_json::from_value(stricter).unwrap();
        let stricter = tokens.verifier(input.check().unwrap(), &Path::to_path_buf).unwrap();
        assert!(sub(&stricter, &token).is_err(), "{more}");
    }

    // They are lost: the last good ones stay. An unknown key hurries, but not at once.
    answer.send_replace("no keys".to_owned());
    let new = second.token("ES256", "two", &claims());
    assert!(sub(&again, &new).unwrap_err().contains("not known"));
    assert_eq!(asked(), before);
    until("the loss is told", || tokens.trouble().is_some()).await;
    assert!(tokens.trouble().unwrap().contains("last good ones stay"), "{:?}", tokens.trouble());
    assert_eq!(sub(&again, &token), Ok(Some("u7".into())));

    // Keys are rotated: what the old one signed is no longer taken, remembered or not.
    answer.send_replace(set(&[second.key("two")]));
    until("the new key is there", || sub(&again, &new).is_ok()).await;
    assert!(sub(&again, &token).unwrap_err().contains("not known"));
    let mut shown = String::new();
    prometheus_client::encoding::text::encode(&mut shown, &registry).unwrap();
    for line in [
        "sluicegate_jwks_keys 1",
        "sluicegate_jwks_fetches_total{result=\"ok\"}",
        "sluicegate_jwt_total{result=\"unknown_key\"}",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    tokens.apply(None);
    assert!(tokens.trouble().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_gauges_tell_of_the_keys_in_use() {
    let signer = Signer::p256();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("jwks.json");
    std::fs::write(&file, json!({ "keys": [signer.key("a"), signer.key("b")] }).to_string()).unwrap();
    let (answer, answers) = watch::channel(String::new());
    let (url, _) = provider(answers).await;
    let (tokens, registry) = home();
    let apply = |input: Value| {
        let input: JwtInput = serde_json::from_value(input).unwrap();
        let verifier = tokens.verifier(input.check().unwrap(), &Path::to_path_buf).unwrap();
        tokens.apply(Some(&verifier));
        verifier
    };
    let shown = |keys: usize, taken_at: u64| {
        let mut shown = String::new();
        prometheus_client::encoding::text::encode(&mut shown, &registry).unwrap();
        let (keys, taken_at) = (
            format!("\nsluicegate_jwks_keys {keys}\n"),
            format!("\nsluicegate_jwks_fetched_timestamp_seconds {taken_at}\n"),
        );
        shown.contains(&keys) && shown.contains(&taken_at)
    };
    let _of_a_file = apply(json!({ "jwks_file": file }));
    assert!(shown(2, NOW), "those of a file were read");
    let _of_a_url = apply(json!({ "jwks_url": url, "refresh": "10s" }));
    assert!(shown(0, 0), "there are none yet");
    answer.send_replace(json!({ "keys": [signer.key("a")] }).to_string());
    until("they are fetched", || shown(1, NOW)).await;
    tokens.apply(None);
    assert!(shown(0, 0));
}

/// Keys from this URL, of which the first fetch has failed; and what is told of it.
async fn failing(url: &str) -> String {
    let (tokens, _) = home();
    let input: JwtInput = serde_json::from_value(json!({ "jwks_url": url })).unwrap();
    let verifier = tokens.verifier(input.check().unwrap(), &Path::to_path_buf).unwrap();
    tokens.apply(Some(&verifier));
    let began = SystemTime::now();
    until("its trouble is told", || tokens.trouble().is_some()).await;
    assert!(began.elapsed().unwrap() < Duration::from_secs(10), "no fetch takes longer than its limit");
    tokens.trouble().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_leads_elsewhere_or_never_ends_is_a_failure() {
    let signer = Signer::p256();
    let set = json!({ "keys": [signer.key("k")] }).to_string();
    let (_keep, elsewhere) = watch::channel(set.clone());
    let (elsewhere, asked) = provider(elsewhere).await;
    let redirect = format!("HTTP/1.1 302 Found\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n");
    // It says that a gibibyte comes, and sends for as long as anybody listens.
    let endless = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1 << 30);
    for (head, forever, expected) in [
        (redirect, false, "it answers 302 Found; a redirect is not followed"),
        (endless, true, "it answers more than 1048576 bytes"),
        (String::new(), false, "it did not answer whole within 5s"),
        (format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{set}", set.len() + 1), false, "within 5s"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json?key=hush-4711", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            let mut held = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.write_all(head.as_bytes()).await;
                while forever && stream.write_all(&[b' '; 16 * 1024]).await.is_ok() {}
                held.push(stream);
            }
        });
        let told = failing(&url).await;
        assert!(told.contains(expected), "{told}");
        assert!(told.contains("/jwks.json?[redacted]: ") && !told.contains("hush"), "{told}");
        serving.abort();
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0, "nobody was led there");
}

/// Seconds until a condition holds that each second asks for, by the paused clock.
async fn seconds_until(mut holds: impl FnMut() -> bool) -> u64 {
    let began = tokio::time::Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(3600), "it never did");
        sleep(Duration::from_secs(1)).await;
    }
    began.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn who_needs_newer_keys_does_not_wait_for_the_next_turn() {
    let (first, second) = (Signer::p256(), Signer::p256());
    let set = |signer: &Signer| {
        let mut key = signer.key("");
        key.as_object_mut().unwrap().remove("kid");
        json!({ "keys": [key] }).to_string()
    };
    let nameless = |signer: &Signer| {
        signer.token_with(&json!({ "alg": "ES256" }), &json!({ "sub": "u7", "exp": NOW + 1_000_000 }))
    };
    let (answer, answers) = watch::channel(String::new());
    let (url, asked) = provider(answers).await;
    let asked = || asked.load(Ordering::SeqCst);
    let (tokens, _) = home();
    let settings = json!({ "jwks_url": url, "refresh": "1h" });
    let input: JwtInput = serde_json::from_value(settings).unwrap();
    let verifier = tokens.verifier(input.check().unwrap(), &Path::to_path_buf).unwrap();
    tokens.apply(Some(&verifier));
    // It has been away for so long that it is asked every quarter of an hour only.
    sleep(Duration::from_secs(3600)).await;
    assert!((8..20).contains(&asked()), "{}", asked());
    answer.send_replace(set(&first));
    let waited = seconds_until(|| verifier.claims(&bearer(&nameless(&first))).is_ok()).await;
    assert!(waited <= 12, "there were no keys for {waited} s");
    // A key without a name is replaced by another one.
    answer.send_replace(set(&second));
    let waited = seconds_until(|| verifier.claims(&bearer(&nameless(&second))).is_ok()).await;
    assert!(waited <= 12, "the new key was not there for {waited} s");
    // Whoever makes signatures up has nobody flooded.
    let (before, forged) = (asked(), nameless(&Signer::p256()));
    for _ in 0..100 {
        assert!(verifier.claims(&bearer(&forged)).is_err());
        sleep(Duration::from_secs(1)).await;
    }
    assert!((9..=11).contains(&(asked() - before)), "{} fetches in 100 s", asked() - before);
}
