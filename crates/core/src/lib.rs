//! The words all guards share.
//!
//! A guard knows nothing of its neighbours. What two of them must agree on stands here and
//! nowhere else: what is known of a request ([`facts`]), what a route is set up to do
//! ([`plan`]), how an attempt ended ([`outcome`]), whether a write may be sent again
//! ([`repeat`]), why it could not be told what a request does ([`doubt`]), which known API stands
//! behind a route ([`preset`]), which of two versions answers ([`arm`], [`pins`]), which requests
//! belong together ([`key`]) and which of them are a share of all ([`share`]), what a verified token
//! says ([`claims`]), how the gateway says no ([`refusal`]), what a trace tells ([`span`]), a value
//! that is replaced while it is read ([`live`]), where time and chance come from ([`clock`],
//! [`chance`]), what was used last ([`recent`]), what is asked of header fields ([`headers`]), whose
//! word is taken for whom a request is from ([`peers`]), and what stands in files of its own:
//! secrets ([`secret_file`]) and whose word is taken for who a server is ([`authorities`]).

pub mod arm;
pub mod authorities;
pub mod chance;
pub mod claims;
pub mod clock;
pub mod doubt;
pub mod facts;
pub mod headers;
pub mod key;
pub mod live;
pub mod outcome;
mod outlive;
pub mod peers;
pub mod pins;
pub mod plan;
pub mod preset;
pub mod recent;
pub mod refusal;
pub mod repeat;
pub mod respond;
pub mod secret_file;
pub mod share;
pub mod span;
mod text_form;
pub mod units;

pub use arm::{Arm, Role, Slot};
pub use authorities::Authorities;
pub use chance::Chance;
pub use claims::{ClaimName, Claims};
pub use clock::Clock;
pub use doubt::Doubt;
pub use facts::{Access, Classified, Facts, Lane, Tenant};
pub use key::{CookieName, KeyInput, KeySource};
pub use live::Live;
pub use outcome::{Attempt, Outcome};
pub use peers::TrustedPeers;
pub use pins::Pins;
pub use plan::{Deferral, Leads, RoutePlan};
pub use preset::PresetName;
pub use recent::Recent;
pub use refusal::{Code, OwnAnswer, Refusal};
pub use repeat::Repeat;
pub use respond::RespondLayer;
pub use share::Share;
pub use span::Traced;

/// An error of a type that the caller does not need to know.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
