//! What a connection wants, apart from how the Entra job is told.

use sha2::{Digest as _, Sha256};

use super::annotations::Act;
use super::schema::Wanted;
use crate::secret::Sensitive;

/// The SCIM endpoint and its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credentials {
    /// The endpoint, without a trailing slash (contract aws 4).
    pub endpoint: String,
    /// The bearer token.
    pub token: Sensitive,
}

impl Credentials {
    /// Tells whether these were handed over, without keeping them: a digest keyed by the owner mark, the same in
    /// every cluster that is built from the same Git. The token's own randomness keeps it from being guessed.
    #[must_use]
    pub fn digest(&self, mark: &str) -> String {
        let mut digest = Sha256::new();
        for part in ["causeway scim credentials", mark, &self.endpoint, self.token.expose()] {
            digest.update((part.len() as u64).to_be_bytes());
            digest.update(part);
        }
        hex::encode(digest.finalize())
    }
}

/// What a connection wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Desired {
    /// The job is paused, and nothing else.
    pub suspended: bool,
    /// Endpoint and token; none while the Secret does not exist.
    pub credentials: Option<Credentials>,
    /// The digest of [`Desired::credentials`].
    pub digest: Option<String>,
    /// Everybody in the tenant, not only who is assigned.
    pub everybody: bool,
    /// The accidental-deletion guard; none: as it is.
    pub max_deletions: Option<i64>,
    /// Mappings.
    pub mappings: Wanted,
    /// A restart that is due.
    pub restart: Option<Act>,
    /// A provision on demand that is due.
    pub on_demand: Option<Act>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_depends_on_mark_endpoint_and_token_only() {
        let of = |endpoint: &str, token: &str, mark: &str| {
            Credentials { endpoint: endpoint.into(), token: Sensitive::new(token) }.digest(mark)
        };
        let one = of("https://a", "t", "i/n/c");
        assert_eq!(one, of("https://a", "t", "i/n/c"));
        for other in [
            of("https://b", "t", "i/n/c"),
            of("https://a", "u", "i/n/c"),
            of("https://a", "t", "i/n/d"),
            of("https://at", "", "i/n/c"),
        ] {
            assert_ne!(one, other);
        }
    }
}
