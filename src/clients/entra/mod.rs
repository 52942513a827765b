//! Microsoft Graph and Entra's sign-in host.

pub mod applications;
pub mod assignments;
pub mod certificates;
pub mod directory;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::CloudError;

/// Microsoft Graph for one tenant and one identity. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Graph {}

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

impl Graph {
    /// GET of one object. `operation` is the path template with `{id}`; `path` starts with `/` and is already
    /// percent-encoded; `query` values are encoded here. Retried within limits.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn get<T: DeserializeOwned>(&self, operation: &'static str, path: &str, query: &[(&str, &str)]) -> Result<T, CloudError> {
        let _ = (operation, path, query);
        todo!()
    }

    /// GET of a whole collection: every page, or an error; never a part.
    ///
    /// # Errors
    /// The classified failure; a next link that loops, leads elsewhere or never ends.
    pub async fn list<T: DeserializeOwned>(&self, operation: &'static str, path: &str, query: &[(&str, &str)]) -> Result<Vec<T>, CloudError> {
        let _ = (operation, path, query);
        todo!()
    }

    /// Any writing call. Never retried here: the caller knows whether it may be.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn send(&self, operation: &'static str, method: http::Method, path: &str, body: Option<&Value>) -> Result<Reply, CloudError> {
        let _ = (operation, method, path, body);
        todo!()
    }

    /// The federation metadata document of an application (contract Graph 2.3): no token, not Graph.
    ///
    /// # Errors
    /// The classified failure; a document of more than 1 MiB.
    pub async fn federation_metadata(&self, app_id: &str) -> Result<String, CloudError> {
        let _ = app_id;
        todo!()
    }
}

/// A string as an OData literal, quotes doubled (contract Graph 1.3).
#[must_use]
pub fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A text as one segment of a path: everything but unreserved characters is percent-encoded.
#[must_use]
pub fn segment(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>().replace('+', "%20")
}
