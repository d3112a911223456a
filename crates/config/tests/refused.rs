//! Bad documents, each with the exact message it gives.

use sluicegate_config::{Source, load, parse};

/// A good document; each case of the table spoils it.
const GOOD: &str = "\
listen:
  - address: 127.0.0.1:8080
upstreams:
  stable:
    endpoints: [\"http://127.0.0.1:7001\"]
routes:
  - name: search
    match: { path: /v1/search, methods: [POST] }
    upstream: stable
  - name: rest
    match: { path: \"/{*rest}\" }
    upstream: stable
";

fn told(text: &str) -> String {
    match parse(text, &Source::file("g.yaml".as_ref())) {
        Ok(_) => "taken".to_owned(),
        Err(rejected) => rejected.to_string(),
    }
}

#[test]
fn the_good_document_is_taken() {
    assert_eq!(told(GOOD), "taken");
}

/// What is added to the good document, as line 13, and what is said.
const ADDED: &[(&str, &str)] = &[
    ("admn: { address: 127.0.0.1:9901 }", "g.yaml:13:1: admn: unknown key `admn`; did you mean `admin`?"),
    (
        "zzz: 1",
        "g.yaml:13:1: zzz: unknown key `zzz`; the keys here are listen, admin, store, upstreams, tenants, jwt, lanes, limits, timeouts, retries, routes, rollouts, freeze, webhooks, cors, fences, intents, trusted_peers, max_connections, workers, shutdown, access_log, telemetry, log",
    ),
    (
        "admin: { adress: 127.0.0.1:9901 }",
        "g.yaml:13:10: admin.adress: unknown key `adress`; did you mean `address`?",
    ),
    (
        "admin: { address: localhost }",
        "g.yaml:13:19: admin.address: `localhost` is not an address; write IP:PORT, such as 127.0.0.1:9901",
    ),
    (
        "admin: { address: 0.0.0.0:9901 }",
        "g.yaml:13:19: admin.address: `0.0.0.0:9901` is not loopback, so the admin API needs a token; set admin.token_file, or listen on 127.0.0.1",
    ),
    (
        "admin: { address: 127.0.0.1:8080 }",
        "g.yaml:13:19: admin.address: `127.0.0.1:8080` is already listen[0]; choose another port",
    ),
    (
        "admin: { read_token_file: x }",
        "g.yaml:13:27: admin.read_token_file: no token has the role `operate`, so that nobody could freeze, thaw or reload; add `admin.token_file`, or a token with `role: operate` to `admin.tokens`",
    ),
    (
        "admin: { token_file: a, tokens: [{ name: operate, role: read, file: b }] }",
        "g.yaml:13:42: admin.tokens[0].name: `operate` is the name of another token, too, and the audit log could not tell them apart; `admin.token_file` is called `operate` there and `admin.read_token_file` `read`",
    ),
    (
        "admin: { tokens: [{ name: a b, role: operate, file: b }] }",
        "g.yaml:13:27: admin.tokens[0].name: `a b` is not a name; use 1 to 64 letters, digits and _.-",
    ),
    (
        "admin:",
        "g.yaml:13:6: admin: expected a mapping with the keys address, token_file, read_token_file, tokens, audit_file, found nothing",
    ),
    (
        "limits: { deadline: 5 }",
        "g.yaml:13:21: limits.deadline: `5` is not a duration; write digits and a unit, such as 250ms, 30s, 5m, 48h or 2d",
    ),
    (
        "limits: { deadline: 2 sec }",
        "g.yaml:13:21: limits.deadline: `2 sec` is not a duration; write digits and a unit, such as 250ms, 30s, 5m, 48h or 2d",
    ),
    (
        "limits: { deadline: 0s }",
        "g.yaml:13:21: limits.deadline: 0s would end everything at once; write a longer time",
    ),
    (
        "limits: { max_body: 10 }",
        "g.yaml:13:21: limits.max_body: `10` is not a size; write digits and a unit, such as 64KiB, 10MiB or 1GiB",
    ),
    (
        "limits: { max_headers: 64MiB }",
        "g.yaml:13:24: limits.max_headers: `64MiB` is out of range; 1KiB to 1MiB can be had",
    ),
    ("limits: { rps: many }", "g.yaml:13:16: limits.rps: expected a number, found the text `many`"),
    (
        "limits: { burst: -1 }",
        "g.yaml:13:18: limits.burst: expected a whole number from 0 to 4294967295, found the number -1",
    ),
    (
        "limits: { per: user }",
        "g.yaml:13:16: limits.per: unknown choice `user`; the choices here are route, tenant",
    ),
    (
        "limits: { rps: 0 }",
        "g.yaml:13:16: limits.rps: rps 0: a rate is a number above 0 and at most 1000000; leave it out for no limit",
    ),
    (
        "limits: { rps: 5, burst: 0 }",
        "g.yaml:13:26: limits.burst: burst 0: a bucket that holds nothing refuses everything; write 1 or more",
    ),
    (
        "limits: { burst: 5 }",
        "g.yaml:13:18: limits.burst: a burst without a rate says nothing; set `rps` too",
    ),
    (
        "limits: { concurrent: 0 }",
        "g.yaml:13:23: limits.concurrent: 0 would let nothing run; write 1 or more, or remove the key for no limit",
    ),
    (
        "limits: { rps: 5, cost: 6 }",
        "g.yaml:13:25: limits.cost: each request costs 6 and the bucket holds 5, so none would be let in; raise `burst` or lower `cost`",
    ),
    ("limits: { cost: 0 }", "g.yaml:13:17: limits.cost: 0 would let everything through; write 1 or more"),
    (
        "limits: { cost: much }",
        "g.yaml:13:17: limits.cost: expected a whole number, or a rule such as { header: x-cost } or { per_bytes: 4KiB }, found the text `much`",
    ),
    (
        "limits: { cost: { header: x cost } }",
        "g.yaml:13:27: limits.cost.header: `x cost` is not the name of a header; write one such as x-cost",
    ),
    (
        "limits: { cost: { per_bytes: 4KiB } }",
        "g.yaml:13:30: limits.cost.per_bytes: a body of unknown length counts as one of `limits.max_body`, which is not set; set it",
    ),
    (
        "limits: { cost: { tokens: 4 } }",
        "g.yaml:13:19: limits.cost.tokens: unknown key `tokens`; the keys here are header, per_bytes",
    ),
    (
        "limits: { shed: { queue_p95: 0s, error_rate: 2 } }",
        "g.yaml:13:30: limits.shed.queue_p95: 0s would shed at the first wait; write a longer time",
    ),
    (
        "limits: { budget: { tokens: 0, per: 1m } }",
        "g.yaml:13:19: limits.budget: `tokens` is 0, so nothing would ever be let in; give the tokens of one `per`",
    ),
    (
        "limits: { budget: { tokens: 100, per: 1m, default_max_tokens: 100 } }",
        "g.yaml:13:19: limits.budget: `default_max_tokens` (100) is not below `burst` (100), so a request that names no maximum would never be let in; lower the one or raise the other",
    ),
    (
        "limits: { budget: { tokens: 100, per: 1m, overrun: stop } }",
        "g.yaml:13:52: limits.budget.overrun: unknown choice `stop`; the choices here are finish, cut",
    ),
    (
        "limits: { global: { rps: -1 } }",
        "g.yaml:13:19: limits.global: rps -1: a rate is a number above 0 and at most 1000000; leave it out for no limit",
    ),
    ("limits: { global: { burst: 1 } }", "g.yaml:13:19: limits.global: the key `rps` is missing here"),
    (
        "lanes: { from: { header: x lane }, batch: { rps: 0 } }",
        "g.yaml:13:26: lanes.from.header: `x lane` is not the name of a header; write one such as x-lane\ng.yaml:13:43: lanes.batch: rps 0: a rate is a number above 0 and at most 1000000; leave it out for no limit",
    ),
    (
        "lanes: { bulk: { rps: 1 } }",
        "g.yaml:13:10: lanes.bulk: unknown key `bulk`; the keys here are from, interactive, batch",
    ),
    (
        "tenants: { from: { header: x-tenant }, classes: { gold: { multiplier: 0, members: [a] } } }",
        "g.yaml:13:71: tenants.classes.gold.multiplier: tenant class `gold`: multiplier 0 is not a number from 0.001 to 1000; use 1.0 for no change",
    ),
    (
        "tenants: { from: { header: x-tenant }, classes: { a: { multiplier: 1, members: [x] }, b: { multiplier: 2, members: [x] } } }",
        "g.yaml:13:117: tenants.classes.b.members[0]: `x` is in class `a` already; name each tenant once",
    ),
    (
        "timeouts: [header_read]",
        "g.yaml:13:11: timeouts: expected a mapping with the keys header_read, body_idle, idle, connect, per_try, stream_idle, found a list",
    ),
    (
        "timeouts: { header_read: { seconds: 5 } }",
        "g.yaml:13:26: timeouts.header_read: expected text, found a mapping",
    ),
    (
        "timeouts: { idle: 0s }",
        "g.yaml:13:19: timeouts.idle: 0s would end everything at once; write a longer time",
    ),
    ("max_connections: 0", "g.yaml:13:18: max_connections: 0 would let nobody in; write 1 or more"),
    (
        "max_connections: 1.5",
        "g.yaml:13:18: max_connections: expected a whole number from 0 to 4294967295, found the number 1.5",
    ),
    (
        "max_connections: 99999999999",
        "g.yaml:13:18: max_connections: expected a whole number from 0 to 4294967295, found the number 99999999999",
    ),
    (
        "workers: 0",
        "g.yaml:13:10: workers: 0 workers cannot be had; write 1 to 1024, or remove the key for one per core",
    ),
    (
        "workers: 2000",
        "g.yaml:13:10: workers: 2000 workers cannot be had; write 1 to 1024, or remove the key for one per core",
    ),
    (
        "trusted_peers: [10.0.0.0/99]",
        "g.yaml:13:17: trusted_peers[0]: `10.0.0.0/99` is not a network; write 10.0.0.0/8, ::1/128 or one address",
    ),
    (
        "trusted_peers: 10.0.0.0/8",
        "g.yaml:13:16: trusted_peers: expected a list, found the text `10.0.0.0/8`",
    ),
    (
        "store: { embedded: {}, memory: {} }",
        "g.yaml:13:8: store: expected exactly one of embedded, memory, redis, found embedded, memory",
    ),
    ("store: {}", "g.yaml:13:8: store: expected exactly one of embedded, memory, redis, found none"),
    (
        "store: { disk: {} }",
        "g.yaml:13:10: store.disk: unknown choice `disk`; the choices here are embedded, memory, redis",
    ),
    ("store: memory", "g.yaml:13:8: store: expected `memory:` and its value, found the text `memory`"),
    (
        "store: { memory: { size: 1GiB } }",
        "g.yaml:13:20: store.memory.size: unknown key `size`; there are no keys here",
    ),
    (
        "store: { redis: { url: \"http://127.0.0.1:6379\" } }",
        "g.yaml:13:24: store.redis.url: `http://127.0.0.1:6379` is not the URL of a Redis; write redis://host:6379, rediss://host:6380 for TLS, or unix:///path",
    ),
    (
        "store: { redis: { url: \"redis://127.0.0.1\", lease: 1s } }",
        "g.yaml:13:17: store.redis.response_timeout: `1s` is longer than a third of the lease, `1s`, in which a gateway has to be heard of\ng.yaml:13:52: store.redis.lease: `1s` is not between 3s and 10m",
    ),
    (
        "store: { embedded: { sync: never } }",
        "g.yaml:13:28: store.embedded.sync: unknown choice `never`; the choices here are os, always",
    ),
    ("fences: { max_keys: 0 }", "g.yaml:13:21: fences.max_keys: 0 would refuse every key; write at least 1"),
    (
        "fences: { tenant_share: 1.5 }",
        "g.yaml:13:25: fences.tenant_share: 1.5 is not a share; write a number above 0 and up to 1",
    ),
    (
        "intents: { backfill: { rps: 0 } }",
        "g.yaml:13:29: intents.backfill.rps: `0` is not above 0 and up to 10000",
    ),
    (
        "intents: { keep_headers: [Authorization] }",
        "g.yaml:13:27: intents.keep_headers[0]: `authorization` carries credentials, which are never stored; set the gateway's own under `headers`",
    ),
    (
        "intents: { headers: { \"x y\": z } }",
        "g.yaml:13:30: intents.headers.x y: `x y` is not a header's name",
    ),
    (
        "intents: { soak: 1000d }",
        "g.yaml:13:18: intents.soak: `1000d` is longer than 366d; write a shorter duration",
    ),
    ("store: { redis: {} }", "g.yaml:13:17: store.redis: the key `url` is missing here"),
    (
        "tenants: { from: { header: x tenant } }",
        "g.yaml:13:28: tenants.from.header: `x tenant` is not the name of a header; write one such as x-tenant-id",
    ),
    (
        "tenants: { from: { cookie: t } }",
        "g.yaml:13:20: tenants.from.cookie: unknown choice `cookie`; the choices here are header, query, api_key, claim",
    ),
    (
        "tenants: { from: { claim: sub } }",
        "g.yaml:13:27: tenants.from.claim: no token is verified without `jwt` at the top level, which says by whose keys; add it",
    ),
    (
        "tenants: { from: { query: \"\" } }",
        "g.yaml:13:27: tenants.from.query: names no query parameter; write one such as tenant",
    ),
    (
        "jwt: { jwks_url: nowhere, algorithms: [none] }",
        "g.yaml:13:40: jwt.algorithms[0]: unknown choice `none`; the choices here are RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384, EdDSA, HS256, HS384, HS512",
    ),
    (
        "jwt: { jwks_url: nowhere, leeway: 1h }",
        "g.yaml:13:18: jwt.jwks_url: is not a URL to fetch; write one such as https://id.example.org/jwks.json\ng.yaml:13:35: jwt.leeway: `1h` is more than 10m; a stolen token would live on for as long",
    ),
    (
        "freeze: { reason: \"${SLUICEGATE_NO_SUCH}\" }",
        "g.yaml:13:19: freeze.reason: the environment has no variable `SLUICEGATE_NO_SUCH`; set it, or write ${SLUICEGATE_NO_SUCH:-default}",
    ),
    (
        "freeze: { reason: \"${A B}\" }",
        "g.yaml:13:19: freeze.reason: `${` begins a reference to the environment that is none; write ${NAME} or ${NAME:-default}, or $${ for the text itself",
    ),
    (
        "log: { level: \"${SLUICEGATE_NO_SUCH:-loud}\" }",
        "g.yaml:13:15: log.level: unknown choice `${SLUICEGATE_NO_SUCH:-loud}`; the choices here are error, warn, info, debug, trace",
    ),
    ("tenants: {}", "g.yaml:13:10: tenants: the key `from` is missing here"),
    (
        "log: { level: loud }",
        "g.yaml:13:15: log.level: unknown choice `loud`; the choices here are error, warn, info, debug, trace",
    ),
    (
        "log: { format: yes }",
        "g.yaml:13:16: log.format: unknown choice `yes`; the choices here are text, json",
    ),
    (
        "freeze: { read_only: yes }",
        "g.yaml:13:22: freeze.read_only: expected true or false, found the text `yes`",
    ),
    ("freeze: { status: 500 }", "g.yaml:13:19: freeze.status: `500` is not auto, 423 or 503"),
    (
        "freeze: { windows: [{ id: w, start: tomorrow, end: \"2030-01-05T03:00:00Z\" }] }",
        "g.yaml:13:37: freeze.windows[0].start: `tomorrow` is not an RFC 3339 time with a zone, such as 2030-01-05T02:00:00Z",
    ),
    (
        "freeze: { windows: [{ id: w, start: \"2030-01-05T03:00:00Z\", end: \"2030-01-05T02:00:00Z\", scope: { routes: [serch] } }] }",
        "g.yaml:13:66: freeze.windows[0].end: `2030-01-05T02:00:00Z` is not after the start, `2030-01-05T03:00:00Z`\ng.yaml:13:108: freeze.windows[0].scope.routes[0]: there is no route `serch`; did you mean `search`?",
    ),
    (
        "freeze: { windows: [{ id: w, start: \"2030-01-05T02:00:00Z\", end: \"2030-01-05T03:00:00Z\", scope: { upstreams: [lab] } }] }",
        "g.yaml:13:111: freeze.windows[0].scope.upstreams[0]: there is no upstream `lab`; the upstreams are stable",
    ),
    (
        "retries: { tries: 0, base: 2s, cap: 1s, budget: 3 }",
        "g.yaml:13:19: retries.tries: 0 tries cannot be made; write a number from 1 (nothing is sent again) to 10\ng.yaml:13:37: retries.cap: `1s` is shorter than `base`, 2s; make it as long at least\ng.yaml:13:49: retries.budget: 3 is not a share of requests; write a number from 0 to 1, such as 0.2",
    ),
    ("retries: { tires: 3 }", "g.yaml:13:12: retries.tires: unknown key `tires`; did you mean `tries`?"),
    ("rollouts: { r: { active: stable } }", "g.yaml:13:16: rollouts.r: the key `candidate` is missing here"),
    (
        "rollouts: { r: { active: stable, candidate: next } }",
        "g.yaml:13:45: rollouts.r.candidate: there is no upstream `next`; the upstreams are stable",
    ),
    (
        "rollouts: { r: { active: stable, candidate: stable, steps: [25, 5, 50], sticky: { claim: sub } } }",
        "g.yaml:13:45: rollouts.r.candidate: `stable` is the active upstream; name the one that is tried\ng.yaml:13:60: rollouts.r.steps: do not end with 100, where every key is on the candidate\ng.yaml:13:65: rollouts.r.steps[1]: 5 does not come after 25; steps rise\ng.yaml:13:90: rollouts.r.sticky.claim: no token is verified without `jwt` at the top level, which says by whose keys; add it",
    ),
    (
        "rollouts: { r: { active: stable, candidate: stable, weight: 101, salt: \"\", steps: [0, 100], window: { samples: 0 } } }",
        "g.yaml:13:45: rollouts.r.candidate: `stable` is the active upstream; name the one that is tried\ng.yaml:13:61: rollouts.r.weight: 101 is above 100; it is percent of the keys\ng.yaml:13:72: rollouts.r.salt: is empty or longer than 128 bytes; leave it out for the name\ng.yaml:13:84: rollouts.r.steps[0]: 0 is not a percentage from 1 to 100\ng.yaml:13:112: rollouts.r.window.samples: 0 samples show nothing; write 1 or more",
    ),
    (
        "rollouts: { r: { active: stable, candidate: stable, gates: { error_rate: 0 }, abort: { error_rate: 0.001, latency_p99_ratio: 1 } } }",
        "g.yaml:13:45: rollouts.r.candidate: `stable` is the active upstream; name the one that is tried\ng.yaml:13:74: rollouts.r.gates.error_rate: 0 is not a share above 0 and below 1, such as 0.005 for 0.5 %\ng.yaml:13:126: rollouts.r.abort.latency_p99_ratio: 1 is not above 1 and up to 1000, such as 2",
    ),
    (
        "rollouts: { r: { active: stable, candidate: stable, sticky: { cookie: \"a b\" }, dry_run: [error_rate, error_rate] } }",
        "g.yaml:13:45: rollouts.r.candidate: `stable` is the active upstream; name the one that is tried\ng.yaml:13:71: rollouts.r.sticky.cookie: `a b` is not the name of a cookie: a cookie's name is 1 to 64 letters, digits, or any of !#$%&'*+-.^_`|~\ng.yaml:13:102: rollouts.r.dry_run[1]: is there twice; write it once",
    ),
    (
        "rollouts: { r: { active: stable, candidate: stable, sticky: { tenant: true } } }",
        "g.yaml:13:45: rollouts.r.candidate: `stable` is the active upstream; name the one that is tried\ng.yaml:13:71: rollouts.r.sticky.tenant: requests have no tenant unless `tenants.from` says where it stands; add it, or choose another key",
    ),
    (
        "rollouts: { \"r r\": { active: stable, candidate: stable, sticky: { client: false } } }",
        "g.yaml:13:13: rollouts.r r: `r r` is not a name; use 1 to 64 letters, digits and _.-\ng.yaml:13:49: rollouts.r r.candidate: `stable` is the active upstream; name the one that is tried\ng.yaml:13:75: rollouts.r r.sticky.client: can only be true; leave the key out for none",
    ),
    (
        "rollouts: { r: { active: stable, candidate: stable, dry_run: [errors], sticky: { ip: true } } }",
        "g.yaml:13:63: rollouts.r.dry_run[0]: unknown choice `errors`; the choices here are error_rate, latency_p95_uplift, abort_error_rate, abort_latency_p99_ratio\ng.yaml:13:82: rollouts.r.sticky.ip: unknown choice `ip`; the choices here are header, cookie, tenant, claim, client",
    ),
    (
        "rollouts: { r: { active: stable, candidate: stable, switch: { hold: 9000h } } }",
        "g.yaml:13:45: rollouts.r.candidate: `stable` is the active upstream; name the one that is tried\ng.yaml:13:69: rollouts.r.switch.hold: `375d` is longer than 366d; write a shorter duration",
    ),
    (
        "intents: { ttl: soon }",
        "g.yaml:13:17: intents.ttl: `soon` is not a duration; write digits and a unit, such as 250ms, 30s, 5m, 48h or 2d",
    ),
    (
        "shutdown: { limit: 0s }",
        "g.yaml:13:20: shutdown.limit: 0s would end everything at once; write a longer time",
    ),
    ("access_log: { file: x }", "g.yaml:13:15: access_log.file: unknown key `file`; the keys here are path"),
    ("listen: []", "g.yaml:13:1: listen: the key `listen` is given twice, first on line 1; remove one"),
    ("\tlog: {}", "g.yaml:13:1: the line is indented by a tab; YAML is indented by spaces"),
    ("log: { level: info", "g.yaml:13:6: this is not YAML: unclosed bracket '{'"),
    ("log: *level", "g.yaml:13:6: this is not YAML: while parsing node, found unknown anchor"),
    ("log: !include log.yaml", "g.yaml:13:15: the tag `!include` means nothing here; remove it"),
    (
        "---\nlog: {}",
        "g.yaml:13:1: a second document begins here; a configuration is one document, so remove this `---` and what belongs to the other",
    ),
];

/// What is replaced in the good document, by what, and what is said.
const REPLACED: &[(&str, &str, &str)] = &[
    ("listen:\n  - address: 127.0.0.1:8080\n", "", "g.yaml:1:1: the key `listen` is missing here"),
    ("listen:", "listne:", "g.yaml:1:1: listne: unknown key `listne`; did you mean `listen`?"),
    (
        "listen:\n  - address: 127.0.0.1:8080\n",
        "listen: []\n",
        "g.yaml:1:9: listen: at least one address is needed, such as `- address: 127.0.0.1:8080`",
    ),
    (
        "listen:\n  - address: 127.0.0.1:8080\n",
        "listen: 127.0.0.1:8080\n",
        "g.yaml:1:9: listen: expected a list, found the text `127.0.0.1:8080`",
    ),
    (
        "- address: 127.0.0.1:8080",
        "- 127.0.0.1:8080",
        "g.yaml:2:5: listen[0]: expected a mapping with the keys address, tls, proxy_protocol, found the text `127.0.0.1:8080`",
    ),
    (
        "127.0.0.1:8080",
        "8080",
        "g.yaml:2:14: listen[0].address: `8080` is not an address; write IP:PORT, such as 127.0.0.1:8080 or [::]:8443, or systemd:NAME",
    ),
    (
        "127.0.0.1:8080",
        "\"systemd:\"",
        "g.yaml:2:14: listen[0].address: `systemd:` needs the name of a socket, such as systemd:web",
    ),
    (
        "  - address: 127.0.0.1:8080",
        "  - address: 127.0.0.1:8080\n  - address: 127.0.0.1:8080",
        "g.yaml:3:14: listen[1].address: `127.0.0.1:8080` is already listen[0]; remove one",
    ),
    (
        "127.0.0.1:8080",
        "127.0.0.1:8080\n    tls: { cert: a.pem }",
        "g.yaml:3:10: listen[0].tls: the key `key` is missing here",
    ),
    (
        "[\"http://127.0.0.1:7001\"]",
        "[]",
        "g.yaml:5:16: upstreams.stable.endpoints: at least one endpoint is needed, such as \"http://127.0.0.1:7001\"",
    ),
    (
        "[\"http://127.0.0.1:7001\"]",
        "http://127.0.0.1:7001",
        "g.yaml:5:16: upstreams.stable.endpoints: expected a list, found the text `http://127.0.0.1:7001`",
    ),
    (
        "\"http://127.0.0.1:7001\"",
        "127.0.0.1:7001",
        "g.yaml:5:17: upstreams.stable.endpoints[0]: `127.0.0.1:7001` is not an http or https URL; write http://HOST:PORT or https://HOST",
    ),
    (
        "http://127.0.0.1:7001",
        "http://127.0.0.1:7001/v1",
        "g.yaml:5:17: upstreams.stable.endpoints[0]: `http://127.0.0.1:7001/v1` has more than a host and a port; paths are passed on as they come; write http://HOST:PORT or https://HOST",
    ),
    (
        "http://127.0.0.1:7001",
        "http://user@127.0.0.1:7001",
        "g.yaml:5:17: upstreams.stable.endpoints[0]: `http://user@127.0.0.1:7001` has a user in it, which would be sent nowhere; write http://HOST:PORT or https://HOST",
    ),
    (
        "http://127.0.0.1:7001",
        "http://127.0.0.1:70010",
        "g.yaml:5:17: upstreams.stable.endpoints[0]: `http://127.0.0.1:70010` has a port outside 1 to 65535; write http://HOST:PORT or https://HOST",
    ),
    (
        "http://127.0.0.1:7001",
        "http://a b",
        "g.yaml:5:17: upstreams.stable.endpoints[0]: `http://a b` has no host that can be looked up; write http://HOST:PORT or https://HOST",
    ),
    (
        "[\"http://127.0.0.1:7001\"]",
        "[\"http://127.0.0.1:7001\", \"http://127.0.0.1:7001\"]",
        "g.yaml:5:42: upstreams.stable.endpoints[1]: `http://127.0.0.1:7001` is already endpoints[0]; remove one",
    ),
    (
        "endpoints:",
        "endpoint:",
        "g.yaml:5:5: upstreams.stable.endpoint: unknown key `endpoint`; did you mean `endpoints`?",
    ),
    (
        "    endpoints:",
        "    protocol: h2\n    endpoints:",
        "g.yaml:5:15: upstreams.stable.protocol: unknown choice `h2`; the choices here are auto, http1, http2",
    ),
    (
        "    endpoints:",
        "    health: { interval: 1s }\n    endpoints:",
        "g.yaml:5:13: upstreams.stable.health: the key `path` is missing here",
    ),
    (
        "    endpoints:",
        "    health: { path: healthz, interval: 1ms, healthy_after: 0, status: [99] }\n    endpoints:",
        "g.yaml:5:21: upstreams.stable.health.path: `healthz` is not a path; begin it with `/`, such as /healthz\ng.yaml:5:40: upstreams.stable.health.interval: `1ms` is below 10ms, which would be a flood\ng.yaml:5:60: upstreams.stable.health.healthy_after: 0 probes decide nothing; write 1 or more\ng.yaml:5:72: upstreams.stable.health.status[0]: 99 is not a final status; 200 to 599 are",
    ),
    (
        "    endpoints:",
        "    breaker: { ratio: 2, minimum: 0, base: 10s, max: 5s, probes: 0 }\n    concurrent: 0\n    endpoints:",
        "g.yaml:5:23: upstreams.stable.breaker.ratio: 2 is not a share of failures; write a number above 0 and up to 1, such as 0.5\ng.yaml:5:35: upstreams.stable.breaker.minimum: a share of no answers says nothing; write a number from 1 on, such as 20\ng.yaml:5:54: upstreams.stable.breaker.max: `5s` is shorter than `base`, 10s; make it as long at least\ng.yaml:5:66: upstreams.stable.breaker.probes: without a probe it is never used again; write a number from 1 on, such as 3\ng.yaml:6:17: upstreams.stable.concurrent: 0 would let nothing run; write 1 or more, or remove the key for no limit",
    ),
    (
        "    endpoints:",
        "    not_applied: [429, 200]\n    endpoints:",
        "g.yaml:5:24: upstreams.stable.not_applied[1]: 200 cannot promise that nothing was done; name statuses from 400 to 599, such as 429",
    ),
    (
        "  stable:\n",
        "  \"st able\":\n",
        "g.yaml:4:3: upstreams.st able: `st able` is not a name; use 1 to 64 letters, digits and _.-\ng.yaml:9:15: routes[0].upstream: there is no upstream `stable`; did you mean `st able`?\ng.yaml:12:15: routes[1].upstream: there is no upstream `stable`; did you mean `st able`?",
    ),
    (
        "upstream: stable",
        "upstream: stabel",
        "g.yaml:9:15: routes[0].upstream: there is no upstream `stabel`; did you mean `stable`?",
    ),
    (
        "upstream: stable",
        "upstream: lab",
        "g.yaml:9:15: routes[0].upstream: there is no upstream `lab`; the upstreams are stable",
    ),
    (
        "upstream: stable",
        "upstream: { rollout: r }",
        "g.yaml:9:26: routes[0].upstream.rollout: there is no rollout `r`; there are none at all",
    ),
    (
        "upstream: stable",
        "upstream: { rollout: r, writes: both, allow_forced: true }",
        "g.yaml:9:37: routes[0].upstream.writes: unknown choice `both`; the choices here are active, split\ng.yaml:9:43: routes[0].upstream.allow_forced: unknown key `allow_forced`; did you mean `allow_force`?",
    ),
    (
        "    endpoints:",
        "    pins: { \"A B\": x, MODEL_VER: \"m,1\" }\n    manifest: { path: index, interval: 1ms, timeout: 0s }\n    endpoints:",
        "g.yaml:5:20: upstreams.stable.pins.A B: `A B=x` is not a pin: a name is 1 to 64 letters, digits, `_`, `-` or `.`\ng.yaml:5:34: upstreams.stable.pins.MODEL_VER: `MODEL_VER=m,1` is not a pin: a value is visible ASCII without commas, quotes or spaces\ng.yaml:6:23: upstreams.stable.manifest.path: `index` is not a path; begin it with `/`, such as /index/manifest\ng.yaml:6:40: upstreams.stable.manifest.interval: `1ms` is below 10ms, which would be a flood\ng.yaml:6:54: upstreams.stable.manifest.timeout: no manifest can be read in no time; write a duration such as 1s",
    ),
    (
        "    endpoints:",
        "    manifest: { path: /index/manifest }\n    on_mismatch: refuse\n    endpoints:",
        "g.yaml:5:15: upstreams.stable.manifest: there are no `pins` to compare it with; declare some, or remove it\ng.yaml:6:18: upstreams.stable.on_mismatch: there are no `pins` that anything could differ from; declare some, or remove it",
    ),
    (
        "    endpoints:",
        "    pins: { MODEL_VER: 1 }\n    on_mismatch: drop\n    endpoints:",
        "g.yaml:6:18: upstreams.stable.on_mismatch: unknown choice `drop`; the choices here are pass, refuse",
    ),
    (
        "upstream: stable",
        "upstream: [stable]",
        "g.yaml:9:15: routes[0].upstream: expected the name of an upstream, found a list",
    ),
    (
        "name: search",
        "name: rest",
        "g.yaml:10:11: routes[1].name: `rest` is already the name of routes[0]; give each route its own",
    ),
    (
        "name: search",
        "name: \"\"",
        "g.yaml:7:11: routes[0].name: `` is not a name; use 1 to 64 letters, digits and _.-",
    ),
    ("name: search", "nmae: search", "g.yaml:7:5: routes[0].nmae: unknown key `nmae`; did you mean `name`?"),
    (
        "/v1/search",
        "v1/search",
        "g.yaml:8:20: routes[0].match.path: the path `v1/search` must begin with `/`",
    ),
    (
        "/v1/search",
        "\"/v1/{*all}/x\"",
        "g.yaml:8:20: routes[0].match.path: in the path `/v1/{*all}/x`, `{*…}` must be the last segment",
    ),
    (
        "/v1/search",
        "/v1//search",
        "g.yaml:8:20: routes[0].match.path: the path `/v1//search` can never match: `//` is not in any path that is let through (no empty or dot segments, no encoded slashes, no query)",
    ),
    (
        "/v1/search",
        "\"/v1/s{x}\"",
        "g.yaml:8:20: routes[0].match.path: in the path `/v1/s{x}`, the segment `s{x}` is not a parameter; write `{name}` for one segment or `{*rest}` at the end",
    ),
    (
        "/v1/search, methods: [POST]",
        "\"/{*all}\"",
        "g.yaml:11:12: routes[1].match: route `rest` can never match: everything it takes goes to `search`, routes[0], before it; put it first, or remove it",
    ),
    (
        "[POST]",
        "[post]",
        "g.yaml:8:42: routes[0].match.methods[0]: `post` is not a method; methods are written in capitals, such as GET or POST",
    ),
    (
        "[POST]",
        "[]",
        "g.yaml:8:41: routes[0].match.methods: no method is let through; name one, or remove the key to take all",
    ),
    ("[POST]", "[POST, POST]", "g.yaml:8:48: routes[0].match.methods[1]: `POST` is given twice; remove one"),
    ("[POST]", "POST", "g.yaml:8:41: routes[0].match.methods: expected a list, found the text `POST`"),
    (
        "    upstream: stable\n",
        "    upstream: stable\n    access: readonly\n",
        "g.yaml:10:13: routes[0].access: unknown choice `readonly`; the choices here are read, write",
    ),
    (
        "    upstream: stable\n",
        "    upstream: stable\n    when_frozen: queue\n",
        "g.yaml:10:18: routes[0].when_frozen: a write can only be kept under its idempotency key; add `idempotency: { required: true }` to the route, or write refuse",
    ),
    (
        "    upstream: stable\n",
        "    upstream: stable\n    idempotency: { ttl: 0s }\n",
        "g.yaml:10:25: routes[0].idempotency.ttl: 0s is not long enough; write a duration such as 48h\ng.yaml:10:25: routes[0].idempotency.ttl: `0s` is shorter than `wait`, `2s`; a key must outlive its wait",
    ),
    (
        "    upstream: stable\n",
        "    upstream: stable\n    idempotency: { conflict_status: 500, key_from: [{ json: a }], ignore: [b] }\n",
        "g.yaml:10:37: routes[0].idempotency.conflict_status: 500 is not offered; write 422 or 409\ng.yaml:10:61: routes[0].idempotency.key_from[0].json: `a` is not a JSON pointer; write one such as /order/id (`~` as ~0, `/` in a name as ~1)\ng.yaml:10:76: routes[0].idempotency.ignore[0]: `b` is not a JSON pointer; write one such as /order/id (`~` as ~0, `/` in a name as ~1)",
    ),
    (
        "    upstream: stable\n",
        "    upstream: stable\n    preset: qdrnt\n",
        "g.yaml:10:13: routes[0].preset: unknown choice `qdrnt`; did you mean `qdrant`?",
    ),
    (
        "    upstream: stable\n",
        "    upstream: stable\n    peek: 2MiB\n",
        "g.yaml:10:11: routes[0].peek: `2MiB` is out of range; 1B to 1MiB can be read",
    ),
    (
        "    upstream: stable\n",
        "    upstream: stable\n    peek: 0B\n",
        "g.yaml:10:11: routes[0].peek: `0B` is out of range; 1B to 1MiB can be read",
    ),
    (
        "    upstream: stable\n",
        "    upstream: stable\n    shadow: { to: lab }\n",
        "g.yaml:10:13: routes[0].shadow: the key `percent` is missing here",
    ),
    (
        "    upstream: stable\n",
        "    upstream: stable\n    upstream: stable\n",
        "g.yaml:10:5: routes[0].upstream: the key `upstream` is given twice, first on line 9; remove one",
    ),
    (
        "    upstream: stable\n",
        "    upstream: stable\n    lane: bulk\n    limits: { rps: 1e9, concurrent: 0 }\n",
        "g.yaml:10:11: routes[0].lane: unknown choice `bulk`; the choices here are interactive, batch",
    ),
    (
        "    upstream: stable\n",
        "    upstream: stable\n    limits: { deadline: 0s }\n",
        "g.yaml:10:25: routes[0].limits.deadline: 0s would end everything at once; write a longer time",
    ),
];

#[test]
fn what_is_added_wrongly_is_told_exactly() {
    for (added, message) in ADDED {
        assert_eq!(told(&format!("{GOOD}{added}\n")), *message, "{added}");
    }
}

#[test]
fn what_is_replaced_wrongly_is_told_exactly() {
    for (from, to, message) in REPLACED {
        assert!(GOOD.contains(from), "{from}");
        assert_eq!(told(&GOOD.replacen(from, to, 1)), *message, "{from} by {to}");
    }
}

#[test]
fn writes_cannot_be_kept_in_memory() {
    let keyed = "    upstream: stable\n    idempotency: {}\n    when_frozen: queue\n";
    let text = format!("{}store: {{ memory: {{}} }}\n", GOOD.replacen("    upstream: stable\n", keyed, 1));
    assert_eq!(
        told(&text),
        "g.yaml:11:18: routes[0].when_frozen: `store.memory` would lose what is kept at the next restart; use `store.embedded` or `store.redis`, or write refuse"
    );
}

#[test]
fn files_that_cannot_be_read_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let said = |name: &str, content: Option<&[u8]>| {
        let file = folder.path().join(name);
        if let Some(content) = content {
            std::fs::write(&file, content).unwrap();
        }
        let text = load(&file).unwrap_err().to_string();
        text.strip_prefix(&file.display().to_string()).unwrap().to_owned()
    };
    assert_eq!(
        said("none.yaml", None),
        ": there is no such file; check the path, or start from config/quickstart.yaml"
    );
    assert_eq!(said("", None), ": this is a folder; name the file in it");
    assert_eq!(
        said("empty.yaml", Some(b"")),
        ":1:1: the document is empty; it needs at least `listen`, `upstreams` and `routes` (config/quickstart.yaml is a start)"
    );
    assert_eq!(
        said("binary.yaml", Some(b"a: 1\nb: \xff")),
        ": line 2 is not UTF-8 text; save the file as UTF-8"
    );
    assert_eq!(
        said("large.yaml", Some(&vec![b' '; (4 << 20) + 1])),
        ":1:1: the document has 4194305 bytes; 4 MiB is the most"
    );
}

#[test]
fn all_that_is_wrong_is_told_in_the_order_of_the_text() {
    let shape = "\
listen: 127.0.0.1:8080
upstreams:
  stable: { endpoints: [], protocol: http3, health: { path: /h, interval: 5 } }
  next: { endpoint: [\"http://127.0.0.1:7002\"] }
routes:
  - { name: one, match: { path: v1 }, upstream: { rollot: x } }
  - { match: { path: /x }, upstream: stable }
log: { level: loud }
";
    assert_eq!(
        told(shape),
        "\
g.yaml:1:9: listen: expected a list, found the text `127.0.0.1:8080`
g.yaml:3:38: upstreams.stable.protocol: unknown choice `http3`; did you mean `http1`?
g.yaml:3:75: upstreams.stable.health.interval: `5` is not a duration; write digits and a unit, such as 250ms, 30s, 5m, 48h or 2d
g.yaml:4:11: upstreams.next.endpoint: unknown key `endpoint`; did you mean `endpoints`?
g.yaml:6:33: routes[0].match.path: the path `v1` must begin with `/`
g.yaml:6:51: routes[0].upstream.rollot: unknown key `rollot`; did you mean `rollout`?
g.yaml:7:5: routes[1]: the key `name` is missing here
g.yaml:8:15: log.level: unknown choice `loud`; the choices here are error, warn, info, debug, trace"
    );
    let values = "\
listen: []
admin: { address: \"0.0.0.0:9901\" }
upstreams:
  a b: { endpoints: [] }
routes:
  - { name: one, match: { path: /x }, upstream: stable }
  - { name: one, match: { path: /x }, upstream: a b }
timeouts: { connect: 0s }
retries: { tries: 0 }
";
    assert_eq!(
        told(values),
        "\
g.yaml:1:9: listen: at least one address is needed, such as `- address: 127.0.0.1:8080`
g.yaml:2:19: admin.address: `0.0.0.0:9901` is not loopback, so the admin API needs a token; set admin.token_file, or listen on 127.0.0.1
g.yaml:4:3: upstreams.a b: `a b` is not a name; use 1 to 64 letters, digits and _.-
g.yaml:4:21: upstreams.a b.endpoints: at least one endpoint is needed, such as \"http://127.0.0.1:7001\"
g.yaml:6:49: routes[0].upstream: there is no upstream `stable`; the upstreams are a b
g.yaml:7:13: routes[1].name: `one` is already the name of routes[0]; give each route its own
g.yaml:7:25: routes[1].match: route `one` can never match: everything it takes goes to `one`, routes[0], before it; put it first, or remove it
g.yaml:8:22: timeouts.connect: 0s would end everything at once; write a longer time
g.yaml:9:19: retries.tries: 0 tries cannot be made; write a number from 1 (nothing is sent again) to 10"
    );
}
