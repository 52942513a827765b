use std::sync::Mutex;

use jiff::SignedDuration;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::{Span, journal::lock};

/// Ids and draws, reproducible from a seed.
#[derive(Debug)]
pub struct Ids(Mutex<StdRng>);

impl Ids {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(StdRng::seed_from_u64(seed)))
    }

    /// A version-4 UUID in lower case.
    pub fn uuid(&self) -> String {
        let bytes: [u8; 16] = lock(&self.0).random();
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    /// `length` lower-case hexadecimal digits.
    pub fn hex(&self, length: usize) -> String {
        let mut rng = lock(&self.0);
        (0..length).map(|_| char::from(b"0123456789abcdef"[rng.random_range(0..16)])).collect()
    }

    /// `length` digits, the first not zero.
    pub fn digits(&self, length: usize) -> String {
        let mut rng = lock(&self.0);
        (0..length).map(|i| char::from(b'0' + rng.random_range(u8::from(i == 0)..10))).collect()
    }

    /// A secret of `bytes` random bytes, base64url without padding.
    pub fn secret(&self, bytes: usize) -> String {
        use base64::Engine as _;
        let mut rng = lock(&self.0);
        let raw: Vec<u8> = (0..bytes).map(|_| rng.random()).collect();
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(raw)
    }

    /// A duration from the span.
    pub fn draw(&self, span: Span) -> SignedDuration {
        let (min, max) = (span.min.as_millis() as i64, span.max.as_millis() as i64);
        SignedDuration::from_millis(lock(&self.0).random_range(min..=max.max(min)))
    }
}
