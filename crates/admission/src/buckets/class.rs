//! Tenant classes: some tenants get more than others.

use std::collections::BTreeMap;

/// The least and the most that a class may multiply by.
const MULTIPLIERS: std::ops::RangeInclusive<f64> = 0.001..=1000.0;

/// A class of tenants, as an index into the [`Classes`] that the set was made with. The
/// default is the class of tenants without one, which multiplies by 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Class(u16);

impl Class {
    /// The class of tenants without one.
    pub const NONE: Self = Self(0);

    pub(super) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// The classes there are, with what they multiply a tenant's rate and burst by.
#[derive(Clone, Debug, PartialEq)]
pub struct Classes {
    names: BTreeMap<String, Class>,
    multipliers: Vec<f64>,
}

/// A class that cannot be.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum ClassError {
    /// Its multiplier.
    #[error(
        "tenant class `{name}`: multiplier {multiplier} is not a number from {} to {}; use 1.0 for no change",
        MULTIPLIERS.start(), MULTIPLIERS.end()
    )]
    Multiplier {
        /// The class.
        name: String,
        /// What stood there.
        multiplier: f64,
    },
    /// There are more than an index can tell apart.
    #[error("{0} tenant classes are too many; at most {max} are possible", max = u16::MAX)]
    TooMany(usize),
}

impl ClassError {
    /// The class at fault, where it is one.
    #[must_use]
    pub fn class(&self) -> Option<&str> {
        match self {
            Self::Multiplier { name, .. } => Some(name),
            Self::TooMany(_) => None,
        }
    }
}

impl Default for Classes {
    fn default() -> Self {
        Self { names: BTreeMap::new(), multipliers: vec![1.0] }
    }
}

impl Classes {
    /// Classes by name. Of two with one name the last counts.
    pub fn new<N: Into<String>>(classes: impl IntoIterator<Item = (N, f64)>) -> Result<Self, ClassError> {
        let mut all = Self::default();
        for (name, multiplier) in classes {
            let name = name.into();
            if !MULTIPLIERS.contains(&multiplier) {
                return Err(ClassError::Multiplier { name, multiplier });
            }
            let index = u16::try_from(all.multipliers.len())
                .map_err(|_| ClassError::TooMany(all.multipliers.len()))?;
            all.names.insert(name, Class(index));
            all.multipliers.push(multiplier);
        }
        Ok(all)
    }

    /// The class of this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<Class> {
        self.names.get(name).copied()
    }

    /// Every class, that of tenants without one first.
    pub(super) fn all(&self) -> impl Iterator<Item = Class> {
        (0..=u16::MAX).map(Class).take(self.multipliers.len())
    }

    /// What each class multiplies by, in the order of their indices; there is at least one.
    pub(super) fn multipliers(&self) -> &[f64] {
        &self.multipliers
    }
}

#[cfg(test)]
mod tests {
    use super::{Class, ClassError, Classes};

    #[test]
    fn classes_are_found_by_name() {
        let classes = Classes::new([("premium", 2.0), ("free", 0.5)]).unwrap();
        assert_eq!(classes.multipliers(), [1.0, 2.0, 0.5]);
        assert_eq!(classes.named("free").map(Class::index), Some(2));
        assert_eq!(classes.named("gold"), None);
        assert_eq!(Class::default().index(), 0);
    }

    #[test]
    fn a_multiplier_that_makes_no_sense_is_refused() {
        for multiplier in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e6] {
            let Err(ClassError::Multiplier { name, .. }) = Classes::new([("x", multiplier)]) else {
                panic!("{multiplier} was taken");
            };
            assert_eq!(name, "x");
        }
    }
}
