//! `examples/aws-groups/`: people come from Entra under another name than their sign-in name, groups exist in AWS alone.

use causeway::clients::entra::{ClientSecret, Graph, GraphOptions};
use causeway::clients::http::{HttpOptions, client};
use causeway::clock::Clock;
use causeway::observers::Chain;
use causeway::secret::Sensitive;
use reqwest::Method;
use sandbox::sign_in::{Cloud, Verdict};
use sandbox::world;
use serde_json::{Value, json};

use super::on;
use crate::support::run;
use crate::support::sign_in::{access, app_id};
use crate::support::world::{TestWorld, condition};

const FEDERATION: &str = include_str!("../../examples/aws-groups/10-federation.yaml");
const CONNECTION: &str = include_str!("../../examples/aws-groups/20-connection.yaml");
const BINDINGS: &str = include_str!("../../examples/aws-groups/30-bindings.yaml");

/// The administrator of Entra, who may set claims.
const ADMINISTRATOR: (&str, &str) =
    ("7c3f7e5e-4a7d-4c53-9f0b-2f1d6a1c0009", "sbx8Q~administrator-in-a-sandbox");

/// Mail addresses are not the sign-in names, and somebody may set claims.
fn prepare(world: &mut world::World, _: &str) {
    for user in &mut world.tenant.users {
        let name = user.display_name.to_lowercase().replace(' ', ".");
        user.mail = Some(format!("{}@mail.acme.example", name.replace('ê', "e")));
    }
    world.tenant.clients.push(world::Client {
        client_id: ADMINISTRATOR.0.into(),
        client_secret: Some(ADMINISTRATOR.1.into()),
        permissions: [
            "Policy.Read.All",
            "Policy.ReadWrite.ApplicationConfiguration",
            "Application.ReadWrite.All",
        ]
        .map(str::to_owned)
        .into(),
        ..world::Client::default()
    });
}

/// What the example tells a person to do in Entra: the NameID comes from the mail address.
async fn set_name_id(world: &TestWorld) {
    let endpoints = &world.settings.endpoints;
    let total = std::time::Duration::from_secs(20);
    let options =
        GraphOptions { graph: endpoints.graph.clone(), authority: endpoints.authority.clone(), total };
    let identity = ClientSecret {
        tenant_id: world.sandbox.descriptor().entra.tenant_id,
        client_id: ADMINISTRATOR.0.into(),
        secret: Sensitive::new(ADMINISTRATOR.1),
    };
    let http = client(&HttpOptions::within(total, endpoints.ca_pem.clone())).unwrap();
    let graph = Graph::new(options, identity, http, Chain::of([])).unwrap();
    let federation = world.get("IdentityFederation", "acme").await.unwrap();
    let principal = federation.data["status"]["entra"]["servicePrincipalId"].as_str().unwrap();
    let claims = json!({"ClaimsMappingPolicy": {"Version": 1, "IncludeBasicClaimSet": "true", "ClaimsSchema": [{
        "Source": "user", "ID": "mail",
        "SamlClaimType": "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/nameidentifier",
        "SamlNameIdFormat": "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"}]}});
    let policy = json!({"displayName": "NameID from mail", "definition": [claims.to_string()]});
    let made = graph
        .send(
            "POST /policies/claimsMappingPolicies",
            Method::POST,
            "/policies/claimsMappingPolicies",
            Some(&policy),
        )
        .await
        .expect("a policy");
    let base = endpoints.graph.as_str().trim_end_matches('/');
    let id = made.body["id"].as_str().expect("an id");
    let reference = json!({"@odata.id": format!("{base}/v1.0/policies/claimsMappingPolicies/{id}")});
    let path = format!("/servicePrincipals/{principal}/claimsMappingPolicies/$ref");
    graph
        .send(
            "POST /servicePrincipals/{id}/claimsMappingPolicies/$ref",
            Method::POST,
            &path,
            Some(&reference),
        )
        .await
        .expect("it is attached");
}

/// A platform that makes groups in the identity store.
struct Platform<'a> {
    world: &'a TestWorld,
    http: reqwest::Client,
}

impl<'a> Platform<'a> {
    fn new(world: &'a TestWorld) -> Self {
        let within = std::time::Duration::from_secs(20);
        let options = HttpOptions::within(within, world.settings.endpoints.ca_pem.clone());
        Self { world, http: client(&options).unwrap() }
    }

    /// One call of the identity store; none while it does not know what is asked for.
    async fn call(&self, operation: &str, body: Value) -> Option<Value> {
        let aws = self.world.sandbox.descriptor().aws;
        let mut body = body;
        body["IdentityStoreId"] = aws.identity_store_id.clone().expect("an identity store").into();
        let date = Clock::system().now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let scope = format!("{}/{}/{}/identitystore/aws4_request", aws.access_key_id, &date[..8], aws.region);
        // The sandbox looks at key and date; the signature itself is not recomputed.
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature={}",
            "0".repeat(64)
        );
        let answer = self
            .http
            .post(aws.endpoint)
            .header("content-type", "application/x-amz-json-1.1")
            .header("x-amz-target", format!("AWSIdentityStore.{operation}"))
            .header("x-amz-date", date)
            .header("authorization", authorization)
            .body(body.to_string())
            .send()
            .await
            .expect("an answer");
        let good = answer.status().is_success();
        let text = answer.text().await.expect("a body");
        assert!(good || text.contains("ResourceNotFound"), "{operation}: {text}");
        good.then(|| serde_json::from_str(&text).expect("JSON"))
    }

    async fn user(&self, user_name: &str) -> Option<String> {
        let by = json!({"UniqueAttribute": {"AttributePath": "userName", "AttributeValue": user_name}});
        let found = self.call("GetUserId", json!({"AlternateIdentifier": by})).await?;
        found["UserId"].as_str().map(str::to_owned)
    }

    async fn make_group(&self, name: &str, members: &[&str]) {
        let made = self.call("CreateGroup", json!({"DisplayName": name})).await.expect("a group");
        for member in members {
            let member = self.user(member).await.expect("the member was provisioned");
            let body = json!({"GroupId": made["GroupId"], "MemberId": {"UserId": member}});
            self.call("CreateGroupMembership", body).await.expect("a membership");
        }
    }
}

#[test]
fn groups_that_exist_only_in_aws_give_access_to_people_under_a_mapped_name() {
    run(async {
        let world = TestWorld::changed("aws-groups", prepare).await;
        let operator = world.operator();
        for yaml in [FEDERATION, CONNECTION, BINDINGS] {
            world.apply(yaml).await;
        }
        world.until_ready(&[("IdentityFederation", "acme"), ("ScimConnection", "acme")]).await;
        let platform = Platform::new(&world);
        let ada = "ada.lindqvist@mail.acme.example";
        world
            .until("ada is provisioned under her mail address", async || platform.user(ada).await.is_some())
            .await;
        assert_eq!(platform.user("ada@acme.example").await, None);
        assert_eq!(world.sandbox.world().identity_center.groups, [], "groups stay in Entra");

        // Until the group is there, the binding says so and gives nobody anything.
        world
            .until("the binding waits", async || {
                let binding = world.get("PermissionSetBinding", "shop-operators").await.unwrap();
                condition(&binding, "PrincipalsResolved").is_some_and(|c| c["reason"] == "NotInEntra")
            })
            .await;
        platform.make_group("shop-operators", &[ada, "chidi.anand@mail.acme.example"]).await;
        world.until_ready(&[("PermissionSetBinding", "shop-operators")]).await;

        // The connection says what is missing: AWS does not know anybody by the sign-in name.
        let connection = world.get("ScimConnection", "acme").await.unwrap();
        let told = condition(&connection, "Ready").unwrap()["message"].as_str().unwrap().to_owned();
        assert!(told.contains("userName comes from mail") && told.contains("NameID"), "{told}");
        let came = world.sandbox.sign_in("ada@acme.example", &app_id(&world));
        assert_eq!((came.verdict, came.refused_by), (Verdict::Refused, Some(Cloud::Aws)), "{came:?}");

        set_name_id(&world).await;
        let shop = on("Shop-Operator", &["111122223333", "333344445555"]);
        assert_eq!(access(&world, "ada@acme.example").as_ref(), Some(&shop));
        assert_eq!(access(&world, "chidi@acme.example").as_ref(), Some(&shop));
        // Provisioned and in no group of AWS: in, with nothing. In Entra only: not in at all.
        assert_eq!(access(&world, "hugo@acme.example"), Some(on("", &[])));
        assert_eq!(access(&world, "kofi@acme.example"), None);
        // Their groups of Entra mean nothing here.
        world.apply(&BINDINGS.replace("displayName: shop-operators", "displayName: aws-auditors")).await;
        world
            .until("a group that is not provisioned is told", async || {
                let binding = world.get("PermissionSetBinding", "shop-operators").await.unwrap();
                let resolved = condition(&binding, "PrincipalsResolved").cloned().unwrap_or_default();
                resolved["reason"] == "NotInProvisioningScope"
                    && resolved["message"].as_str().is_some_and(|m| m.contains("group sync is off"))
            })
            .await;
        world
            .until("what the spec took back is gone", async || {
                access(&world, "ada@acme.example") == Some(on("", &[]))
            })
            .await;
        operator.stop().await;
    });
}
