//! Mistakes in a federation that is ready, one after the other, and in a second one beside it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Secret, ServiceAccount};
use kube::Api;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams};
use sandbox::journey::{self, api};
use sandbox::world::Group;
use serde::Deserialize;
use serde_json::{Value, json};

use super::table::{At, Book, Mistake, merge, told, yaml};
use super::{FEDERATION, right, world};
use crate::support::credentials::{allowed, prepare};
use crate::support::world::TestWorld;

const READY: (&str, &str) = (FEDERATION, "Ready");
const APPLICATION: (&str, &str) = (FEDERATION, "EntraApplicationReady");
const SAML: (&str, &str) = (FEDERATION, "SamlConfigured");
const ASSIGNMENTS: (&str, &str) = (FEDERATION, "AssignmentsReady");
const INSTANCE: (&str, &str) = (FEDERATION, "InstanceReady");
const TRUST: (&str, &str) = (FEDERATION, "TrustEstablished");

/// Credentials.
pub const CREDENTIALS: &[Mistake] = &[
    told(
        "A Secret that does not exist",
        APPLICATION,
        "SecretNotFound",
        &["entra-typo"],
        "spec: {entra: {credentials: {clientSecret: {secretRef: {name: entra-typo}}}}}",
        "Create it, or correct secretRef.name.",
    ),
    told(
        "A key that the Secret does not have",
        APPLICATION,
        "SecretNotFound",
        &["client-secret", "set spec.entra.credentials.clientSecret.secretRef.key to", "it has clientSecret"],
        "spec: {entra: {credentials: {clientSecret: {secretRef: {key: client-secret}}}}}",
        "Correct secretRef.key, or put the value there.",
    ),
    told(
        "AWS credentials under other keys",
        INSTANCE,
        "SecretNotFound",
        &["accessKeyId", "no key secretAccessKey", "put them there"],
        "secrets: {aws: {AWS_ACCESS_KEY_ID: AKIACAUSEWAYSANDBOX1, AWS_SECRET_ACCESS_KEY: secret}}",
        "The keys are accessKeyId and secretAccessKey.",
    ),
    told(
        "A client secret that has ended, or its id in place of its value",
        APPLICATION,
        "AuthenticationFailed",
        &["Entra", "credentials"],
        "secrets: {entra: {clientSecret: 0f0f0f0f-1111-2222-3333-444444444445}}",
        "Create a new client secret in Entra and put its value into the Secret.",
    ),
    told(
        "A client id of another application, or of none",
        APPLICATION,
        "AuthenticationFailed",
        &["Entra"],
        "spec: {entra: {credentials: {clientSecret: {clientId: 7c3f7e5e-4a7d-4c53-9f0b-2f1d6a1cffff}}}}",
        "Write the application (client) id of Causeway's own app registration in that tenant.",
    ),
    told(
        "An access key that was deleted",
        INSTANCE,
        "AuthenticationFailed",
        &["AWS does not accept the credentials"],
        "secrets: {aws: {accessKeyId: AKIAUNKNOWN000000000, secretAccessKey: secret}}",
        "Put a key that exists into the Secret.",
    ),
    told(
        "The operator's identity in Entra from a namespace that is not listed",
        APPLICATION,
        "CredentialsNotAllowed",
        &["--ambient-namespaces"],
        "spec: {entra: {credentials: {ambient: {}, clientSecret: null}}}",
        "Name other credentials, or have the namespace added to the operator's setting.",
    ),
    told(
        "The operator's AWS credentials from a namespace that is not listed",
        INSTANCE,
        "CredentialsNotAllowed",
        &["--ambient-namespaces"],
        "spec: {aws: {credentials: {ambient: {}, secretRef: null}}}",
        "Name other credentials, or have the namespace added to the operator's setting.",
    ),
    told(
        "A role that is not on the allow-list",
        INSTANCE,
        "CredentialsNotAllowed",
        &["--allowed-roles", "role/admin"],
        "spec: {aws: {credentials: {assumeRole: {roleArn: 'arn:aws:iam::100000000001:role/admin', externalId: acme-causeway}}}}",
        "Have the role added to the operator's setting, as the message writes it.",
    ),
    told(
        "A wrong external id",
        INSTANCE,
        "PermissionDenied",
        &["sts:ExternalId"],
        "spec: {aws: {credentials: {assumeRole: {roleArn: 'arn:aws:iam::100000000001:role/causeway', externalId: other}}}}",
        "Write the external id that the role's trust policy asks for.",
    ),
    told(
        "A ServiceAccount that does not exist",
        APPLICATION,
        "ServiceAccountNotFound",
        &["serviceaccount"],
        "spec: {entra: {credentials: {clientSecret: null, serviceAccount: {name: late, clientId: 7c3f7e5e-4a7d-4c53-9f0b-2f1d6a1c0001}}}}",
        "Create it as the message shows.",
    ),
    told(
        "A ServiceAccount that Entra does not know",
        APPLICATION,
        "AuthenticationFailed",
        &["federated credential"],
        "spec: {entra: {credentials: {clientSecret: null, serviceAccount: {name: stranger, clientId: 7c3f7e5e-4a7d-4c53-9f0b-2f1d6a1c0001}}}}",
        "Add a federated credential with this subject to the app registration.",
    ),
    told(
        "A ServiceAccount that the role does not trust",
        INSTANCE,
        "PermissionDenied",
        &["trust policy"],
        "spec: {aws: {credentials: {secretRef: null, serviceAccount: {name: stranger, roleArn: 'arn:aws:iam::100000000001:role/causeway-entry'}}}}",
        "Name this subject in the role's trust policy.",
    ),
];

/// What the federation says.
pub const SPEC: &[Mistake] = &[
    told(
        "A wrong Region",
        INSTANCE,
        "InstanceNotFound",
        &["us-east-1", "set spec.aws.region back to eu-west-1"],
        "spec: {aws: {region: us-east-1}}",
        "Write the Region in which Identity Center was enabled.",
    ),
    told(
        "The ARN of an instance that is not there",
        INSTANCE,
        "InstanceNotFound",
        &["instanceArn"],
        "spec: {aws: {identityCenter: {instanceArn: 'arn:aws:sso:::instance/ssoins-1234567890abcdef'}}}",
        "Correct it, or leave it out when there is one instance.",
    ),
    told(
        "An assignment to a group that does not exist",
        ASSIGNMENTS,
        "PrincipalNotFound",
        &["no-such-group"],
        "spec: {entra: {application: {assignments: [{group: {displayName: aws-admins}}, {user: {userPrincipalName: ben@acme.example}}, {group: {displayName: no-such-group}}]}}}",
        "Correct the name, or create the group. The others keep what they have.",
    ),
    told(
        "An assignment to a name that two groups have",
        ASSIGNMENTS,
        "PrincipalNotFound",
        &["entraObjectId"],
        "spec: {entra: {application: {assignments: [{group: {displayName: aws-admins}}, {user: {userPrincipalName: ben@acme.example}}, {group: {displayName: aws-twins}}]}}}",
        "Name the group by entraObjectId.",
    ),
    told(
        "An assignment to a group's mail address as a user",
        ASSIGNMENTS,
        "PrincipalNotFound",
        &["aws-auditors"],
        "spec: {entra: {application: {assignments: [{group: {displayName: aws-admins}}, {user: {userPrincipalName: ben@acme.example}}, {user: {userPrincipalName: aws-auditors@acme.example}}]}}}",
        "Write `- group: {displayName: aws-auditors}`.",
    ),
    told(
        "An assignment to a distribution list",
        ASSIGNMENTS,
        "PrincipalNotFound",
        &["security group"],
        "spec: {entra: {application: {assignments: [{group: {displayName: aws-admins}}, {user: {userPrincipalName: ben@acme.example}}, {group: {displayName: all-staff}}]}}}",
        "Name a security group.",
    ),
    told(
        "`suspend` of a federation that was forgotten",
        READY,
        "Suspended",
        &["spec.suspend"],
        "spec: {suspend: true}",
        "Set it to false.",
    ),
    told(
        "`Observe` of a federation that was forgotten",
        READY,
        "PlanNotApplied",
        &["Observe", "status.plan"],
        "spec: {mode: Observe, entra: {application: {displayName: AWS}}}",
        "Set spec.mode to Enforce when the plan is right.",
    ),
];

/// What people carry from one console to the other.
pub const HANDOFFS: &[Mistake] = &[
    told(
        "Entra's metadata where AWS's is wanted",
        SAML,
        "MetadataInvalid",
        &["identity provider"],
        "metadata: theirs",
        "Put the file there that the console of IAM Identity Center offers.",
    ),
    told(
        "Half of a file",
        SAML,
        "MetadataInvalid",
        &["ends in the middle"],
        "metadata: half",
        "Use kubectl create configmap --from-file instead of copying.",
    ),
    told(
        "A page of the console in place of the file",
        SAML,
        "MetadataInvalid",
        &["not SAML 2.0 metadata"],
        "metadata: page",
        "Download the file itself.",
    ),
    told(
        "Metadata of another service provider",
        SAML,
        "MetadataInvalid",
        &["not on a sign-in host of AWS"],
        "metadata: foreign",
        "Put the file there that the console of IAM Identity Center offers.",
    ),
    told(
        "The metadata under another key",
        SAML,
        "AwaitingHandoff",
        &["metadata.xml"],
        "metadata: elsewhere",
        "Use the key of spec.aws.identityCenter.serviceProviderMetadata; status.handoff has the command.",
    ),
    told(
        "A hand-off with yesterday's metadata",
        TRUST,
        "AwaitingHandoff",
        &["yesterday's metadata"],
        "acknowledge: abababababababababababababababababababababababababababababababab",
        "Import the metadata that is published now, and acknowledge the certificate that the message names.",
    ),
    told(
        "The certificate's SHA-1, as Entra's portal shows it",
        TRUST,
        "AwaitingHandoff",
        &["SHA-1 thumbprint of the right certificate"],
        "acknowledge: sha1",
        "Acknowledge the SHA-256 that status.handoff shows.",
    ),
    told(
        "Metadata of another instance, such as the one of another organization",
        SAML,
        "MetadataInvalid",
        &["identity store"],
        "metadata: another",
        "Download the file of this federation's instance.",
    ),
];

/// In a second federation.
pub const SECOND: &[Mistake] = &[
    told(
        "A wrong tenant",
        APPLICATION,
        "AuthenticationFailed",
        &["Entra"],
        "spec: {entra: {tenantId: 99999999-2222-3333-4444-555555555555}}",
        "The tenant of a federation cannot be changed: delete it and create it with the directory (tenant) id of the Entra \
         admin center.",
    ),
    told(
        "An application to adopt that does not exist",
        APPLICATION,
        "ApplicationNotFound",
        &["adopt.appId"],
        "spec: {entra: {application: {adopt: {appId: 00000000-1111-2222-3333-444444444444}}}}",
        "Write the application (client) id, not the object id, of an application of this tenant.",
    ),
    told(
        "An application to adopt that belongs to another federation",
        APPLICATION,
        "OwnedByOther",
        &["carries the mark of"],
        "spec: {entra: {application: {adopt: {appId: OURS}}}}",
        "One application belongs to one federation: name another, or delete the other federation.",
    ),
    told(
        "Metadata of another tenant, where another party looks after Entra",
        SAML,
        "MetadataInvalid",
        &["not of tenant", "spec.entra.external.tenantId"],
        "spec: {entra: {tenantId: null, credentials: null, application: null, external: {tenantId: \
         99999999-2222-3333-4444-555555555555, federationMetadata: {configMapKeyRef: {name: acme-idp-metadata, key: \
         federation-metadata.xml}}}}}",
        "Ask the other party for the file of their tenant.",
    ),
];

/// What a row changes.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Make {
    spec: Value,
    secrets: BTreeMap<String, BTreeMap<String, String>>,
    metadata: Option<String>,
    acknowledge: Option<String>,
}

/// The federation, and what was right about it.
struct Scene<'a> {
    world: TestWorld,
    book: &'a Book,
    metadata: String,
    acknowledged: String,
    sha1: String,
}

/// One after the other.
pub async fn run(book: &Book) {
    let mut world = world("mistaken", |world, namespace| {
        prepare(world, namespace);
        for _ in 0..2 {
            world.tenant.groups.push(Group { display_name: "aws-twins".into(), ..Group::default() });
        }
    })
    .await;
    world.settings.ambient_namespaces.clear();
    world.settings.allowed_roles.add(&allowed(&world.namespace)).unwrap();
    let stranger: ServiceAccount = serde_json::from_value(json!({"metadata": {"name": "stranger"}})).unwrap();
    let accounts = Api::<ServiceAccount>::namespaced(world.client.clone(), &world.namespace);
    accounts.create(&PostParams::default(), &stranger).await.unwrap();
    let operator = world.operator();
    journey::apply(&world.client, &[right(FEDERATION, &world.namespace)]).await.unwrap();
    world.until_ready(&[(FEDERATION, "acme")]).await;
    let status = world.get(FEDERATION, "acme").await.unwrap().data["status"].clone();
    let text = |pointer: &str| status.pointer(pointer).and_then(Value::as_str).unwrap().to_owned();
    let scene = Scene {
        metadata: world.sandbox.aws.service_provider_metadata().unwrap(),
        acknowledged: text("/entra/signingCertificates/0/sha256"),
        sha1: text("/entra/signingCertificates/0/sha1"),
        world,
        book,
    };
    for mistake in CREDENTIALS.iter().chain(SPEC).chain(HANDOFFS) {
        scene.make(mistake).await;
    }
    scene.mend().await;
    for mistake in SECOND {
        scene.second(mistake, &text("/entra/appId")).await;
    }
    operator.stop().await;
}

impl Scene<'_> {
    /// Makes a mistake, waits until it is told, and puts everything back but the spec.
    async fn make(&self, mistake: &'static Mistake) {
        let world = &self.world;
        let make: Make = yaml(mistake.make);
        let mark = world.sandbox.core.journal.last();
        let mut federation = right(FEDERATION, &world.namespace);
        merge(&mut federation.data["spec"], &make.spec_or_nothing());
        for (name, data) in &make.secrets {
            put_secret(world, name, data).await;
        }
        if let Some(kind) = &make.metadata {
            self.put_metadata(kind).await;
        }
        if let Some(value) = &make.acknowledge {
            self.acknowledge(if value == "sha1" { &self.sha1 } else { value }).await;
        }
        journey::apply(&world.client, &[federation]).await.unwrap();
        self.book.expect(world, "acme", mistake).await;
        if mistake.known.is_none() {
            self.book.no_mutation(world, mark, &[], mistake.title);
        }
        if !make.secrets.is_empty() {
            world.person.make_credentials().await.unwrap();
        }
        if make.metadata.is_some() {
            self.put_metadata("right").await;
        }
        if make.acknowledge.is_some() {
            self.acknowledge(&self.acknowledged).await;
        }
        if mistake.known.is_some() {
            // It was carried out: what it changed is put back before the next one.
            let store = world.sandbox.aws.facts().identity_store_id.unwrap();
            let back = async || {
                world.sandbox.entra.state()["applications"].to_string().contains(&format!("/{store}\""))
            };
            world.until("the right identifiers are back", back).await;
            self.mend().await;
        }
    }

    /// The right spec: all is well again, and nothing had to be repaired.
    async fn mend(&self) {
        let world = &self.world;
        journey::apply(&world.client, &[right(FEDERATION, &world.namespace)]).await.unwrap();
        world.until_ready(&[(FEDERATION, "acme")]).await;
    }

    /// A mistake in a federation that is made for it, and goes again.
    async fn second(&self, mistake: &'static Mistake, ours: &str) {
        let world = &self.world;
        let make: Make = yaml(&mistake.make.replace("OURS", ours));
        let mark = world.sandbox.core.journal.last();
        let mut federation = right(FEDERATION, &world.namespace);
        federation.metadata.name = Some("second".into());
        merge(&mut federation.data["spec"], &make.spec_or_nothing());
        journey::apply(&world.client, &[federation]).await.unwrap();
        self.book.expect(world, "second", mistake).await;
        let federations = api(&world.client, &world.namespace, FEDERATION);
        federations.delete("second", &DeleteParams::default()).await.unwrap();
        world.until("it is gone", async || world.get(FEDERATION, "second").await.is_none()).await;
        self.book.no_mutation(world, mark, &[], mistake.title);
    }

    async fn acknowledge(&self, sha256: &str) {
        let patch = Patch::Merge(json!({"metadata": {"annotations": {"causeway.dev/acknowledge": sha256}}}));
        let federations = api(&self.world.client, &self.world.namespace, FEDERATION);
        federations.patch("acme", &PatchParams::default(), &patch).await.unwrap();
    }

    /// Puts a document where AWS's metadata is looked for.
    async fn put_metadata(&self, kind: &str) {
        let right = &self.metadata;
        let maps = Api::<ConfigMap>::namespaced(self.world.client.clone(), &self.world.namespace);
        let (key, text) = match kind {
            "right" => ("metadata.xml", right.clone()),
            "elsewhere" => ("sp.xml", right.clone()),
            "theirs" => {
                let published = maps.get("acme-idp-metadata").await.unwrap().data.unwrap();
                ("metadata.xml", published["federation-metadata.xml"].clone())
            }
            "half" => ("metadata.xml", right.chars().take(right.chars().count() / 2).collect()),
            "page" => ("metadata.xml", "<html><head><title>AWS</title></head><body/></html>".to_owned()),
            "foreign" => ("metadata.xml", right.replace("signin.aws", "login.example")),
            "another" => {
                let store = self.world.sandbox.aws.facts().identity_store_id.unwrap();
                ("metadata.xml", right.replace(&store, "d-99990000ff"))
            }
            other => panic!("no such metadata: {other}"),
        };
        let map = ConfigMap {
            metadata: ObjectMeta { name: Some("aws-sp-metadata".into()), ..ObjectMeta::default() },
            data: Some(BTreeMap::from([(key.to_owned(), text)])),
            ..ConfigMap::default()
        };
        let parameters = PatchParams::apply("person").force();
        maps.patch("aws-sp-metadata", &parameters, &Patch::Apply(&map)).await.unwrap();
    }
}

impl Make {
    /// A merge patch; absent means that nothing is merged.
    fn spec_or_nothing(&self) -> Value {
        if self.spec.is_null() { json!({}) } else { self.spec.clone() }
    }
}

/// Replaces a Secret, keys that are not named included.
pub async fn put_secret(world: &TestWorld, name: &str, data: &BTreeMap<String, String>) {
    let secrets = Api::<Secret>::namespaced(world.client.clone(), &world.namespace);
    let secret = Secret {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        string_data: Some(data.clone()),
        ..Secret::default()
    };
    // One write: while it is gone, the connection would ask for a new token.
    match secrets.replace(name, &PostParams::default(), &secret).await {
        Err(kube::Error::Api(status)) if status.code == 404 => {
            secrets.create(&PostParams::default(), &secret).await.unwrap();
        }
        written => _ = written.unwrap(),
    }
}

/// Every row is about a federation.
#[test]
fn rows_are_about_federations() {
    for mistake in [CREDENTIALS, SPEC, HANDOFFS, SECOND].into_iter().flatten() {
        assert!(matches!(mistake.at, At::Condition(FEDERATION, _)), "{}", mistake.title);
        let _: Make = yaml(mistake.make);
    }
}
