//! JSON-RPC messages, alone or in a batch.
//!
//! A message with a `method` is what that method is. One without, but with a `result` or an
//! `error`, answers what the server asked of its client: nothing new is asked by it. A batch
//! writes if one of its messages does.

use std::{borrow::Cow, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};
use sluicegate_core::Access;

use super::members::{Name, Value, is, once};

/// Whether a method reads, called with that tool's name if one is named.
type Reads<'r> = dyn Fn(&str, Option<&str>) -> bool + 'r;

/// What a body of one message or a batch of them does.
pub(super) fn judge(text: &str, reads: &Reads<'_>) -> Result<Access, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    let access = OneOrMany(reads).deserialize(&mut json)?;
    json.end()?;
    Ok(access)
}

struct OneOrMany<'r>(&'r Reads<'r>);

impl<'de> DeserializeSeed<'de> for OneOrMany<'_> {
    type Value = Access;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Access, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for OneOrMany<'_> {
    type Value = Access;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON-RPC message or a batch of them")
    }

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Access, A::Error> {
        Message::of(members)?.access(self.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut messages: A) -> Result<Access, A::Error> {
        let mut access = None;
        while let Some(message) = messages.next_element::<Message<'de>>()? {
            let its = message.access(self.0)?;
            access = Some(if access == Some(Access::Write) { Access::Write } else { its });
        }
        access.ok_or_else(|| A::Error::custom("an empty batch"))
    }
}

/// What matters of a message.
#[derive(Default)]
struct Message<'a> {
    method: Option<Value<'a>>,
    params: Option<Params<'a>>,
    is_answer: bool,
}

impl<'de> Message<'de> {
    fn of<A: MapAccess<'de>>(mut members: A) -> Result<Self, A::Error> {
        let mut message = Self::default();
        while let Some(Name(name)) = members.next_key::<Name<'de>>()? {
            if is::<A::Error>(&name, "method")? {
                once::<_, A::Error>(&mut message.method, members.next_value()?)?;
            } else if is::<A::Error>(&name, "params")? {
                once::<_, A::Error>(&mut message.params, members.next_value()?)?;
            } else {
                members.next_value::<Value<'de>>()?;
                message.is_answer |= name == "result" || name == "error";
            }
        }
        Ok(message)
    }

    fn access<E: Error>(&self, reads: &Reads<'_>) -> Result<Access, E> {
        let tool = self.params.as_ref().and_then(|params| params.name.as_deref());
        match &self.method {
            Some(Value::Text(method)) if reads(method, tool) => Ok(Access::Read),
            Some(Value::Text(_)) => Ok(Access::Write),
            None if self.is_answer => Ok(Access::Read),
            _ => Err(E::custom("no JSON-RPC message")),
        }
    }
}

impl<'de> Deserialize<'de> for Message<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'de> Visitor<'de> for Object {
            type Value = Message<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON-RPC message")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Message<'de>, A::Error> {
                Message::of(members)
            }
        }

        deserializer.deserialize_map(Object)
    }
}

/// The parameters of a message: by name, by place, or none.
struct Params<'a> {
    name: Option<Cow<'a, str>>,
}

impl<'de> Deserialize<'de> for Params<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Params<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("parameters")
            }

            fn visit_unit<E: Error>(self) -> Result<Params<'de>, E> {
                Ok(Params { name: None })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Params<'de>, A::Error> {
                while elements.next_element::<Value<'de>>()?.is_some() {}
                Ok(Params { name: None })
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Params<'de>, A::Error> {
                let mut named = None;
                while let Some((Name(name), value)) = members.next_entry::<Name<'de>, Value<'de>>()? {
                    if is::<A::Error>(&name, "name")? {
                        once::<_, A::Error>(&mut named, value)?;
                    }
                }
                match named {
                    Some(Value::Text(name)) => Ok(Params { name: Some(name) }),
                    _ => Ok(Params { name: None }),
                }
            }
        }

        deserializer.deserialize_any(Any)
    }
}
