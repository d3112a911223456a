//! Servers that cannot be used, and those that are not as they should be.

use sluicegate_store::{
    Appended, Caps, Expect, Health, Put, Store, Swapped,
    redis::{Durability, Redis, RedisInput},
};
use sluicegate_test_servers::{Brand, Settings};

use crate::{
    engines::{CAPS, LONG, append, begin, entry, get, held, key, put, swap},
    fake,
    support::{health, input, open, opened, until, wait_for, wait_up},
};

fn down(store: &Store) -> String {
    match health(store) {
        Health::Down(why) => why,
        other => panic!("it is {other:?}"),
    }
}

fn degraded(store: &Store) -> String {
    match health(store) {
        Health::Degraded(lines) => lines.join("\n"),
        other => panic!("it is {other:?}"),
    }
}

#[tokio::test]
async fn a_server_that_is_too_old_or_no_redis_is_refused() {
    let old = "redis_version:5.0.14\r\nrole:master\r\n";
    let store = open(&fake::saying(old, true).await).await;
    let why = down(&store);
    assert!(why.contains("is Redis 5.0.14") && why.contains("6.0 is the least"), "{why}");
    let error = store.get(key(1)).await.unwrap_err();
    assert_eq!(error.to_string(), why);
    let store = open(&fake::saying(old, false).await).await;
    assert!(down(&store).contains("older than Redis 6.0"), "{}", down(&store));
    let store = open(&fake::saying("server:other\r\n", true).await).await;
    assert!(down(&store).contains("is it Redis or Valkey?"), "{}", down(&store));
}

#[tokio::test]
async fn a_cluster_is_refused() {
    let server = Settings::durable(Brand::Redis).with("cluster-enabled", "yes").start().await.unwrap();
    let why = down(&open(&server.url()).await);
    assert!(why.contains("cluster mode") && why.contains("cluster-enabled no"), "{why}");
}

#[tokio::test]
async fn nobody_there_is_said_and_found_when_he_comes() {
    let mut server = Settings::durable(Brand::Redis).start().await.unwrap();
    server.kill();
    let store = open(&server.url()).await;
    let why = down(&store);
    assert!(why.contains(&format!("Redis at 127.0.0.1:{}: nobody listens", server.port())), "{why}");
    assert!(store.not_durable().is_some());
    let _server = server.restart().await.unwrap();
    wait_up(&store).await;
    begin(&store, 1, &put("here")).await;
    assert_eq!(store.not_durable(), None);
}

#[tokio::test]
async fn a_wrong_password_is_said_but_not_shown_and_can_be_mended_there() {
    let settings = Settings::durable(Brand::Redis);
    let server = settings.clone().with("requirepass", "right-hush").start().await.unwrap();
    let without = open(&format!("redis://127.0.0.1:{}", server.port())).await;
    assert!(down(&without).contains("asks for a password"), "{}", down(&without));
    let store = open(&format!("redis://:wrong-hush@127.0.0.1:{}", server.port())).await;
    let why = down(&store);
    assert!(why.contains("does not accept the user or password") && !why.contains("hush"), "{why}");
    let _server = server.restart_with(settings.with("requirepass", "wrong-hush")).await.unwrap();
    wait_up(&store).await;
    begin(&store, 1, &put("let in")).await;
}

#[tokio::test]
async fn a_replica_is_refused_until_it_is_promoted() {
    let primary = Settings::durable(Brand::Redis).start().await.unwrap();
    let follows = format!("127.0.0.1 {}", primary.port());
    let replica = Settings::durable(Brand::Redis).with("replicaof", &follows).start().await.unwrap();
    let store = open(&replica.url()).await;
    let why = down(&store);
    assert!(why.contains(&format!("a replica of 127.0.0.1:{}", primary.port())), "{why}");
    replica.command(&["REPLICAOF", "NO", "ONE"]).unwrap();
    wait_up(&store).await;
    begin(&store, 1, &put("promoted")).await;
    // A primary that is demoted under a connection.
    replica.command(&["REPLICAOF", "127.0.0.1", &primary.port().to_string()]).unwrap();
    let error =
        until("refused", || async { store.swap(key(2), Expect::Absent, Some(put("no"))).await.err() });
    let error = error.await.to_string();
    assert!(error.contains("replica"), "{error}");
    wait_for(&store, "down", |health| matches!(health, Health::Down(why) if why.contains("replica"))).await;
}

#[tokio::test]
async fn what_is_weak_is_named_and_noticed_when_it_is_mended() {
    let settings = Settings::durable(Brand::Redis).with("maxmemory-policy", "allkeys-lru");
    let server = settings.start().await.unwrap();
    let store = open(&server.url()).await;
    let lines = degraded(&store);
    assert!(lines.contains("`allkeys-lru`") && lines.contains("maxmemory-policy noeviction"), "{lines}");
    begin(&store, 1, &put("works all the same")).await;
    server.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]).unwrap();
    server.command(&["CLIENT", "KILL", "TYPE", "normal"]).unwrap();
    wait_up(&store).await;
}

#[tokio::test]
async fn settings_that_may_not_be_read_are_said_to_be_unchecked() {
    let rights = "gateway on >hush ~sluicegate:* +@all -config";
    let server = Settings::durable(Brand::Valkey).with("user", rights).start().await.unwrap();
    let store = open(&format!("redis://gateway:hush@127.0.0.1:{}", server.port())).await;
    let lines = degraded(&store);
    assert!(lines.contains("`appendfsync` could not be checked"), "{lines}");
    assert_eq!(store.not_durable(), None);
    append(&store, &entry("line", "waits for the disk")).await;
    let server = server
        .restart_with(
            Settings::durable(Brand::Valkey)
                .with("user", "gateway on >hush ~sluicegate:* +@all -eval -evalsha"),
        )
        .await
        .unwrap();
    let why =
        wait_for(&store, "refused", |health| matches!(health, Health::Down(why) if why.contains("EVAL")))
            .await;
    assert!(server.id().is_some() && !format!("{why:?}").contains("hush"), "{why:?}");
}

#[tokio::test]
async fn intents_need_a_disk_or_an_operator_who_accepts_their_loss() {
    let settings = Settings::durable(Brand::Redis).with("appendonly", "no");
    let server = settings.start().await.unwrap();
    let store = open(&server.url()).await;
    assert!(degraded(&store).contains("appendonly yes"), "{}", degraded(&store));
    let why = store.not_durable().unwrap();
    assert!(why.contains("appendonly yes") && why.contains("accept_loss"), "{why}");
    let one = entry("line", "one");
    let error = store.append(one.clone(), CAPS).await.unwrap_err();
    assert_eq!(error.to_string(), why);
    assert_eq!(store.entry(one.id).await.unwrap(), None);
    // Fences go on, and so does whoever only asks whether there is a line.
    begin(&store, 1, &put("a fence")).await;
    let behind = sluicegate_store::Append { only_behind: true, ..entry("line", "two") };
    assert_eq!(store.append(behind, CAPS).await.unwrap(), Appended::NothingAhead);
    let accepting = RedisInput { durability: Durability::AcceptLoss, ..input(&server.url()) };
    let store = Store::new(Redis::open(accepting.check().unwrap()).await);
    assert_eq!((health(&store), store.not_durable()), (Health::Up, None));
    append(&store, &one).await;
}

#[tokio::test]
async fn full_memory_refuses_new_keys_and_lets_running_ones_settle() {
    let settings = Settings::durable(Brand::Redis).with("maxmemory", "4mb");
    let server = settings.start().await.unwrap();
    let store = opened(&server).await;
    let running = held("running");
    begin(&store, 255, &running).await;
    let big = "x".repeat(256 << 10);
    let mut kept = Vec::new();
    let error = loop {
        let number = u8::try_from(kept.len()).unwrap();
        let one = put(&big);
        match store.swap(key(number), Expect::Absent, Some(one.clone())).await {
            Ok(done) => assert_eq!(done, Swapped::Done),
            Err(error) => break error.to_string(),
        }
        kept.push(one);
    };
    assert!(error.contains("memory is full") && error.contains("maxmemory"), "{error}");
    let lines = wait_for(&store, "degraded", |health| matches!(health, Health::Degraded(_))).await;
    assert!(format!("{lines:?}").contains("maxmemory"), "{lines:?}");
    assert_eq!(get(&store, 0).await.unwrap().tag, kept[0].tag);
    let sealed = Put { ttl: LONG, ..put("sealed") };
    assert_eq!(swap(&store, 255, Expect::Tag(running.tag), Some(&sealed)).await, Swapped::Done);
    // One that comes while nothing at all fits is let in too.
    server.command(&["CONFIG", "SET", "maxmemory", "1mb"]).unwrap();
    let another = open(&server.url()).await;
    server.command(&["CONFIG", "SET", "maxmemory", "4mb"]).unwrap();
    assert!(degraded(&another).contains("memory is full"), "{}", degraded(&another));
    for (number, one) in kept.iter().enumerate() {
        let number = u8::try_from(number).unwrap();
        assert_eq!(swap(&store, number, Expect::Tag(one.tag), None).await, Swapped::Done);
    }
    begin(&store, 1, &put("room again")).await;
    assert_eq!(store.usage().await.unwrap(), (2, 16));
}

#[tokio::test]
async fn data_of_another_form_is_left_alone() {
    let server = Settings::durable(Brand::Redis).start().await.unwrap();
    server.command(&["SET", "sluicegate:default:form", "9"]).unwrap();
    let why = down(&open(&server.url()).await);
    assert!(why.contains("has form 9 and this version reads 1") && why.contains("group"), "{why}");
    let elsewhere = RedisInput { group: "other".into(), ..input(&server.url()) };
    let store = Store::new(Redis::open(elsewhere.check().unwrap()).await);
    begin(&store, 1, &put("elsewhere")).await;
    let none = Caps { max_count: 0, ..CAPS };
    let full = store.append(entry("line", "one"), none).await.unwrap();
    assert!(matches!(full, Appended::Full(_)), "{full:?}");
}

#[tokio::test]
async fn tls_is_spoken_and_a_certificate_from_nowhere_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, secret) = (folder.path().join("cert"), folder.path().join("key"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&secret, made.signing_key.serialize_pem()).unwrap();
    let port = sluicegate_test_servers::free_port().unwrap();
    let server = Settings::durable(Brand::Redis)
        .with("tls-port", &port.to_string())
        .with("tls-cert-file", cert.to_str().unwrap())
        .with("tls-key-file", secret.to_str().unwrap())
        .with("tls-ca-cert-file", cert.to_str().unwrap())
        .with("tls-auth-clients", "no")
        .start()
        .await
        .unwrap();
    let why = down(&open(&format!("rediss://localhost:{port}")).await);
    assert!(why.to_lowercase().contains("certificate"), "{why}");
    assert!(server.id().is_some());
}
