//! What people do on the way from an empty tenant to people signing in: apply YAML, and carry out the hand-offs in
//! the consoles. The demo plays it slowly and aloud; the tests play it fast and often.

mod manifests;
mod operator;
mod person;

pub use manifests::{answered, api, apply, kinds, parse};
pub use operator::Operator;
pub use person::{Act, Person};
