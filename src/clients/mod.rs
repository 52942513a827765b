//! Thin, typed clients for the two clouds: what Causeway calls and nothing more.

pub mod aws;
mod due;
pub mod entra;
mod error;
pub mod http;
pub mod identity_token;
mod observer;
pub mod saml;
pub mod scim;
mod seen;

pub use due::{Due, Late, Slowed};
pub use error::{CloudError, CloudErrorKind, Service};
pub use observer::{Call, CallObserver};
pub(crate) use seen::{Seen, seen, status_class};
