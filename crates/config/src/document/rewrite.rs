//! What a route changes of what passes, as the document says it.

use std::path::{Path, PathBuf};

use http::{HeaderValue, uri::Authority};
use sluicegate_classify::input::PathPattern;
use sluicegate_upstream::{Rewrite, rewrite::FieldsInput};

use super::RouteInput;

/// Finds a file beside the configuration.
type Resolve<'r> = &'r dyn Fn(&Path) -> PathBuf;

impl RouteInput {
    /// What it changes of what passes, nothing where it changes nothing; or everything that is
    /// wrong with it: pairs of a path inside the route and a message.
    ///
    /// With `resolve`, which finds files beside the configuration, what stands in files is read
    /// (blocking); without it these fields are left out.
    pub fn rewrite(&self, resolve: Option<Resolve<'_>>) -> Result<Option<Rewrite>, Vec<(String, String)>> {
        let mut faults = Vec::new();
        let checked = |fields: &FieldsInput| match resolve {
            Some(resolve) => fields.read(resolve),
            None => fields.check(),
        };
        let mut take = |key: &str, read: Result<_, Vec<(String, String)>>| {
            read.unwrap_or_else(|found| {
                faults.extend(found.into_iter().map(|(path, message)| (format!("{key}.{path}"), message)));
                sluicegate_upstream::rewrite::FieldRules::default()
            })
        };
        let (request, response) =
            (take("request", checked(&self.request)), take("response", checked(&self.response)));
        faults.extend(self.loses_its_key());
        let mut one = |key: &str, read: Result<_, String>| {
            read.unwrap_or_else(|message| {
                faults.push((key.to_owned(), message));
                None
            })
        };
        let strip_prefix = one("strip_prefix", self.stripped());
        let host = self.sent_host().unwrap_or_else(|message| {
            faults.push(("host".to_owned(), message));
            None
        });
        if !faults.is_empty() {
            return Err(faults);
        }
        let rewrite = Rewrite { strip_prefix, host, request, response };
        Ok(Some(rewrite).filter(|rewrite| !rewrite.is_empty()))
    }

    /// What is taken off the path, in canonical form.
    ///
    /// # Errors
    ///
    /// It is no path, or not the beginning of what the route matches.
    pub fn stripped(&self) -> Result<Option<Box<str>>, String> {
        let Some(prefix) = &self.strip_prefix else { return Ok(None) };
        let (path, such_as) =
            (&self.r#match.path, "write whole segments without a slash at the end, such as /api");
        let pattern: PathPattern = prefix.parse().map_err(|error| format!("{error}; {such_as}"))?;
        if !path.begins_with(&pattern) {
            return Err(format!("`{prefix}` is not what `{path}` begins with; {such_as}"));
        }
        Ok(Some(pattern.canonical_literal().into()))
    }

    fn sent_host(&self) -> Result<Option<HeaderValue>, String> {
        let Some(host) = &self.host else { return Ok(None) };
        if !self.preserve_host {
            return Err("`preserve_host: false` sends the endpoint's; remove one of the two".to_owned());
        }
        let wrong = || format!("`{host}` is not a host, or host and port; write one such as api.internal");
        let authority = Authority::try_from(host.as_str()).map_err(|_| wrong())?;
        if host.contains('@') || authority.host().is_empty() {
            return Err(wrong());
        }
        HeaderValue::try_from(host).map(Some).map_err(|_| wrong())
    }

    /// A route that fences by a key must pass that key on as it came.
    fn loses_its_key(&self) -> Option<(String, String)> {
        self.idempotency.as_ref()?;
        let is_key = |name: &str| name.eq_ignore_ascii_case("idempotency-key");
        let in_file = self.request.set_file.keys().find(|name| is_key(name));
        let path = match self.request.remove.iter().position(|name| is_key(name)) {
            Some(at) => format!("request.remove[{at}]"),
            None => match in_file {
                Some(name) => format!("request.set_file.{name}"),
                None => format!("request.set.{}", self.request.set.keys().find(|name| is_key(name))?),
            },
        };
        let message = "the upstream must see the key that the route's `idempotency` goes by; remove this";
        Some((path, message.to_owned()))
    }
}
