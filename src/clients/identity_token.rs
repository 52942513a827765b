//! Tokens that say who a workload is: both clouds take them in place of a secret.

use std::path::PathBuf;

use super::{CloudError, CloudErrorKind, Service};
use crate::secret::Sensitive;

/// Where such tokens come from.
#[async_trait::async_trait]
pub trait IdentityTokens: std::fmt::Debug + Send + Sync {
    /// A token that is good for some minutes more.
    ///
    /// # Errors
    /// `Unauthenticated` with a message for people; `Transient` and `Throttled` when it is worth another try.
    async fn token(&self) -> Result<Sensitive, CloudError>;

    /// A cloud did not take this one: it is not to be handed out again for long.
    async fn refused(&self, token: &Sensitive);
}

/// A token in a file that somebody else keeps fresh, such as the kubelet. It is read anew each time (contract Graph 8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenFile(pub PathBuf);

#[async_trait::async_trait]
impl IdentityTokens for TokenFile {
    async fn token(&self) -> Result<Sensitive, CloudError> {
        let unusable = |why: String| CloudError {
            service: Service::Login,
            operation: TOKEN_FILE,
            kind: CloudErrorKind::Unauthenticated,
            status: 0,
            code: String::new(),
            message: format!("the operator's own token file {} {why}", self.0.display()),
            request_id: None,
        };
        let text = tokio::fs::read_to_string(&self.0)
            .await
            .map_err(|error| unusable(format!("cannot be read: {error}")))?;
        match text.trim() {
            "" => Err(unusable("is empty".to_owned())),
            token => Ok(Sensitive::new(token)),
        }
    }

    /// The file is read anew in any case.
    async fn refused(&self, _: &Sensitive) {}
}

/// The operation of [`TokenFile`], as errors name it.
pub const TOKEN_FILE: &str = "read the token file";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_replaced_file_takes_effect_at_once_and_a_missing_one_is_named() {
        let path = std::env::temp_dir().join(format!("causeway-token-{}", uuid::Uuid::new_v4()));
        let file = TokenFile(path.clone());
        let missing = file.token().await.unwrap_err();
        assert!(missing.message.contains(path.to_str().unwrap()), "{missing}");
        std::fs::write(&path, "one\n").unwrap();
        assert_eq!(file.token().await.unwrap().expose(), "one");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(file.token().await.unwrap().expose(), "two");
        std::fs::write(&path, " \n").unwrap();
        assert!(file.token().await.unwrap_err().message.ends_with("is empty"));
        std::fs::remove_file(&path).unwrap();
    }
}
