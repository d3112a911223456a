//! What a route changes of what passes through it.
//!
//! The path may lose a prefix, `Host` may be another, and header fields may be set and removed,
//! towards the upstream and towards the client. It is done where a request leaves and where its
//! answer comes in, after every guard has judged it: what a guard reads (a tenant, a lane, a key)
//! is what the client sent, and what the upstream's answer says of its versions is read before it
//! is taken off.
//!
//! **Promise.** What is forwarded is what was matched minus the prefix: in canonical form, and `/`
//! where nothing is left. First the fields of `remove` go, then those of `set` replace whatever
//! there is of their name. All tries of a request, and what is applied from an intent later, are
//! changed alike, and once. `Location` and other addresses in answers stay as the upstream wrote
//! them. Answers that the gateway makes itself are not changed.
//!
//! **Cost.** A route without any of it costs one branch.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use http::{HeaderMap, HeaderName, HeaderValue, Uri, header, request::Parts, uri::PathAndQuery};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicegate_core::secret_file;

use crate::forward::is_internal;

/// Fields that belong to one connection, frame a message or address it: not for a route to say.
const NOT_TO_CHANGE: [&str; 12] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-request-deadline",
];

/// Header fields that a route sets and removes.
#[derive(Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FieldsInput {
    /// Fields and their values; they replace what there is of that name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// The same for values that stand in files, alone: the fields and the files.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub set_file: BTreeMap<String, PathBuf>,
    /// Fields that are taken off.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remove: Vec<String>,
}

impl FieldsInput {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Replaces what must not be shown: a value may be a credential.
    pub fn redact(&mut self) {
        secret_file::redact(self.set.values_mut());
    }

    /// Checks all of it, with what stands in files. Blocking.
    pub fn read(&self, resolve: &dyn Fn(&Path) -> PathBuf) -> Result<FieldRules, Vec<(String, String)>> {
        self.check()?;
        let set = secret_file::merged(&self.set, ("set_file", &self.set_file), resolve)?;
        let whole = Self { set, set_file: BTreeMap::new(), remove: self.remove.clone() };
        let of_files = self.set_file.keys().filter_map(|name| named(name).ok()).collect();
        Ok(FieldRules { of_files, ..whole.check()? })
    }

    /// The fields, but for those that stand in files; or everything that is wrong, in these too:
    /// pairs of a path below this one and a message.
    pub fn check(&self) -> Result<FieldRules, Vec<(String, String)>> {
        let (mut rules, mut faults) = (FieldRules::default(), Vec::new());
        for (name, value) in &self.set {
            match (named(name), HeaderValue::try_from(value)) {
                (Err(message), _) => faults.push((format!("set.{name}"), message)),
                (Ok(_), Err(_)) => {
                    let message = "has a character that no header may have; write visible ASCII".to_owned();
                    faults.push((format!("set.{name}"), message));
                }
                (Ok(name), Ok(mut value)) => {
                    value.set_sensitive(true);
                    rules.set.push((name, value));
                }
            }
        }
        for name in secret_file::given_twice(&self.set, &self.set_file) {
            let message = format!("`{name}` is in `set` as well; remove one of the two");
            faults.push((format!("set_file.{name}"), message));
        }
        let in_files = self.set_file.keys().filter_map(|name| Some((name, named(name).err()?)));
        faults.extend(in_files.map(|(name, message)| (format!("set_file.{name}"), message)));
        for (at, name) in self.remove.iter().enumerate() {
            match named(name) {
                Ok(name) if rules.set.iter().any(|(set, _)| *set == name) => {
                    let message =
                        format!("`{name}` is set as well, which replaces it; remove one of the two");
                    faults.push((format!("remove[{at}]"), message));
                }
                Ok(name) => rules.remove.push(name),
                Err(message) => faults.push((format!("remove[{at}]"), message)),
            }
        }
        if faults.is_empty() { Ok(rules) } else { Err(faults) }
    }
}

impl fmt::Debug for FieldsInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let set: Vec<_> = self.set.keys().collect();
        let mut shown = f.debug_struct("FieldsInput");
        shown.field("set", &set).field("set_file", &self.set_file).field("remove", &self.remove).finish()
    }
}

/// A name that a route may set or remove.
fn named(name: &str) -> Result<HeaderName, String> {
    let Ok(parsed) = HeaderName::try_from(name) else {
        return Err(format!("`{name}` is not the name of a header; write one such as x-internal"));
    };
    if NOT_TO_CHANGE.contains(&parsed.as_str()) {
        return Err(format!(
            "`{parsed}` frames or addresses a message, which the gateway does itself; remove it"
        ));
    }
    if is_internal(&parsed) {
        return Err(format!("names like `{parsed}` are the gateway's own; choose another"));
    }
    Ok(parsed)
}

/// The same, checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldRules {
    set: Vec<(HeaderName, HeaderValue)>,
    /// Those of `set` whose values stand in files of their own, as secrets do.
    of_files: Vec<HeaderName>,
    remove: Vec<HeaderName>,
}

impl FieldRules {
    fn apply(&self, headers: &mut HeaderMap) {
        for name in &self.remove {
            headers.remove(name);
        }
        for (name, value) in &self.set {
            headers.insert(name, value.clone());
        }
    }
}

/// What a route changes of what passes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// What the path loses at its beginning: segments, without a slash at the end.
    pub strip_prefix: Option<Box<str>>,
    /// The `Host` that is sent.
    pub host: Option<HeaderValue>,
    /// Fields of requests.
    pub request: FieldRules,
    /// Fields of answers.
    pub response: FieldRules,
}

impl Rewrite {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The same but for the fields of requests that `left_alone` names, which are neither set nor
    /// removed.
    #[must_use]
    pub fn without(&self, left_alone: impl Fn(&HeaderName) -> bool) -> Self {
        let mut rest = self.clone();
        rest.request.set.retain(|(name, _)| !left_alone(name));
        rest.request.remove.retain(|name| !left_alone(name));
        rest
    }

    /// Whether what requests get under this name is a secret, since it stands in a file of its own.
    #[must_use]
    pub fn holds_secret(&self, name: &HeaderName) -> bool {
        self.request.of_files.contains(name)
    }

    /// Changes a request. To be called once, before it is addressed to an endpoint.
    pub(crate) fn request(&self, head: &mut Parts) {
        if let Some(stripped) = self.strip_prefix.as_ref().and_then(|prefix| without(&head.uri, prefix)) {
            let mut uri = std::mem::take(&mut head.uri).into_parts();
            uri.path_and_query = Some(stripped);
            // Scheme and authority stood in a URI with a path before.
            head.uri = Uri::from_parts(uri).unwrap_or_default();
        }
        self.request.apply(&mut head.headers);
        if let Some(host) = &self.host {
            head.headers.insert(header::HOST, host.clone());
        }
    }

    /// Changes an answer.
    pub(crate) fn response(&self, headers: &mut HeaderMap) {
        self.response.apply(headers);
    }
}

/// The target without the prefix; none where it has another beginning.
fn without(uri: &Uri, prefix: &str) -> Option<PathAndQuery> {
    let target = uri.path_and_query()?;
    let left = target.as_str().strip_prefix(prefix)?;
    match left.as_bytes().first() {
        Some(b'/') => PathAndQuery::try_from(left).ok(),
        None | Some(b'?') => PathAndQuery::try_from(format!("/{left}")).ok(),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use http::{Request, request::Parts};
    use serde_json::json;

    use super::{FieldRules, FieldsInput, Rewrite};

    fn fields(value: serde_json::Value) -> Result<FieldRules, Vec<(String, String)>> {
        serde_json::from_value::<FieldsInput>(value).unwrap().check()
    }

    fn head(uri: &str) -> Parts {
        let request = Request::get(uri).header("x-a", "1").header("x-a", "2").header("x-b", "3");
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_path_loses_whole_segments() {
        let rewrite = Rewrite { strip_prefix: Some("/api/v1".into()), ..Rewrite::default() };
        let table = [
            ("/api/v1/x/y?q=/api/v1", "/x/y?q=/api/v1"),
            ("/api/v1", "/"),
            ("/api/v1/", "/"),
            ("/api/v1?q=1", "/?q=1"),
            ("/api/v12/x", "/api/v12/x"),
            ("/other", "/other"),
            ("http://host/api/v1/x", "http://host/x"),
        ];
        for (uri, expected) in table {
            let mut head = head(uri);
            rewrite.request(&mut head);
            assert_eq!(head.uri.to_string(), expected, "{uri}");
        }
    }

    #[test]
    fn fields_are_removed_and_set() {
        let request = fields(json!({ "set": { "X-A": "4" }, "remove": ["x-b", "x-c"] })).unwrap();
        let rewrite = Rewrite { request, host: Some("other".parse().unwrap()), ..Rewrite::default() };
        let mut head = head("/");
        rewrite.request(&mut head);
        assert_eq!(head.headers.get_all("x-a").iter().collect::<Vec<_>>(), ["4"]);
        assert!(!head.headers.contains_key("x-b"));
        assert_eq!(head.headers["host"], "other");
        rewrite.response(&mut head.headers);
        assert_eq!(head.headers["x-a"], "4", "answers have rules of their own");
        let rest = rewrite.without(|name| name == "x-a");
        assert!(rest.request.set.is_empty() && rest.request.remove.len() == 2);
    }

    #[test]
    fn what_stands_in_a_file_is_a_secret() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("key"), "hush\n").unwrap();
        let input = json!({ "set": { "x-a": "1" }, "set_file": { "X-Key": "key" } });
        let input: FieldsInput = serde_json::from_value(input).unwrap();
        let request = input.read(&|path| folder.path().join(path)).unwrap();
        let rewrite = Rewrite { request, ..Rewrite::default() };
        let secret = |name| rewrite.holds_secret(&http::HeaderName::from_static(name));
        assert_eq!((secret("x-key"), secret("x-a")), (true, false));
        let mut head = head("/");
        rewrite.request(&mut head);
        assert_eq!(head.headers["x-key"], "hush");
    }

    #[test]
    fn what_frames_or_addresses_is_not_for_a_route_to_say() {
        for name in ["Connection", "content-length", "HOST", "transfer-encoding", "x-sluicegate-a", "a b"] {
            let [(path, _)] = &fields(json!({ "set": { name: "1" } })).unwrap_err()[..] else {
                panic!("{name}")
            };
            assert_eq!(*path, format!("set.{name}"));
            let [(path, _)] = &fields(json!({ "remove": [name] })).unwrap_err()[..] else { panic!("{name}") };
            assert_eq!(path, "remove[0]");
        }
        let files = json!({ "set": { "x-a": "1" }, "set_file": { "X-A": "f", "host": "f", "x-b": "f" } });
        let faults: Vec<_> = fields(files).unwrap_err().into_iter().map(|(path, _)| path).collect();
        assert_eq!(faults, ["set_file.X-A", "set_file.host"]);
        let both = fields(json!({ "set": { "x-a": "1" }, "remove": ["X-A"] })).unwrap_err();
        assert!(both[0].1.contains("remove one of the two"), "{both:?}");
        assert!(fields(json!({ "set": { "x-a": "a\nb" } })).is_err());
    }

    #[test]
    fn values_are_not_shown() {
        let mut input: FieldsInput = serde_json::from_value(json!({ "set": { "x-a": "hush" } })).unwrap();
        assert!(!format!("{input:?}").contains("hush"));
        input.redact();
        assert_eq!(input.set["x-a"], "[redacted]");
    }
}
