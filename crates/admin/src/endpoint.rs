//! An endpoint and what is said about it, in one value.
//!
//! The router, the list at `GET /` and the document at `GET /openapi.json` are all made from these:
//! an endpoint that is served is described, and one that is described is served. What an answer
//! looks like comes from the type that is written as it.

use std::sync::Arc;

use axum::{
    Router,
    handler::Handler,
    routing::{MethodFilter, MethodRouter, on},
};
use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings};

use crate::Shared;

/// Makes the schema of a type, and of what it refers to.
pub(crate) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// One method of one path.
pub(crate) struct Endpoint {
    /// `GET`, and so on.
    pub(crate) method: &'static str,
    /// With names in braces, as the router takes it.
    pub(crate) path: &'static str,
    /// Its name in code that is made from the document.
    pub(crate) id: &'static str,
    /// What it does, in a line.
    pub(crate) says: &'static str,
    /// The part of the gateway that it belongs to.
    pub(crate) topic: &'static str,
    /// What the name in its path looks like.
    pub(crate) segment: SchemaOf,
    /// What its query may hold.
    pub(crate) query: Vec<Parameter>,
    /// What it takes.
    pub(crate) takes: Option<Takes>,
    /// What it answers where all is well.
    pub(crate) answers: Vec<Answer>,
    /// What it refuses with: status and code.
    pub(crate) refuses: Vec<(u16, &'static str)>,
    /// Whether it is open to whoever can reach it.
    pub(crate) open: bool,
    route: MethodRouter<Arc<Shared>>,
}

/// A parameter of the query; none is needed.
#[derive(Clone, Copy)]
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) schema: SchemaOf,
}

/// A body of a request.
pub(crate) struct Takes {
    pub(crate) kinds: &'static [&'static str],
    pub(crate) required: bool,
    pub(crate) schema: SchemaOf,
}

/// A body of an answer that is no refusal.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) kind: &'static str,
    pub(crate) schema: SchemaOf,
}

impl Parameter {
    pub(crate) const fn new(name: &'static str, about: &'static str, schema: SchemaOf) -> Self {
        Self { name, about, schema }
    }
}

/// The schema of a type, under its name among the document's own.
pub(crate) fn schema_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// A name that is looked up as it is.
fn name(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "string", "minLength": 1 })
}

/// A whole number that is not negative.
pub(crate) fn whole(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "integer", "minimum": 0, "maximum": u64::MAX })
}

/// A whole number from 1.
pub(crate) fn from_one(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "integer", "minimum": 1, "maximum": u64::MAX })
}

/// The schema of what is read: what may be left out is not required. It stands where it is used, since
/// what is written under the same name is another one.
fn read_as<T: JsonSchema>(_: &mut SchemaGenerator) -> Schema {
    let settings = SchemaSettings::draft2020_12().for_deserialize().with(|it| it.inline_subschemas = true);
    settings.into_generator().subschema_for::<T>()
}

/// Text that is not blank.
fn words(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "string", "pattern": "\\S" })
}

/// Some text.
pub(crate) fn text(_: &mut SchemaGenerator) -> Schema {
    schemars::json_schema!({ "type": "string" })
}

impl Endpoint {
    fn new<H, T>(filter: MethodFilter, method: &'static str, path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        Self {
            method,
            path,
            id: "",
            says: "",
            topic: "",
            segment: name,
            query: Vec::new(),
            takes: None,
            answers: Vec::new(),
            refuses: Vec::new(),
            open: false,
            route: on(filter, handler),
        }
    }

    /// One that shows something.
    pub(crate) fn get<H, T>(path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        Self::new(MethodFilter::GET, "GET", path, handler)
    }

    /// One that does something.
    pub(crate) fn post<H, T>(path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        Self::new(MethodFilter::POST, "POST", path, handler)
    }

    /// One that puts something there, as often as it likes.
    pub(crate) fn put<H, T>(path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        Self::new(MethodFilter::PUT, "PUT", path, handler)
    }

    /// One that takes something away.
    pub(crate) fn delete<H, T>(path: &'static str, handler: H) -> Self
    where
        H: Handler<T, Arc<Shared>>,
        T: 'static,
    {
        Self::new(MethodFilter::DELETE, "DELETE", path, handler)
    }

    /// Its name in code, and what it does.
    pub(crate) fn named(mut self, id: &'static str, says: &'static str) -> Self {
        (self.id, self.says) = (id, says);
        self
    }

    /// What the name in its path looks like, where not every one will do.
    pub(crate) fn segment(mut self, schema: SchemaOf) -> Self {
        self.segment = schema;
        self
    }

    /// What its query may hold.
    pub(crate) fn query(mut self, parameters: &[Parameter]) -> Self {
        self.query.extend_from_slice(parameters);
        self
    }

    /// It takes JSON of this form.
    pub(crate) fn takes<T: JsonSchema>(mut self, required: bool) -> Self {
        self.takes = Some(Takes { kinds: &["application/json"], required, schema: read_as::<T> });
        self
    }

    /// It takes text of these kinds.
    pub(crate) fn takes_text(mut self, kinds: &'static [&'static str]) -> Self {
        self.takes = Some(Takes { kinds, required: true, schema: words });
        self
    }

    /// It answers 200 with JSON of this form.
    pub(crate) fn answers<T: JsonSchema>(self) -> Self {
        self.also(200, "application/json", schema_of::<T>)
    }

    /// It may answer like this, too.
    pub(crate) fn also(mut self, status: u16, kind: &'static str, schema: SchemaOf) -> Self {
        self.answers.push(Answer { status, kind, schema });
        self
    }

    /// It may refuse with these codes, besides those that every endpoint of its kind has.
    pub(crate) fn refuses(mut self, status: u16, codes: &[&'static str]) -> Self {
        self.refuses.extend(codes.iter().map(|code| (status, *code)));
        self
    }

    /// Whoever can reach it may ask it, token or not.
    pub(crate) fn open(mut self) -> Self {
        self.open = true;
        self
    }

    /// Whether it changes anything.
    pub(crate) fn changes(&self) -> bool {
        self.method != "GET"
    }
}

/// Endpoints of one part of the gateway.
pub(crate) fn of(topic: &'static str, endpoints: Vec<Endpoint>) -> Vec<Endpoint> {
    endpoints.into_iter().map(|endpoint| Endpoint { topic, ..endpoint }).collect()
}

/// The router that serves them.
pub(crate) fn router(endpoints: Vec<Endpoint>) -> Router<Arc<Shared>> {
    endpoints.into_iter().fold(Router::new(), |router, endpoint| router.route(endpoint.path, endpoint.route))
}
