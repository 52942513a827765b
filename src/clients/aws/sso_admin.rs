use std::collections::BTreeSet;

use crate::clients::{CloudError, CloudErrorKind, Service};

/// The most pages a listing may have: far beyond any quota (contract aws 1.8), short of forever.
const MAX_PAGES: usize = 10_000;

/// IAM Identity Center's administration API for one instance. Cheap to clone.
///
/// The operations live in `permission_sets`, `assignments` and `provisioning`. Those that write are visible in
/// this crate only, and only the engine calls them.
#[derive(Clone, Debug)]
pub struct SsoAdmin {
    pub(super) client: aws_sdk_ssoadmin::Client,
    pub(super) instance: String,
}

impl SsoAdmin {
    /// For one instance.
    #[must_use]
    pub fn new(client: aws_sdk_ssoadmin::Client, instance_arn: impl Into<String>) -> Self {
        Self { client, instance: instance_arn.into() }
    }
}

/// Reads every page, or fails; never a part. Empty pages with a token are legal (contract aws 6).
pub(super) async fn every_page<T, P, F>(
    service: Service,
    operation: &'static str,
    mut page: P,
) -> Result<Vec<T>, CloudError>
where
    P: FnMut(Option<String>) -> F,
    F: Future<Output = Result<(Vec<T>, Option<String>), CloudError>>,
{
    let mut all = Vec::new();
    let mut token: Option<String> = None;
    let mut followed = BTreeSet::new();
    for _ in 0..MAX_PAGES {
        let (items, next) = page(token.clone()).await?;
        all.extend(items);
        let Some(next) = next.filter(|t| !t.is_empty()) else { return Ok(all) };
        // A circle may be longer than one page.
        if !followed.insert(next.clone()) {
            break;
        }
        token = Some(next);
    }
    Err(unreadable(service, operation, "the listing does not end"))
}

/// An answer that lacks what it must have.
pub(super) fn unreadable(service: Service, operation: &'static str, message: &str) -> CloudError {
    CloudError {
        service,
        operation,
        kind: CloudErrorKind::Transient,
        status: 200,
        code: String::new(),
        message: message.to_owned(),
        request_id: None,
    }
}

/// A member that must be there.
pub(super) fn present<T>(
    value: Option<T>,
    service: Service,
    operation: &'static str,
    member: &str,
) -> Result<T, CloudError> {
    value.ok_or_else(|| unreadable(service, operation, &format!("the answer lacks {member}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(script: Vec<(Vec<u8>, Option<&'static str>)>) -> Result<Vec<u8>, CloudError> {
        let mut pages = script.into_iter();
        every_page(Service::SsoAdmin, "List", |_| {
            let page = pages.next().ok_or_else(|| unreadable(Service::SsoAdmin, "List", "cut off"));
            async move { page.map(|(items, next)| (items, next.map(str::to_owned))) }
        })
        .await
    }

    #[tokio::test]
    async fn reads_every_page_also_behind_an_empty_one() {
        let all = read(vec![(vec![1], Some("a")), (vec![], Some("b")), (vec![2], None)]).await;
        assert_eq!(all.expect("complete"), [1, 2]);
    }

    #[tokio::test]
    async fn a_listing_that_breaks_off_is_an_error_and_not_a_part() {
        assert!(read(vec![(vec![1], Some("a"))]).await.is_err());
    }

    #[tokio::test]
    async fn a_listing_that_loops_is_an_error() {
        for circle in [["a", "a", "a"], ["a", "b", "a"]] {
            let mut script: Vec<_> = circle.map(|token| (vec![1], Some(token))).into();
            script.push((vec![1], None));
            assert!(read(script).await.is_err(), "{circle:?} comes to an end");
        }
    }
}
