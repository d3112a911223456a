//! `schema`: the JSON Schema of the configuration, for editors.

use super::{Exit, Failure, Streams, output};

pub(crate) fn run(to: &mut Streams<'_>) -> Result<Exit, Failure> {
    output::json(to.out, &sluicegate_config::schema())?;
    Ok(Exit::Done)
}
