//! `examples/two-parties/`: two organizations, each with an operator and the credentials of one cloud, exchange what
//! their status says and nothing else, but for the token.

use std::time::Duration;

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use super::on;
use super::party::Party;
use crate::support::run;
use crate::support::sign_in::access;
use crate::support::world::TestWorld;

pub const ENTRA_FEDERATION: &str = include_str!("../../examples/two-parties/entra-team/10-federation.yaml");
const CONNECTION: &str = include_str!("../../examples/two-parties/entra-team/20-connection.yaml");
pub const AWS_FEDERATION: &str = include_str!("../../examples/two-parties/aws-team/10-federation.yaml");
const BINDINGS: &str = include_str!("../../examples/two-parties/aws-team/30-bindings.yaml");

const FEDERATION: (&str, &str) = ("IdentityFederation", "acme");
const BOUND: [(&str, &str); 2] =
    [("PermissionSetBinding", "engineers"), ("PermissionSetBinding", "security")];

/// How often an operation was called so far.
fn calls(world: &TestWorld, operation: &str) -> u64 {
    world.sandbox.core.counters.all().iter().filter(|c| c.operation == operation).map(|c| c.calls).sum()
}

/// Both operators look at their clouds three times more.
async fn three_resyncs(world: &TestWorld) {
    let watched = [
        "ListInstances",
        "GET /servicePrincipals/{id}/synchronization/jobs",
        "ListAccountAssignmentsForPrincipal",
    ];
    let before = watched.map(|o| calls(world, o));
    world
        .until("three resyncs", async || {
            watched.iter().zip(before).all(|(operation, before)| calls(world, operation) >= before + 3)
        })
        .await;
    // What the last of them writes must have time to arrive.
    tokio::time::sleep(Duration::from_millis(300)).await;
}

#[test]
fn two_parties_reach_ready_by_mail_and_people_sign_in() {
    run(async {
        let world = TestWorld::company("entra-team").await;
        let (entra, aws) = (Party::entra(&world).await, Party::aws(&world).await);
        let operators = (entra.operator(&world), aws.operator(&world));
        // The first certificate ends early, so that a longer rotateBefore makes it due.
        let short = "signingCertificate: {lifetime: 2000h}\n  aws:\n    external:";
        entra.apply(&ENTRA_FEDERATION.replace("aws:\n    external:", &format!("  {short}"))).await;
        entra.apply(CONNECTION).await;
        aws.apply(AWS_FEDERATION).await;
        aws.apply(BINDINGS).await;

        // The AWS party enables Identity Center, downloads its metadata and mails it.
        aws.until("its own document", async || {
            aws.names("send").await.contains(&"ServiceProviderMetadata".to_owned())
        })
        .await;
        assert_eq!(aws.names("awaits").await, ["FederationMetadata"]);
        entra
            .until("that a document is awaited", async || {
                entra.names("awaits").await.contains(&"ServiceProviderMetadata".to_owned())
            })
            .await;
        let mut mails = vec![aws.mail().await];
        entra.receive(&mails[0]).await;

        // The Entra party makes the application and mails its metadata.
        entra
            .until("metadata to send", async || {
                entra.says("IdentityFederation", "acme", "SamlConfigured").await.0 == "Succeeded"
                    && entra.names("send").await == ["FederationMetadata", "SigningCertificate"]
            })
            .await;
        assert_eq!(entra.says("IdentityFederation", "acme", "Ready").await.0, "AwaitingHandoff");
        mails.push(entra.mail().await);
        aws.receive(&mails[1]).await;
        aws.until_ready(&[FEDERATION]).await;
        assert_eq!(aws.names("awaits").await, Vec::<String>::new());
        assert_eq!(
            aws.exchange("received").await[0]["value"],
            entra.exchange("send").await[0]["value"],
            "both name the same document"
        );

        // The AWS party confirms the certificate, and hands endpoint and token over by another channel.
        mails.push(aws.mail().await);
        entra.receive(&mails[2]).await;
        entra.until_ready(&[FEDERATION]).await;
        assert_eq!(entra.names("awaits").await, Vec::<String>::new());
        entra
            .until("that endpoint and token are asked for", async || {
                let connection = entra.get("ScimConnection", "acme").await.expect("the connection");
                connection.data["status"]["handoff"]["pending"][0]["step"] == "ReceiveScimCredentials"
            })
            .await;
        assert!(aws.names("send").await.contains(&"ScimCredentials".to_owned()));
        let token = world.sandbox.aws.enable_automatic_provisioning().expect("the console");
        entra.person.put_token("aws-scim", &token).await.expect("the Secret");
        entra.until_ready(&[FEDERATION, ("ScimConnection", "acme")]).await;
        aws.until_ready(&BOUND).await;

        let dev = on("Engineers-PowerUser", &["333344445555", "444455556666"]);
        assert_eq!(access(&world, "ben@acme.example"), Some(dev));
        assert_eq!(access(&world, "greta@acme.example"), Some(on("Security-Audit", &["777788889999"])));
        assert_eq!(access(&world, "kofi@acme.example"), None, "nobody assigned him");
        assert_eq!(world.created_twice(), Vec::<String>::new());

        // No mail held a secret, and each party has only its own.
        let descriptor = world.sandbox.descriptor();
        let token = token["token"].as_str().expect("a token");
        for secret in [token, &*descriptor.entra.client_secret, &*descriptor.aws.secret_access_key] {
            assert!(mails.iter().all(|m| !m.text.contains(secret)));
        }

        // Nothing to do means nothing done, on both sides.
        three_resyncs(&world).await;
        let journal = world.sandbox.core.journal.last();
        let before = (entra.versions().await, aws.versions().await);
        three_resyncs(&world).await;
        assert_eq!((entra.versions().await, aws.versions().await), before);
        assert_eq!(world.mutations(journal).len(), 0);

        a_spoiled_document_is_told_and_mended(&entra, &aws).await;
        the_next_certificate_goes_the_same_way(&world, &entra, &aws).await;
        each_party_deletes_its_own(&world, &entra, &aws).await;
        operators.0.stop().await;
        operators.1.stop().await;
    });
}

/// What the other party sent can be lost or spoiled. The next mail mends it, and what AWS trusts was never in doubt.
async fn a_spoiled_document_is_told_and_mended(entra: &Party, aws: &Party) {
    let spoiled = json!({"data": {"metadata.xml": "<html>Sign in to your mail</html>"}});
    let patch = Patch::Merge(spoiled);
    aws.api::<ConfigMap>().patch("from-entra", &PatchParams::default(), &patch).await.expect("a ConfigMap");
    aws.until("that the document is no metadata", async || {
        aws.says("IdentityFederation", "acme", "Ready").await.0 == "MetadataInvalid"
    })
    .await;
    assert_eq!(aws.names("awaits").await, ["FederationMetadata"]);
    let bound = aws.says("PermissionSetBinding", "engineers", "Ready").await;
    assert_eq!(bound.0, "Succeeded", "bindings need no metadata");
    aws.receive(&entra.mail().await).await;
    aws.until_ready(&[FEDERATION]).await;
}

/// Nobody is locked out: Entra signs with the next certificate when the other party has confirmed it.
async fn the_next_certificate_goes_the_same_way(world: &TestWorld, entra: &Party, aws: &Party) {
    let due =
        json!({"spec": {"entra": {"signingCertificate": {"lifetime": "26280h", "rotateBefore": "4000h"}}}});
    let patch = Patch::Merge(due);
    entra.resources("IdentityFederation").patch("acme", &PatchParams::default(), &patch).await.unwrap();
    let next = "NextSigningCertificate".to_owned();
    entra.until("a successor", async || entra.names("send").await.contains(&next)).await;
    assert_eq!(entra.names("awaits").await, ["CertificateConfirmation"]);
    let sha256 = entra.exchange("awaits").await[0]["value"].as_str().expect("a thumbprint").to_owned();

    // The AWS party imports what came with the mail, and says so in Git.
    let mail = entra.mail().await;
    let pem = String::from_utf8(mail.files["next-certificate.pem"].clone()).expect("PEM");
    let imported = world.sandbox.aws.import_idp_certificate(&pem).expect("the console");
    assert_eq!(imported["sha256"], sha256.as_str());
    let said = json!({"spec": {"aws": {"identityCenter": {"acknowledgedIdpCertificates": [sha256]}}}});
    let patch = Patch::Merge(said);
    aws.resources("IdentityFederation").patch("acme", &PatchParams::default(), &patch).await.unwrap();
    aws.until("its word", async || {
        aws.exchange("mail").await.as_str().is_some_and(|text| text.contains(&sha256))
    })
    .await;
    entra.receive(&aws.mail().await).await;
    entra
        .until("that Entra signs with it", async || {
            entra.names("awaits").await.is_empty()
                && entra.exchange("send").await[1]["value"] == sha256.as_str()
        })
        .await;
    assert!(access(world, "ben@acme.example").is_some(), "AWS has both");

    // The document has changed, and is sent again: nothing is left to do for it.
    entra.until_ready(&[FEDERATION]).await;
    aws.receive(&entra.mail().await).await;
    aws.until("the present document", async || {
        aws.exchange("received").await[0]["value"] == entra.exchange("send").await[0]["value"]
    })
    .await;
    aws.until_ready(&[FEDERATION]).await;
    assert_eq!(aws.names("awaits").await, Vec::<String>::new());
}

/// A federation waits for what refers to it, and neither party needs the other to let go.
async fn each_party_deletes_its_own(world: &TestWorld, entra: &Party, aws: &Party) {
    let parameters = DeleteParams::default();
    aws.resources("IdentityFederation").delete("acme", &parameters).await.expect("accepted");
    aws.until("who holds the federation", async || {
        let (reason, message) = aws.says("IdentityFederation", "acme", "Ready").await;
        reason == "DeletionBlocked" && message.contains("engineers") && message.contains("security")
    })
    .await;
    for (kind, name) in BOUND {
        aws.resources(kind).delete(name, &parameters).await.expect("accepted");
    }
    aws.until("the end", async || aws.get("IdentityFederation", "acme").await.is_none()).await;
    let (_, identity_center, _) = world.sandbox.aws.world();
    assert!(identity_center.permission_sets.is_empty() && identity_center.assignments.is_empty());

    let policy = json!({"spec": {"deletionPolicy": "Delete"}});
    let patch = Patch::Merge(policy);
    entra.resources("IdentityFederation").patch("acme", &PatchParams::default(), &patch).await.unwrap();
    for kind in ["ScimConnection", "IdentityFederation"] {
        entra.resources(kind).delete("acme", &parameters).await.expect("accepted");
    }
    entra.until("the end", async || entra.get("IdentityFederation", "acme").await.is_none()).await;
    assert_eq!(world.sandbox.entra.world().applications.len(), 0);
}

#[test]
fn what_lies_on_the_other_side_is_refused_and_let_go() {
    run(async {
        let world = TestWorld::company("entra-team").await;
        let (entra, aws) = (Party::entra(&world).await, Party::aws(&world).await);
        let operators = (entra.operator(&world), aws.operator(&world));
        entra.apply(ENTRA_FEDERATION).await;
        entra.apply(&BINDINGS.replace("namespace: aws-team", "namespace: entra-team")).await;
        aws.apply(AWS_FEDERATION).await;
        aws.apply(&CONNECTION.replace("namespace: entra-team", "namespace: aws-team")).await;

        let (binding, connection) = (BOUND[0], ("ScimConnection", "acme"));
        for (party, (kind, name), words) in [
            (&entra, binding, "spec.aws.external of IdentityFederation acme"),
            (&aws, connection, "spec.entra.external of IdentityFederation"),
        ] {
            party
                .until("a refusal", async || {
                    let (reason, message) = party.says(kind, name, "Ready").await;
                    reason == "ManagedByOtherParty" && message.contains(words)
                })
                .await;
            let (reason, _) = party.says(kind, name, "Stalled").await;
            assert_eq!(reason, "ManagedByOtherParty", "only a person can mend it");
            party.resources(kind).delete(name, &DeleteParams::default()).await.expect("accepted");
            party.until("the end", async || party.get(kind, name).await.is_none()).await;
        }

        // Nobody asks Entra about those who are not in the identity store.
        aws.apply(BINDINGS).await;
        let by_id = BINDINGS.replace(
            "user: {userPrincipalName: greta@acme.example}",
            "user: {entraObjectId: 0f0f0f0f-1111-2222-3333-444444444446}",
        );
        aws.until("who is awaited", async || {
            let (reason, message) = aws.says("PermissionSetBinding", "security", "PrincipalsResolved").await;
            reason == "NotInIdentityStore" && message.contains("ask the party that looks after Entra")
        })
        .await;
        aws.apply(&by_id).await;
        aws.until("how to name people", async || {
            let (reason, message) = aws.says("PermissionSetBinding", "security", "PrincipalsResolved").await;
            reason == "ManagedByOtherParty" && message.contains("userPrincipalName")
        })
        .await;
        operators.0.stop().await;
        operators.1.stop().await;
    });
}
