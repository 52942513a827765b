//! Mistakes in connections and their Secrets, one after the other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::SignedDuration;
use kube::api::{DeleteParams, Patch, PatchParams};
use sandbox::journey::{self, api};
use serde::Deserialize;
use serde_json::{Value, json};

use super::federation::put_secret;
use super::table::{Book, Mistake, merge, told, yaml};
use super::{FEDERATION, SCIM, right, world};
use crate::support::world::{TestWorld, condition};

const READY: (&str, &str) = (SCIM, "Ready");
const CREDENTIALS: (&str, &str) = (SCIM, "CredentialsValid");
const TOKEN: (&str, &str) = (SCIM, "TokenFresh");

/// Before anything was provisioned. `secret` is put over the right Secret.
pub const SECRETS: &[Mistake] = &[
    told(
        "The token under another key",
        READY,
        "SecretNotFound",
        &["token"],
        "secret: {token: null, Token: TOKEN}",
        "The keys are endpoint, token and issuedAt, in these letters.",
    ),
    told(
        "No endpoint in the Secret",
        READY,
        "SecretNotFound",
        &["endpoint"],
        "secret: {endpoint: null}",
        "Put the SCIM endpoint there that AWS shows beside the token.",
    ),
    told(
        "An endpoint on a host that is not AWS's",
        CREDENTIALS,
        "EndpointNotAllowed",
        &["not sent anywhere", "--scim-hosts"],
        "secret: {endpoint: 'https://scim.eu-west-1.amazonaws.com.example.org/t/scim/v2'}",
        "Copy the endpoint from IAM Identity Center. Create a new token when this one has been elsewhere.",
    ),
    told(
        "An endpoint without TLS",
        CREDENTIALS,
        "EndpointNotAllowed",
        &["https"],
        "secret: {endpoint: 'http://scim.eu-west-1.amazonaws.com/t/scim/v2'}",
        "Copy the endpoint from IAM Identity Center.",
    ),
    told(
        "A token that is not AWS's",
        CREDENTIALS,
        "AuthenticationFailed",
        &["token"],
        "secret: {token: copied-halfway}",
        "Create a new token and copy it whole: AWS shows it once.",
    ),
    told(
        "A token of another endpoint",
        CREDENTIALS,
        "AuthenticationFailed",
        &["endpoint"],
        "secret: {endpoint: OTHER}",
        "Copy endpoint and token from one and the same Identity Center.",
    ),
];

/// Beside or in a connection that works. `spec` is merged into it.
pub const WORKING: &[Mistake] = &[
    told(
        "A mapping to an attribute that AWS does not have",
        READY,
        "MappingNotFound",
        &["nickName"],
        "spec: {mappings: {users: [{target: nickName, source: {attribute: mail}}]}}",
        "Name one of the attributes that the message lists.",
    ),
    told(
        "`Observe` of a connection that was forgotten",
        READY,
        "PlanNotApplied",
        &["Observe"],
        "spec: {mode: Observe, scope: All}",
        "Set spec.mode to Enforce when the plan is right.",
    ),
    told(
        "An issue date that is none",
        TOKEN,
        "InvalidSpec",
        &["issuedAt", "RFC 3339"],
        "secret: {issuedAt: last week}",
        "Write it as 2026-01-31T12:00:00Z.",
    ),
    told(
        "A token that has ended",
        READY,
        "TokenExpired",
        &["second token", "issuedAt"],
        "secret: {issuedAt: '2020-01-01T00:00:00Z'}",
        "Create a second token in AWS, put it into the Secret with its issuedAt, then delete the old one.",
    ),
    told(
        "A request without a time",
        READY,
        "Succeeded",
        &["ignored"],
        "annotate: {causeway.dev/restart: Full}",
        "Write it as Full@2026-01-31T12:00:00Z: what is asked for once must not be done twice.",
    ),
    told(
        "An annotation that is misspelt",
        READY,
        "Succeeded",
        &["causeway.dev/restrat means nothing", "causeway.dev/restart"],
        "annotate: {causeway.dev/restrat: 'Full@2026-01-31T12:00:00Z'}",
        "Write one of those that the message lists. `docs/annotations.md` says what each does.",
    ),
];

/// In a second connection.
pub const SECOND: &[Mistake] = &[
    told(
        "Two connections of one federation",
        READY,
        "ClaimedTwice",
        &["acme", "delete it"],
        "spec: {}",
        "Delete the one that says so. The other works on.",
    ),
    told(
        "A connection of a federation that does not exist",
        READY,
        "FederationNotFound",
        &["acmee"],
        "spec: {federationRef: {name: acmee}}",
        "Correct spec.federationRef in a new connection, or create the federation.",
    ),
];

/// A token that is deleted in AWS while it is used.
pub const REVOKED: &[Mistake] = &[told(
    "A token that was deleted in AWS",
    CREDENTIALS,
    "AuthenticationFailed",
    &["token"],
    "",
    "Create a new token and put it into the Secret: it is used at once, and the quarantine is lifted.",
)];

/// What a row changes.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Make {
    secret: BTreeMap<String, Option<String>>,
    spec: Value,
    annotate: BTreeMap<String, String>,
}

struct Scene<'a> {
    world: TestWorld,
    book: &'a Book,
    /// The Secret as it should be.
    secret: BTreeMap<String, String>,
}

/// All of them on one world.
pub async fn run(book: &Book) {
    let world = world("connections", |_, _| ()).await;
    let operator = world.operator();
    journey::apply(&world.client, &[right(FEDERATION, &world.namespace)]).await.unwrap();
    world.until_ready(&[(FEDERATION, "acme")]).await;
    let token = world.sandbox.aws.enable_automatic_provisioning().unwrap();
    let mut scene = Scene { secret: secret(&world, &token), world, book };
    let mark = scene.world.sandbox.core.journal.last();
    for (nth, mistake) in SECRETS.iter().enumerate() {
        let make: Make = yaml(mistake.make);
        scene.put(&make).await;
        if nth == 0 {
            scene.apply(&json!({})).await;
        }
        book.expect(&scene.world, "acme", mistake).await;
    }
    book.no_mutation(&scene.world, mark, &[], "before anything was provisioned");

    scene.mend().await;
    let mark = scene.world.sandbox.core.journal.last();
    for mistake in WORKING {
        let make: Make = yaml(mistake.make);
        scene.put(&make).await;
        scene.apply(&make.spec).await;
        if !make.annotate.is_empty() {
            scene.annotate(&json!(make.annotate)).await;
        }
        book.expect(&scene.world, "acme", mistake).await;
        if !make.annotate.is_empty() {
            let gone: serde_json::Map<String, Value> =
                make.annotate.keys().map(|key| (key.clone(), Value::Null)).collect();
            scene.annotate(&Value::Object(gone)).await;
        }
    }
    scene.mend().await;
    for mistake in SECOND {
        let make: Make = yaml(mistake.make);
        let mut connection = right(SCIM, &scene.world.namespace);
        connection.metadata.name = Some("second".into());
        merge(&mut connection.data["spec"], &make.spec);
        journey::apply(&scene.world.client, &[connection]).await.unwrap();
        book.expect(&scene.world, "second", mistake).await;
        let connections = api(&scene.world.client, &scene.world.namespace, SCIM);
        connections.delete("second", &DeleteParams::default()).await.unwrap();
        scene.world.until("it is gone", async || scene.world.get(SCIM, "second").await.is_none()).await;
    }
    scene.mend().await;
    book.no_mutation(&scene.world, mark, &[], "while a connection works");
    scene.revoke(token["id"].as_str().unwrap()).await;
    operator.stop().await;
}

/// The Secret that a person makes of what the console shows.
fn secret(world: &TestWorld, token: &Value) -> BTreeMap<String, String> {
    let text = |key: &str| token[key].as_str().unwrap().to_owned();
    let issued = world.sandbox.core.clock.now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let all = [("endpoint", text("endpoint")), ("token", text("token")), ("issuedAt", issued)];
    all.map(|(key, value)| (key.to_owned(), value)).into()
}

impl Scene<'_> {
    /// The Secret with what a row changes in it.
    async fn put(&self, make: &Make) {
        let mut secret = self.secret.clone();
        for (key, value) in &make.secret {
            match value.as_deref() {
                None => secret.remove(key),
                Some("TOKEN") => secret.insert(key.clone(), self.secret["token"].clone()),
                Some("OTHER") => {
                    let tenant = self.secret["endpoint"].rsplit('/').find(|part| part.len() == 36).unwrap();
                    let other = "0f0f0f0f-1111-2222-3333-444444444445";
                    secret.insert(key.clone(), self.secret["endpoint"].replace(tenant, other))
                }
                Some(value) => secret.insert(key.clone(), value.to_owned()),
            };
        }
        put_secret(&self.world, "aws-scim", &secret).await;
    }

    /// The connection with that merged into its spec.
    async fn apply(&self, patch: &Value) {
        let mut connection = right(SCIM, &self.world.namespace);
        if !patch.is_null() {
            merge(&mut connection.data["spec"], patch);
        }
        journey::apply(&self.world.client, &[connection]).await.unwrap();
    }

    async fn annotate(&self, annotations: &Value) {
        let patch = Patch::Merge(json!({"metadata": {"annotations": annotations}}));
        let connections = api(&self.world.client, &self.world.namespace, SCIM);
        connections.patch("acme", &PatchParams::default(), &patch).await.unwrap();
    }

    /// The right Secret and the right spec.
    async fn mend(&self) {
        self.put(&Make::default()).await;
        self.apply(&json!({})).await;
        self.world.until_ready(&[(SCIM, "acme")]).await;
    }

    /// Deletes the token, and lets provisioning cycles come until Entra gives up; then a new token.
    async fn revoke(&mut self, id: &str) {
        let mistake = &REVOKED[0];
        let world = &self.world;
        world.sandbox.aws.delete_scim_token(id).unwrap();
        let mark = world.sandbox.core.journal.last();
        let deadline = Instant::now() + Duration::from_secs(40);
        loop {
            world.advance(SignedDuration::from_mins(41));
            tokio::time::sleep(Duration::from_millis(600)).await;
            let object = world.get(SCIM, "acme").await.unwrap();
            let refused =
                condition(&object, "CredentialsValid").is_some_and(|c| c["reason"] == mistake.reason);
            if refused || Instant::now() > deadline {
                break;
            }
        }
        self.book.expect(world, "acme", mistake).await;
        self.book.no_mutation(world, mark, &[], mistake.title);
        let token = world.sandbox.aws.create_scim_token().unwrap();
        self.secret = secret(world, &token);
        self.mend().await;
    }
}
