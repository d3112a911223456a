use super::{Durability, Info, OnDisk};

const GOOD: &str = "# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\nredis_mode:standalone\r\nloading:0\r\n\
    maxmemory_policy:noeviction\r\naof_enabled:1\r\naof_last_write_status:ok\r\nrole:master\r\ncluster_enabled:0\r\n";

fn info(changes: &[(&str, &str)]) -> Info {
    let mut info = Info::read(GOOD);
    for (name, value) in changes {
        info.0.insert((*name).to_owned(), (*value).to_owned());
    }
    info
}

#[test]
fn what_cannot_serve_is_refused_with_what_to_do() {
    assert_eq!(info(&[]).refusal(), Ok(()));
    for (name, value, said) in [
        ("redis_version", "5.0.14", "6.0 is the least"),
        ("redis_version", "", "says no version"),
        ("cluster_enabled", "1", "cluster-enabled no"),
        ("redis_mode", "cluster", "cluster-enabled no"),
        ("redis_mode", "sentinel", "the primary that it watches"),
        ("loading", "1", "still loading"),
        ("role", "slave", "REPLICAOF NO ONE"),
    ] {
        let refusal = info(&[(name, value)]).refusal().unwrap_err();
        assert!(refusal.contains(said), "{name}:{value}: {refusal}");
    }
    assert_eq!(info(&[("redis_version", "10.2.0")]).refusal(), Ok(()));
}

#[test]
fn what_is_weak_is_named_with_the_setting_that_mends_it() {
    let find = |changes: &[(&str, &str)], fsync: Option<&str>, policy: &str| {
        let found = info(changes).findings(fsync, Some(policy), Durability::OnDisk);
        (found.lines.join("\n"), found.on_disk)
    };
    let new = ("redis_version", "7.2.4");
    assert_eq!(find(&[], Some("always"), "noeviction"), (String::new(), OnDisk::Acknowledged));
    assert_eq!(find(&[new], Some("everysec"), "noeviction"), (String::new(), OnDisk::OnDemand));
    assert!(find(&[], Some("always"), "allkeys-lru").0.contains("maxmemory-policy noeviction"));
    assert!(
        find(&[("aof_last_write_status", "err")], Some("always"), "noeviction")
            .0
            .contains("its disk and log")
    );
    let full = [("maxmemory", "100"), ("used_memory", "100")];
    assert!(find(&full, Some("always"), "noeviction").0.contains("memory is full"));
    assert_eq!(find(&[("maxmemory", "0"), ("used_memory", "9")], Some("always"), "noeviction").0, "");
    for (changes, fsync, said) in [
        (&[][..], Some("everysec"), "older than 7.2"),
        (&[new], Some("no"), "appendfsync always"),
        (&[], None, "could not be checked"),
        (&[new, ("aof_enabled", "0")], Some("always"), "appendonly yes"),
    ] {
        let (lines, on_disk) = find(changes, fsync, "noeviction");
        assert!(lines.contains(said), "{lines}");
        assert!(matches!(on_disk, OnDisk::No(why) if why.contains(said) && why.contains("accept_loss")));
    }
    let (lines, on_disk) = find(&[new], None, "noeviction");
    assert!(lines.contains("could not be checked") && on_disk == OnDisk::OnDemand, "{lines}");
}

#[test]
fn what_cannot_be_read_is_said_and_accepted_loss_is_no_fault() {
    let found = info(&[]).findings(Some("always"), None, Durability::OnDisk);
    assert!(found.lines[0].contains("could not be checked"), "{:?}", found.lines);
    let found = info(&[("aof_enabled", "0")]).findings(None, Some("noeviction"), Durability::AcceptLoss);
    assert_eq!((found.lines, found.on_disk), (Vec::new(), OnDisk::Acknowledged));
}
