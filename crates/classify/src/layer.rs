//! The layer that puts [`Classify`] around a service.

use sluicegate_body::Budget;
use tower_layer::Layer;

use crate::{rules::Table, service::Classify};

/// Settles what each request is, before the service inside sees it.
#[derive(Clone, Debug)]
pub struct ClassifyLayer<T> {
    table: T,
    bodies: Option<Budget>,
}

impl<T: Table> ClassifyLayer<T> {
    /// Classifies by the rules of `table`: `Arc<Rules>` for rules that never change, or an
    /// `Arc<ArcSwap<_>>` of the present snapshot.
    pub const fn new(table: T) -> Self {
        Self { table, bodies: None }
    }

    /// What is read of bodies counts against this budget; where it has no room, a body is not
    /// read.
    #[must_use]
    pub fn holding(mut self, bodies: Budget) -> Self {
        self.bodies = Some(bodies);
        self
    }
}

impl<S, T: Table> Layer<S> for ClassifyLayer<T> {
    type Service = Classify<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        Classify::new(inner, self.table.clone(), self.bodies.clone())
    }
}
