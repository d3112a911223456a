//! Receivers over https: which ones are believed to be who they say.

use serde_json::{Value, json};
use sluicegate_tests::{Folder, Upstream, comes_true, config, tls::Authority};

use crate::SECRET;

#[tokio::test(flavor = "multi_thread")]
async fn only_a_receiver_that_the_named_authorities_vouch_for_by_its_name_is_told() {
    let upstream = Upstream::start().await;
    let (ours, others) = (Authority::default(), Authority::default());
    let receiver = || async { Upstream::start_tls(ours.identity().server(&["http/1.1"])).await };
    let (right, wrong, system, renewed) =
        (receiver().await, receiver().await, receiver().await, receiver().await);
    // The certificate is of localhost and 127.0.0.1.
    let elsewhere = "127.0.0.2:0".parse().unwrap();
    let misnamed = Upstream::start_at(elsewhere, Some(ours.identity().server(&["http/1.1"]))).await;
    let webhook = |name: &str, receiver: &Upstream, ca: &str| {
        let (url, rest) = (receiver.url(), "tries: 1, timeout: 5s");
        format!("{{ name: {name}, url: \"{url}/hook\", secret: {SECRET}, {rest}{ca} }}")
    };
    let all = [
        webhook("misnamed", &misnamed, ", ca: ours.pem"),
        webhook("renewed", &renewed, ", ca: changes.pem"),
        webhook("right", &right, ", ca: ours.pem"),
        webhook("system", &system, ""),
        webhook("wrong", &wrong, ", ca: others.pem"),
    ];
    let folder = Folder::default();
    folder.write("ours.pem", ours.pem()).write("others.pem", others.pem()).write("changes.pem", others.pem());
    let gateway = folder.start(&config(&upstream.url(), &format!("webhooks: [{}]", all.join(", "))));
    gateway.freeze("first", &json!({})).await;
    let ended = async |pairs: u64| {
        comes_true("each has been tried", async || {
            let shown = gateway.admin_get("/status").await["webhooks"].clone();
            shown.as_array().unwrap().iter().all(|one| {
                one["pending"] == 0
                    && one["delivered"].as_u64().unwrap() + one["given_up"].as_u64().unwrap() == pairs
            })
        })
        .await;
        gateway.admin_get("/status").await["webhooks"].clone()
    };
    let shown = ended(2).await;
    // Both authorities have the same name: what gives the wrong one away is its key.
    for (at, name, words) in [
        (0, "misnamed", "certificate not valid for name"),
        (3, "system", "certificate: UnknownIssuer"),
        (4, "wrong", "certificate: BadSignature"),
    ] {
        let error = shown[at]["last_failure"]["error"].as_str().unwrap();
        assert_eq!((&shown[at]["name"], &shown[at]["given_up"]), (&json!(name), &json!(2)), "{shown}");
        assert!(error.contains(words), "{name}: {error}");
    }
    assert_eq!((&shown[2]["delivered"], &shown[2]["last_failure"]), (&json!(2), &Value::Null));
    for (name, nobody) in
        [("misnamed", &misnamed), ("system", &system), ("wrong", &wrong), ("renewed", &renewed)]
    {
        assert_eq!(nobody.seen().len(), 0, "{name} was told something");
    }
    // The file of authorities is followed like any other that the document names.
    gateway.folder().replace("changes.pem", ours.pem());
    comes_true("the new authorities are trusted", async || {
        gateway.freeze("more", &json!({})).await;
        gateway.thaw("more").await;
        renewed.count("/hook") > 0
    })
    .await;
    assert_eq!(wrong.seen().len(), 0);
}
