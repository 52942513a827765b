//! Microsoft Graph and Entra's sign-in host.

pub mod applications;
pub mod assignments;
pub mod certificates;
pub mod directory;
pub mod synchronization;

mod credentials;
mod failure;
mod transport;

use serde_json::Value;

pub use credentials::{ClientSecret, CredentialError, Identity, Proof};
pub use transport::{Graph, GraphOptions};

/// An answer of Graph.
#[derive(Clone, Debug)]
pub struct Reply {
    /// HTTP status.
    pub status: u16,
    /// Body; `Null` when there was none.
    pub body: Value,
    /// Graph's id of the call.
    pub request_id: Option<String>,
}

/// A string as an OData literal, quotes doubled (contract Graph 1.3).
#[must_use]
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A text as one segment of a path: everything but unreserved characters is percent-encoded. (`.` and `..` cannot be
/// encoded away; [`Graph`] refuses paths that hold them.)
#[must_use]
pub fn segment(text: &str) -> String {
    text.bytes().fold(String::with_capacity(text.len()), |mut path, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                path.push(char::from(byte))
            }
            _ => path.push_str(&format!("%{byte:02X}")),
        }
        path
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_stays_a_segment() {
        assert_eq!(segment("11111111-2222-3333-4444-555555555555"), "11111111-2222-3333-4444-555555555555");
        assert_eq!(segment("a/../b?c#d e"), "a%2F..%2Fb%3Fc%23d%20e");
        assert_eq!(segment("ada@acme.example"), "ada%40acme.example");
    }

    #[test]
    fn quotes_in_literals_are_doubled() {
        assert_eq!(literal("O'Neil's"), "'O''Neil''s'");
    }
}
