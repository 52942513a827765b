//! Causeway keeps Microsoft Entra ID and AWS in line. `ARCHITECTURE.md` has the map.

pub mod api;
pub mod app;
pub mod clients;
pub mod clock;
pub mod cluster;
pub mod controllers;
pub mod engine;
pub mod health;
pub mod leader;
pub mod line;
pub mod observers;
pub mod plan;
pub mod problem;
pub mod secret;
pub mod settings;
pub mod status;
pub mod telemetry;
