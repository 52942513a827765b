//! Everything that needs more than one module: one test crate, because linking is slow.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on should stop")]

mod architecture;
mod binding;
mod clients;
mod docs;
mod faults;
mod federation;
mod frame;
mod journey;
mod load;
mod mistakes;
mod monitoring;
mod pages;
mod privilege;
mod schema;
mod scim;
#[path = "../xtask/src/stamp.rs"]
mod stamp;
mod stories;
mod support;
