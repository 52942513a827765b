//! What the cluster says: the federation, the Secret, and who else claims the application.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ApiResource, ListParams, Object, ObjectMeta};
use kube::{Api, ResourceExt as _};
use serde::Deserialize;

use super::desired::Credentials;
use super::handoff;
use crate::api::Mode;
use crate::api::v1alpha1::{IdentityFederation, ScimConnection};
use crate::clients::scim::scim_endpoint;
use crate::controllers::context::Context;
use crate::controllers::secrets;
use crate::problem::{Class, Problem};
use crate::secret::Sensitive;
use crate::status::{Reason, condition, is_true};

/// The federation's condition that its application can be used.
const READY: &str = "EntraApplicationReady";
/// For this long the provisioning service may not know a service principal (contract Graph 5.11).
const YOUTH: SignedDuration = SignedDuration::from_mins(10);

/// The application of a federation.
#[derive(Clone, Debug)]
pub struct Application {
    /// Object id of its service principal.
    pub service_principal: String,
    /// Whether it became ready a short while ago.
    pub young: bool,
}

/// The federation; none when it does not exist.
///
/// # Errors
/// API server trouble.
pub async fn federation(
    context: &Context,
    namespace: &str,
    name: &str,
) -> Result<Option<IdentityFederation>, Problem> {
    Ok(Api::namespaced(context.kube.clone(), namespace).get_opt(name).await?)
}

/// The problem with a federation that does not exist.
pub fn no_federation(namespace: &str, name: &str) -> Problem {
    let message = format!(
        "IdentityFederation {namespace}/{name} does not exist; create it, or correct spec.federationRef"
    );
    Problem::new(Class::Blocked, Reason::FederationNotFound, message)
}

/// The application, if it is ready.
///
/// # Errors
/// `FederationNotReady`; `ManagedByOtherParty` when Entra, where provisioning runs, is another party's.
pub fn ready_application(federation: &IdentityFederation, now: Timestamp) -> Result<Application, Problem> {
    if federation.spec.entra.external.is_some() {
        let message = format!(
            "another party looks after Entra (spec.entra.external of IdentityFederation {}), and provisioning runs there: that party creates the ScimConnection beside its own federation; delete this one",
            full_name(federation)
        );
        return Err(Problem::new(Class::Invalid, Reason::ManagedByOtherParty, message));
    }
    let conditions = federation.status.as_ref().map_or(&[][..], |s| &s.conditions);
    application(federation, now).filter(|_| is_true(conditions, READY)).ok_or_else(|| {
        let message = format!(
            "waiting for the enterprise application of IdentityFederation {}; see its condition {READY}",
            full_name(federation)
        );
        Problem::new(Class::Blocked, Reason::FederationNotReady, message)
    })
}

/// The application, ready or not; none before there is one.
pub fn application(federation: &IdentityFederation, now: Timestamp) -> Option<Application> {
    let status = federation.status.as_ref()?;
    let service_principal = status.entra.as_ref()?.service_principal_id.clone()?;
    let young = condition(&status.conditions, READY)
        .is_some_and(|c| now.duration_since(c.last_transition_time.0) < YOUTH);
    Some(Application { service_principal, young })
}

/// Namespace and name, as messages name it.
pub fn full_name(federation: &IdentityFederation) -> String {
    format!("{}/{}", federation.namespace().unwrap_or_default(), federation.name_any())
}

/// Whose setting is Observe, so that nothing is written; none when the plan is carried out. The strictest counts.
pub fn observer(own: Mode, federation: Option<&IdentityFederation>, operator: Mode) -> Option<String> {
    match (own, federation.filter(|f| f.spec.mode == Mode::Observe), operator) {
        (Mode::Observe, _, _) => Some("spec.mode".to_owned()),
        (_, Some(federation), _) => {
            Some(format!("spec.mode of IdentityFederation {}", full_name(federation)))
        }
        (_, _, Mode::Observe) => Some("the operator's own mode".to_owned()),
        (Mode::Enforce, None, Mode::Enforce) => None,
    }
}

/// The application is this connection's to provision: an application has one job, and of several connections one drives it.
///
/// # Errors
/// `ClaimedTwice` naming the other; API server trouble.
pub async fn first_claim(context: &Context, namespace: &str, object: &ScimConnection) -> Result<(), Problem> {
    let rivals = rivals(context, namespace, object).await?;
    before(object, &rivals).map_or(Ok(()), |other| Err(claimed_twice(object, other)))
}

/// As much of a connection as is needed here, whatever is wrong with the rest.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Referring {
    #[serde(default)]
    federation_ref: serde_json::Value,
}

/// A connection of the federation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimant {
    name: String,
    made: Option<Timestamp>,
    /// Whether it has the job, or began to make one.
    has_job: bool,
    /// Whether it is being deleted.
    pub is_leaving: bool,
}

impl Claimant {
    fn of(metadata: &ObjectMeta, has_job: bool) -> Self {
        Self {
            name: metadata.name.clone().unwrap_or_default(),
            made: metadata.creation_timestamp.as_ref().map(|t| t.0),
            has_job,
            is_leaving: metadata.deletion_timestamp.is_some(),
        }
    }

    /// The one that has the job goes before the others, and else whichever was made first.
    fn rank(&self) -> impl Ord + '_ {
        (!self.has_job, self.made, &self.name)
    }
}

/// Other connections of the same federation.
///
/// # Errors
/// API server trouble.
pub async fn rivals(
    context: &Context,
    namespace: &str,
    object: &ScimConnection,
) -> Result<Vec<Claimant>, Problem> {
    let resource = ApiResource::erase::<ScimConnection>(&());
    let api = Api::<Object<Referring, serde_json::Value>>::namespaced_with(
        context.kube.clone(),
        namespace,
        &resource,
    );
    let (own, federation) = (object.name_any(), object.spec.federation_ref.name.as_str());
    let all = api.list(&ListParams::default()).await?.items;
    let others = all.iter().filter(|o| o.spec.federation_ref["name"] == federation && o.name_any() != own);
    Ok(others
        .map(|o| {
            let has = |key: &str| o.status.as_ref().is_some_and(|s| s[key].is_string());
            Claimant::of(&o.metadata, has("jobId") || has("pendingJobSince"))
        })
        .collect())
}

/// The connection that goes before this one, if one does. One that is being deleted has the job until it is gone.
fn before<'a>(object: &ScimConnection, rivals: &'a [Claimant]) -> Option<&'a Claimant> {
    let has_job = object.status.as_ref().is_some_and(|s| s.job_id.is_some() || s.pending_job_since.is_some());
    let own = Claimant::of(&object.metadata, has_job);
    rivals.iter().min_by(|a, b| a.rank().cmp(&b.rank())).filter(|c| c.rank() < own.rank())
}

fn claimed_twice(object: &ScimConnection, other: &Claimant) -> Problem {
    let (federation, other_name) = (&object.spec.federation_ref.name, &other.name);
    let message = if other.is_leaving {
        format!(
            "ScimConnection {other_name} provisions for IdentityFederation {federation} and is being deleted: this one goes on when that is gone; until then nothing is done for it"
        )
    } else {
        format!(
            "ScimConnection {other_name} provisions for IdentityFederation {federation}, and goes before this one; nothing is done for this one: delete it. Or delete {other_name}: this one takes the synchronization job over when that is gone"
        )
    };
    Problem::new(Class::Blocked, Reason::ClaimedTwice, message)
}

/// What the Secret holds.
#[derive(Clone, Debug)]
pub struct ScimSecret {
    /// Endpoint and token.
    pub credentials: Credentials,
    /// The key `issuedAt` as it is written.
    pub issued_at: Option<String>,
    /// The newest write to the Secret: the token is at least as old.
    pub written: Option<Timestamp>,
}

/// The Secret, read anew; none when it does not exist. `looked_at` says when it is read again.
///
/// # Errors
/// `SecretNotFound` naming a missing key, `EndpointNotAllowed`; API server trouble.
pub async fn secret(
    context: &Context,
    namespace: &str,
    name: &str,
    looked_at: &str,
) -> Result<Option<ScimSecret>, Problem> {
    let Some(secret) = secrets::read(&context.kube, namespace, name).await? else { return Ok(None) };
    let mut read = parse(namespace, name, &secret, looked_at)?;
    let url = scim_endpoint(&read.credentials.endpoint, &context.settings.scim_hosts).map_err(|refused| {
        let message = format!(
            "the token is not sent anywhere: key endpoint of Secret {namespace}/{name} is refused ({refused}); put AWS's SCIM endpoint there, https://scim.<region>.amazonaws.com/<id>/scim/v2: {}; {looked_at}",
            handoff::store(namespace, name)
        );
        Problem::new(Class::Blocked, Reason::EndpointNotAllowed, message)
    })?;
    // What was judged is what Entra gets.
    read.credentials.endpoint = url.as_str().trim_end_matches('/').to_owned();
    Ok(Some(read))
}

/// The token alone, so that it can be kept out of what is told; none when it cannot be read.
pub async fn token(context: &Context, namespace: &str, name: &str) -> Option<Sensitive> {
    let secret = Api::<Secret>::namespaced(context.kube.clone(), namespace).get_opt(name).await.ok()??;
    text(&secret, "token").map(Sensitive::new)
}

/// A value of a Secret. Values from files end in a newline.
fn text(secret: &Secret, key: &str) -> Option<String> {
    let bytes = secret.data.as_ref().and_then(|data| data.get(key))?;
    std::str::from_utf8(&bytes.0).ok().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
}

fn parse(namespace: &str, name: &str, secret: &Secret, looked_at: &str) -> Result<ScimSecret, Problem> {
    let required = |key: &str| {
        text(secret, key).ok_or_else(|| {
            let message = format!(
                "Secret {namespace}/{name} lacks the key {key}, or it is empty ({}); expected are endpoint, token and issuedAt: {}; {looked_at}",
                secrets::keys(secret),
                handoff::store(namespace, name)
            );
            Problem::new(Class::Blocked, Reason::SecretNotFound, message)
        })
    };
    let endpoint = required("endpoint")?.trim_end_matches('/').to_owned();
    let token = Sensitive::new(required("token")?);
    let writes = secret.metadata.managed_fields.iter().flatten().filter_map(|f| f.time.as_ref());
    let written = writes.chain(&secret.metadata.creation_timestamp).map(|t| t.0).max();
    Ok(ScimSecret {
        credentials: Credentials { endpoint, token },
        issued_at: text(secret, "issuedAt"),
        written,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn secret(data: &serde_json::Value) -> Secret {
        serde_json::from_value(
            json!({"metadata": {"name": "aws-scim", "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [{"time": "2026-02-01T00:00:00Z"}, {}]}, "stringData": null, "data": data}),
        )
        .unwrap()
    }

    #[test]
    fn values_are_trimmed_and_the_newest_write_is_kept() {
        // "https://scim/t/\n", "token\n"
        let read = parse(
            "n",
            "aws-scim",
            &secret(&json!({"endpoint": "aHR0cHM6Ly9zY2ltL3QvCg==", "token": "dG9rZW4K"})),
            "soon",
        )
        .unwrap();
        assert_eq!(read.credentials.endpoint, "https://scim/t");
        assert_eq!(read.credentials.token.expose(), "token");
        assert_eq!(read.issued_at, None);
        assert_eq!(read.written.unwrap().to_string(), "2026-02-01T00:00:00Z");
    }

    #[test]
    fn one_of_several_connections_drives_the_job_and_all_agree_which() {
        let connection = |name: &str, second: u32, job: Option<&str>| -> ScimConnection {
            let made = format!("2026-01-01T00:00:{second:02}Z");
            serde_json::from_value(json!({
                "apiVersion": "causeway.dev/v1alpha1", "kind": "ScimConnection",
                "metadata": {"name": name, "namespace": "identity", "creationTimestamp": made},
                "spec": {"federationRef": {"name": "acme"}, "secretRef": {"name": "aws-scim"}},
                "status": {"jobId": job}}))
            .unwrap()
        };
        let claimant = |c: &ScimConnection| {
            Claimant::of(&c.metadata, c.status.as_ref().is_some_and(|s| s.job_id.is_some()))
        };
        for (all, first) in [
            (vec![connection("z", 1, None), connection("a", 2, None)], "z"),
            (vec![connection("z", 1, None), connection("a", 1, None)], "a"),
            (vec![connection("z", 1, None), connection("a", 2, Some("job")), connection("b", 3, None)], "a"),
        ] {
            for own in &all {
                let others = all.iter().filter(|c| c.name_any() != own.name_any());
                let rivals: Vec<_> = others.map(claimant).collect();
                let other = before(own, &rivals).map(|c| c.name.clone());
                assert_eq!(other, (own.name_any() != first).then(|| first.to_owned()), "{}", own.name_any());
            }
        }
        let (own, mut other) = (connection("b", 2, None), claimant(&connection("a", 1, None)));
        assert!(claimed_twice(&own, &other).message.contains("ScimConnection a provisions"));
        other.is_leaving = true;
        assert!(claimed_twice(&own, &other).message.contains("goes on when that is gone"));
    }

    #[test]
    fn the_strictest_mode_counts_and_is_named() {
        let mut federation: IdentityFederation = serde_json::from_value(json!({
            "apiVersion": "causeway.dev/v1alpha1", "kind": "IdentityFederation", "metadata": {"name": "acme", "namespace": "identity"},
            "spec": {"entra": {"tenantId": "t", "application": {}, "credentials": {"clientSecret": {"clientId": "c", "secretRef": {"name": "n", "key": "k"}}}},
                "aws": {"region": "r", "credentials": {}, "identityCenter": {"serviceProviderMetadata": {"configMapKeyRef": {"name": "m", "key": "k"}}}}}}))
        .unwrap();
        use Mode::{Enforce, Observe};
        let mut of = |own, theirs, operator| {
            federation.spec.mode = theirs;
            observer(own, Some(&federation), operator).unwrap_or_default()
        };
        assert_eq!(of(Enforce, Enforce, Enforce), "");
        assert_eq!(of(Observe, Observe, Observe), "spec.mode");
        assert_eq!(of(Enforce, Observe, Observe), "spec.mode of IdentityFederation identity/acme");
        assert_eq!(of(Enforce, Enforce, Observe), "the operator's own mode");
        assert_eq!(observer(Enforce, None, Observe).as_deref(), Some("the operator's own mode"));
        assert_eq!(observer(Enforce, None, Enforce), None);
    }

    #[test]
    fn a_missing_or_empty_key_is_named() {
        for (data, key, has) in [
            (json!({"token": "dG9rZW4K"}), "key endpoint", "(it has token)"),
            (json!({"endpoint": "eA==", "Token": "dG9rZW4K"}), "key token", "(it has Token, endpoint)"),
            (json!({"endpoint": "eA==", "token": "Cg=="}), "key token", "(it has endpoint, token)"),
            (json!(null), "key endpoint", "(it has no keys)"),
        ] {
            let problem = parse("n", "aws-scim", &secret(&data), "soon").unwrap_err();
            assert_eq!((problem.reason, problem.class), (Reason::SecretNotFound, Class::Blocked));
            for words in
                [key, has, "kubectl create secret generic aws-scim -n n ", "| kubectl apply -f -; soon"]
            {
                assert!(problem.message.contains(words), "{words}: {}", problem.message);
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn fuzz_any_secret_is_read_or_its_key_is_named(
            data in proptest::collection::btree_map(
                "(endpoint|token|issuedAt|[a-z]{1,4})", proptest::collection::vec(proptest::prelude::any::<u8>(), 0..40), 0..4,
            ),
            issued in proptest::option::of("(.{0,25}|[0-9-]{10}T00:00:00Z|-?[0-9]{1,6}-01-01T00:00:00Z)"), now in 0i64..4_000_000_000,
        ) {
            let mut data: std::collections::BTreeMap<_, _> = data.into_iter().map(|(k, v)| (k, k8s_openapi::ByteString(v))).collect();
            data.extend(issued.map(|text| ("issuedAt".to_owned(), k8s_openapi::ByteString(text.into_bytes()))));
            let secret = Secret { data: Some(data), ..Secret::default() };
            match parse("n", "aws-scim", &secret, "soon") {
                Ok(read) => {
                    let told = super::super::token::judge(&read, "n/aws-scim", Timestamp::from_second(now).unwrap());
                    assert!(!told.message.is_empty());
                    let shown = format!("{read:?} {told:?}");
                    assert!(read.credentials.token.expose().len() < 8 || !shown.contains(read.credentials.token.expose()));
                }
                Err(problem) => assert_eq!(problem.reason, Reason::SecretNotFound),
            }
        }
    }
}
