//! What both clouds stand on: one clock, one journal, one fault table, one source of ids, and the
//! way a call passes through them.

mod call;
mod clock;
mod faults;
mod identity_token;
mod ids;
mod journal;
mod profile;
mod server;
mod tls;

pub use call::{CallMeta, Handled, Refusal};
pub use clock::Clock;
pub use faults::{FaultKind, FaultRule, Faults, Verdict};
pub(crate) use identity_token::{Flaw, IdentityToken};
pub use identity_token::{Issuer, Issuers};
pub use ids::Ids;
pub(crate) use journal::lock;
pub use journal::{Counter, Counters, Entry, Journal};
pub use profile::{Profile, Span};
pub use server::{CutConnection, Listening, serve};
pub use tls::Authority;

/// Everything the clouds share. One per sandbox, behind an `Arc`.
#[derive(Debug)]
pub struct Core {
    /// The clouds' clock (the operator's is the wall clock).
    pub clock: Clock,
    /// How long things take.
    pub profile: Profile,
    /// Every mutation, in order.
    pub journal: Journal,
    /// How often each operation was called, by outcome.
    pub counters: Counters,
    /// Injected misbehaviour.
    pub faults: Faults,
    /// Keys of those whose identity tokens both clouds may be told to trust.
    pub issuers: Issuers,
    /// Ids and randomness, the same for the same seed.
    pub ids: Ids,
}

impl Core {
    /// A fresh core: clock at wall time, nothing recorded, no faults.
    #[must_use]
    pub fn new(profile: Profile, seed: u64) -> Self {
        Self {
            clock: Clock::new(),
            profile,
            journal: Journal::default(),
            counters: Counters::default(),
            faults: Faults::new(seed),
            issuers: Issuers::default(),
            ids: Ids::new(seed),
        }
    }
}
