//! The collective rates (contract aws 1.9): twenty calls a second each for sso-admin, identitystore and SCIM.

use std::sync::Mutex;
use std::time::Instant;

use crate::core::lock;

const PER_SECOND: f64 = 20.0;

/// A token bucket on wall time: clients are slow or fast by the wall clock, whatever the clouds' clock shows.
#[derive(Debug)]
pub(crate) struct Bucket {
    /// How many calls may come at once: UNCONFIRMED (contract aws 11.1), hence a switch.
    burst: f64,
    tokens: Mutex<(f64, Instant)>,
}

impl Bucket {
    pub fn new(burst: u32) -> Self {
        let burst = f64::from(burst.max(1));
        Self { burst, tokens: Mutex::new((burst, Instant::now())) }
    }

    /// Takes one token if there is one.
    pub fn admit(&self) -> bool {
        let mut guard = lock(&self.tokens);
        let (tokens, last) = &mut *guard;
        let now = Instant::now();
        *tokens = (*tokens + now.duration_since(*last).as_secs_f64() * PER_SECOND).min(self.burst);
        *last = now;
        if *tokens < 1.0 {
            return false;
        }
        *tokens -= 1.0;
        true
    }
}
