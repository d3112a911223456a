//! What a freeze covers: everything, or routes, tenants, upstreams.
//!
//! A kind that is not named covers everything of its kind; kinds that are named must all
//! agree: `{ routes: [ingest], tenants: [acme] }` is what acme writes through `ingest`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use sluicegate_core::Leads;

/// The requests a freeze covers. The default covers all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scope {
    /// Names of routes; absent: every route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub routes: Option<Vec<String>>,
    /// Names of tenants; absent: every tenant, and requests without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenants: Option<Vec<String>>,
    /// Names of upstreams; absent: every upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstreams: Option<Vec<String>>,
}

/// The schema is written by hand to keep `null` out of it: a kind is left out or a list.
impl JsonSchema for Scope {
    fn schema_name() -> Cow<'static, str> {
        "FreezeScope".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let names = |about: &str| {
            serde_json::json!({
                "type": "array", "items": { "type": "string" }, "minItems": 1, "description": about
            })
        };
        schemars::json_schema!({
            "type": "object",
            "description": "What a freeze covers; without it, everything. Kinds that are named must all agree.",
            "additionalProperties": false,
            "properties": {
                "routes": names("Names of routes; absent: every route."),
                "tenants": names("Names of tenants; absent: every tenant."),
                "upstreams": names("Names of upstreams; absent: every upstream."),
            },
        })
    }
}

impl Scope {
    /// Whether it covers everything.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.routes.is_none() && self.tenants.is_none() && self.upstreams.is_none()
    }

    /// Whether a request of this route and tenant is covered, which may go to these upstreams:
    /// where a rollout has not chosen yet, either of them is enough.
    #[must_use]
    pub fn covers<'a>(&self, route: &str, upstreams: impl Into<Leads<'a>>, tenant: Option<&str>) -> bool {
        let leads = upstreams.into();
        let names = |list: &Option<Vec<String>>, name: Option<&str>| match (list, name) {
            (None, _) => true,
            (Some(list), Some(name)) => list.iter().any(|known| known == name),
            (Some(_), None) => false,
        };
        names(&self.routes, Some(route))
            && self.upstreams.as_ref().is_none_or(|list| list.iter().any(|name| leads.to(name)))
            && names(&self.tenants, tenant)
    }

    /// What is wrong with it: pairs of a path inside the scope and a message. Empty when it
    /// can be used.
    #[must_use]
    pub fn faults(&self) -> Vec<(String, String)> {
        let mut faults = Vec::new();
        for (kind, list) in
            [("routes", &self.routes), ("tenants", &self.tenants), ("upstreams", &self.upstreams)]
        {
            let Some(list) = list else { continue };
            if list.is_empty() {
                faults.push((
                    kind.to_owned(),
                    format!("names nothing, so the freeze would cover nothing; name {kind}, or leave it out"),
                ));
            }
            for (at, name) in list.iter().enumerate() {
                if name.is_empty() {
                    faults.push((format!("{kind}[{at}]"), "is empty; write a name".to_owned()));
                }
            }
        }
        faults
    }
}
