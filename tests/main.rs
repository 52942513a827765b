//! Everything that needs more than one module: one test crate, because linking is slow.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should stop")]

mod frame;
mod binding;
mod clients;
mod federation;
mod schema;
mod scim;
mod support;
