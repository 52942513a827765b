//! Mistakes that the API server refuses: nothing is stored, and no operator sees them.

use std::io::Write as _;
use std::process::{Command, Stdio};

use sandbox::journey;
use serde_json::Value;

use super::table::{At, Book, Mistake, merge, refused, yaml};
use super::{BINDING, FEDERATION, SCIM, right};
use crate::support::{cluster, namespace};

const NEW_FEDERATION: At = At::Creation(FEDERATION);
const NEW_BINDING: At = At::Creation(BINDING);

pub const ROWS: &[Mistake] = &[
    refused(
        "A tenant named by its domain",
        NEW_FEDERATION,
        "{spec: {entra: {tenantId: acme.example}}}",
        &["tenantId"],
        "Write the directory (tenant) id, a UUID: Entra admin center > Overview.",
    ),
    refused(
        "A Region by its name",
        NEW_FEDERATION,
        "{spec: {aws: {region: Ireland}}}",
        &["region"],
        "Write the Region's code, such as eu-west-1.",
    ),
    refused(
        "The ARN of a user in place of a role",
        NEW_FEDERATION,
        "{spec: {aws: {credentials: {assumeRole: {roleArn: 'arn:aws:iam::111122223333:user/causeway'}}}}}",
        &["roleArn"],
        "Write the ARN of the role: `arn:aws:iam::<account>:role/<name>`.",
    ),
    refused(
        "The ARN of something else as the instance's",
        NEW_FEDERATION,
        "{spec: {aws: {identityCenter: {instanceArn: 'arn:aws:iam::111122223333:root'}}}}",
        &["instanceArn"],
        "Write the ARN that `aws sso-admin list-instances` shows, or leave it out when there is one instance.",
    ),
    refused(
        "Both ways to sign in to AWS",
        NEW_FEDERATION,
        "{spec: {aws: {credentials: {ambient: {}}}}}",
        &["exactly one of"],
        "Keep one of ambient, serviceAccount and secretRef.",
    ),
    refused(
        "No way to sign in to AWS",
        NEW_FEDERATION,
        "{spec: {aws: {credentials: {secretRef: null, assumeRole: {roleArn: 'arn:aws:iam::111122223333:role/causeway'}}}}}",
        &["exactly one of"],
        "A role is assumed from somewhere: name one of ambient, serviceAccount and secretRef beside it.",
    ),
    refused(
        "A side of one's own and the other party's at once",
        NEW_FEDERATION,
        "{spec: {aws: {external: {serviceProviderMetadata: {configMapKeyRef: {name: from-aws, key: metadata.xml}}}}}}",
        &["exactly one of: credentials, external"],
        "Keep what is yours: credentials, region and identityCenter, or external when another party looks after AWS.",
    ),
    refused(
        "Both sides in other hands",
        NEW_FEDERATION,
        "{spec: {entra: {tenantId: null, credentials: null, application: null, external: {federationMetadata: {configMapKeyRef: \
         {name: from-entra, key: metadata.xml}}}}, aws: {region: null, credentials: null, identityCenter: null, external: \
         {serviceProviderMetadata: {configMapKeyRef: {name: from-aws, key: metadata.xml}}}}}}",
        &["exclude each other"],
        "One side must be yours: each party has a federation of its own (`examples/two-parties/`).",
    ),
    refused(
        "Two ways to sign in to Entra",
        NEW_FEDERATION,
        "{spec: {entra: {credentials: {ambient: {}}}}}",
        &["exactly one of"],
        "Keep one of clientSecret, serviceAccount and ambient.",
    ),
    refused(
        "A group and a user in one entry",
        NEW_FEDERATION,
        "{spec: {entra: {application: {assignments: [{group: {displayName: aws-admins}, user: {userPrincipalName: ada@acme.example}}]}}}}",
        &["exactly one of: group, user"],
        "Make two entries of it.",
    ),
    refused(
        "An application to adopt by its name",
        NEW_FEDERATION,
        "{spec: {entra: {application: {adopt: {appId: AWS IAM Identity Center}}}}}",
        &["appId"],
        "Write its application (client) id, a UUID.",
    ),
    refused(
        "A certificate for longer than Entra allows",
        NEW_FEDERATION,
        "{spec: {entra: {signingCertificate: {lifetime: 87600h}}}}",
        &["lifetime"],
        "At most 26280h, which is three years.",
    ),
    refused(
        "Another tenant for an existing federation",
        At::Change(FEDERATION),
        "{spec: {entra: {tenantId: 99999999-2222-3333-4444-555555555555}}}",
        &["immutable"],
        "Make another IdentityFederation for that tenant.",
    ),
    refused(
        "Another federation for an existing connection",
        At::Change(SCIM),
        "{spec: {federationRef: {name: other}}}",
        &["immutable"],
        "Delete the ScimConnection and make one for the other federation.",
    ),
    refused(
        "A limit of no deletions at all",
        At::Creation(SCIM),
        "{spec: {safety: {maxDeletions: 0}}}",
        &["maxDeletions"],
        "At least 1: the cycle stops when it would delete more.",
    ),
    refused(
        "A session of 13 hours",
        NEW_BINDING,
        "{spec: {permissionSet: {sessionDuration: 13h}}}",
        &["sessionDuration", "12h"],
        "From 1h to 12h.",
    ),
    refused(
        "A session as ISO 8601 writes it",
        NEW_BINDING,
        "{spec: {permissionSet: {sessionDuration: PT8H}}}",
        &["sessionDuration"],
        "Write 8h, or 1h30m.",
    ),
    refused(
        "An account id without quotes",
        NEW_BINDING,
        "{spec: {accounts: {include: [{ids: [111122223333]}]}}}",
        &["quotes"],
        "Put it in quotes: YAML makes a number of it, and drops zeros at its beginning.",
    ),
    refused(
        "An account id with dashes",
        NEW_BINDING,
        "{spec: {accounts: {include: [{ids: ['1111-2222-3333']}]}}}",
        &["accounts"],
        "Write the twelve digits alone.",
    ),
    refused(
        "A managed policy without its ARN",
        NEW_BINDING,
        "{spec: {permissionSet: {managedPolicies: [ReadOnlyAccess]}}}",
        &["managedPolicies"],
        "Write the whole ARN: arn:aws:iam::aws:policy/ReadOnlyAccess.",
    ),
    refused(
        "Two permissions boundaries",
        NEW_BINDING,
        "{spec: {permissionSet: {permissionsBoundary: {managedPolicyArn: 'arn:aws:iam::aws:policy/ReadOnlyAccess', customerManagedPolicy: {name: limit}}}}}",
        &["exactly one of"],
        "Keep one of them.",
    ),
    refused(
        "A tag that AWS keeps for itself",
        NEW_BINDING,
        "{spec: {permissionSet: {tags: {'aws:team': platform}}}}",
        &["tag keys"],
        "Choose a key that does not begin with aws:.",
    ),
    refused(
        "A group by name and by id",
        NEW_BINDING,
        "{spec: {principals: [{group: {displayName: aws-admins, entraObjectId: 0f0f0f0f-1111-2222-3333-444444444445}}]}}",
        &["exactly one of: displayName, entraObjectId"],
        "Keep one of them.",
    ),
    refused(
        "A user in place of a group",
        NEW_BINDING,
        "{spec: {principals: [{user: {userPrincipalName: aws-admins}}]}}",
        &["userPrincipalName"],
        "Write `- group: {displayName: aws-admins}`.",
    ),
    refused(
        "A misspelt field",
        NEW_BINDING,
        "{spec: {permissionSet: {sesionDuration: 8h}}}",
        &["unknown field", "sesionDuration"],
        "Correct it; `kubectl explain psb.spec.permissionSet` lists the fields.",
    ),
    refused(
        "A permission set that is renamed",
        At::Change(BINDING),
        "{spec: {permissionSet: {name: Lookers}}}",
        &["immutable"],
        "Make a second binding with the new name, and delete this one when people have moved.",
    ),
    refused(
        "A binding that is moved to another federation",
        At::Change(BINDING),
        "{spec: {federationRef: {name: other}}}",
        &["immutable"],
        "Make a second binding there, and delete this one.",
    ),
];

/// Makes all of them with the real kubectl, in a namespace that no operator looks after.
pub async fn run(book: &Book) {
    let (client, namespace) = namespace("applied").await;
    let all = [FEDERATION, SCIM, BINDING].map(|kind| right(kind, &namespace));
    journey::apply(&client, &all).await.unwrap();
    for mistake in ROWS {
        let (At::Creation(kind) | At::Change(kind)) = mistake.at else { panic!("{}", mistake.title) };
        let mut manifest = serde_json::to_value(right(kind, &namespace)).unwrap();
        if matches!(mistake.at, At::Creation(_)) {
            manifest["metadata"]["name"] = "new".into();
            assert_eq!(apply(&namespace, &manifest).await, Ok(()), "{kind} without a mistake");
        }
        merge(&mut manifest, &yaml(mistake.make));
        match apply(&namespace, &manifest).await {
            Ok(()) => book.wrong(format!("{}: the API server takes it", mistake.title)),
            Err(said) => {
                let missing: Vec<_> = mistake.words.iter().filter(|w| !said.contains(**w)).collect();
                if !missing.is_empty() {
                    book.wrong(format!("{}: without {missing:?}: {said}", mistake.title));
                }
                book.note(mistake, &said, &namespace);
            }
        }
    }
}

/// What kubectl says when the API server does not take it. Nothing is stored.
async fn apply(namespace: &str, manifest: &Value) -> Result<(), String> {
    let plane = cluster().await;
    let mut command = Command::new(plane.kubectl());
    command.arg("--kubeconfig").arg(plane.kubeconfig());
    command.args(["apply", "--dry-run=server", "-n", namespace, "-f", "-"]);
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let text = manifest.to_string();
    let output = tokio::task::spawn_blocking(move || {
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    });
    let output = output.await.unwrap();
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8(output.stderr).unwrap();
    let aside = ["Warning:", "* <nil>: Invalid value"];
    let lines = said.lines().map(str::trim).filter(|l| !aside.iter().any(|a| l.starts_with(a)));
    Err(lines.collect::<Vec<_>>().join(" "))
}
