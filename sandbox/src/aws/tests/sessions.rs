//! Sessions: who may assume which role, and how a session ends.

use axum::body::Body;
use http::Request;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::{Bench, KEY, LIMITED, signed, world};
use crate::core::Issuer;
use crate::world::{IamRole, OidcProvider, World};

const ACCOUNT: &str = "100000000001";
const ISSUER: &str = "https://issuer.example/cluster";
const SUBJECT: &str = "system:serviceaccount:identity:causeway";
const AUDIENCE: &str = "sts.amazonaws.com";

fn role(name: &str) -> String {
    format!("arn:aws:iam::{ACCOUNT}:role/automation/{name}")
}

/// A role for a ServiceAccount, and one for sessions of that role and for a user, with an external id.
fn with_roles() -> World {
    let mut world = world();
    let host = ISSUER.trim_start_matches("https://");
    let first = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"Federated": format!("arn:aws:iam::{ACCOUNT}:oidc-provider/{host}")},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {format!("{host}:sub"): SUBJECT, format!("{host}:aud"): AUDIENCE}},
    }]});
    let second = json!({"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Principal": {"AWS": [role("first"), format!("arn:aws:iam::{ACCOUNT}:user/{KEY}")]},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"sts:ExternalId": "pact"}},
    }]});
    let of = |name: &str, trust: Value| IamRole {
        name: name.into(),
        path: Some("/automation/".into()),
        trust_policy: Some(trust),
        ..IamRole::default()
    };
    let iam = world.iam.get_mut(ACCOUNT).unwrap();
    iam.roles.extend([of("first", first), of("second", second)]);
    iam.oidc_providers = vec![OidcProvider { url: ISSUER.into(), client_ids: vec![AUDIENCE.into()] }];
    world
}

struct Session {
    key: String,
    token: String,
}

fn part(xml: &str, name: &str) -> String {
    xml.split(&format!("<{name}>"))
        .nth(1)
        .unwrap_or_default()
        .split('<')
        .next()
        .unwrap_or_default()
        .to_owned()
}

impl Bench {
    /// A Query call, with or without credentials: the session, or the error's code.
    async fn assume(&self, who: Option<(&str, Option<&str>)>, form: &str) -> Result<Session, String> {
        let mut request = match who {
            Some((key, token)) => {
                let target = "AWSOrganizationsV20161128.X";
                signed(key, "eu-west-1", target, &json!({}), Timestamp::now(), token)
            }
            None => Request::post("/").body(Body::empty()).unwrap(),
        };
        request.headers_mut().remove("x-amz-target");
        if let Some(header) = request.headers_mut().get_mut("authorization") {
            *header = header.to_str().unwrap().replace("/organizations/", "/sts/").parse().unwrap();
        }
        *request.body_mut() = Body::from(format!("Version=2011-06-15&{form}"));
        let (status, xml) = self.send(request).await;
        let xml = xml.as_str().unwrap();
        if status == 200 {
            Ok(Session { key: part(xml, "AccessKeyId"), token: part(xml, "SessionToken") })
        } else {
            Err(format!("{} {}", status.as_u16(), part(xml, "Code")))
        }
    }

    async fn by_token(&self, role: &str, jwt: &str) -> Result<Session, String> {
        let form = format!(
            "Action=AssumeRoleWithWebIdentity&RoleArn={role}&RoleSessionName=acme@identity.acme&WebIdentityToken={jwt}"
        );
        self.assume(None, &form).await
    }

    async fn instances(&self, session: &Session) -> Value {
        let target = "SWBExternalService.ListInstances";
        let at = Timestamp::now();
        self.send(signed(&session.key, "eu-west-1", target, &json!({}), at, Some(&session.token))).await.1
    }
}

fn second(external_id: &str) -> String {
    format!("Action=AssumeRole&RoleArn={}&RoleSessionName=acme&ExternalId={external_id}", role("second"))
}

#[tokio::test]
async fn a_token_opens_the_role_that_trusts_it_and_no_other() {
    let bench = Bench::of(&with_roles());
    let issuer = Issuer::new(ISSUER).unwrap();
    bench.core.issuers.trust(ISSUER, &issuer.public_key_pem());
    let token = |subject: &str, audience: &str, life| issuer.token(subject, audience, life).unwrap();
    let good = token(SUBJECT, AUDIENCE, 600);
    let session = bench.by_token(&role("first"), &good).await.unwrap();
    assert!(bench.instances(&session).await["Instances"].is_array());
    let arn = format!("arn:aws:sts::{ACCOUNT}:assumed-role/first/acme@identity.acme");
    assert_eq!(bench.aws.session_arns(), [arn]);

    let stranger = Issuer::new("https://elsewhere.example").unwrap();
    let forged = Issuer::new(ISSUER).unwrap();
    for (role_arn, jwt, code) in [
        (role("first"), "no.jwt".to_owned(), "400 InvalidIdentityToken"),
        (role("first"), stranger.token(SUBJECT, AUDIENCE, 600).unwrap(), "400 InvalidIdentityToken"),
        (role("first"), forged.token(SUBJECT, AUDIENCE, 600).unwrap(), "400 InvalidIdentityToken"),
        (role("first"), token(SUBJECT, "api://AzureADTokenExchange", 600), "400 InvalidIdentityToken"),
        (role("first"), token(SUBJECT, AUDIENCE, -600), "400 ExpiredTokenException"),
        (role("first"), token("system:serviceaccount:other:causeway", AUDIENCE, 600), "403 AccessDenied"),
        (role("second"), good.clone(), "403 AccessDenied"),
        (format!("arn:aws:iam::{ACCOUNT}:role/first"), good, "403 AccessDenied"),
    ] {
        assert_eq!(bench.by_token(&role_arn, &jwt).await.err().as_deref(), Some(code), "{role_arn}");
    }
}

#[tokio::test]
async fn the_trust_policy_names_who_may_assume_a_role_and_with_which_external_id() {
    let bench = Bench::of(&with_roles());
    let issuer = Issuer::new(ISSUER).unwrap();
    bench.core.issuers.trust(ISSUER, &issuer.public_key_pem());
    let first = bench.by_token(&role("first"), &issuer.token(SUBJECT, AUDIENCE, 600).unwrap()).await.unwrap();
    let by_session = Some((first.key.as_str(), Some(first.token.as_str())));
    for who in [by_session, Some((KEY, None))] {
        let session = bench.assume(who, &second("pact")).await.unwrap();
        assert!(bench.instances(&session).await["Instances"].is_array());
        assert_eq!(bench.assume(who, &second("other")).await.err().as_deref(), Some("403 AccessDenied"));
    }
    let limited = bench.assume(Some((LIMITED, None)), &second("pact")).await;
    assert_eq!(limited.err().as_deref(), Some("403 AccessDenied"));
    let long = format!("{}&DurationSeconds=7200", second("pact"));
    assert_eq!(bench.assume(Some((KEY, None)), &long).await.err().as_deref(), Some("400 ValidationError"));
}

#[tokio::test]
async fn a_session_that_has_ended_opens_no_further_role() {
    let bench = Bench::of(&with_roles());
    let session = bench.assume(Some((KEY, None)), &second("pact")).await.unwrap();
    bench.pass(3_601_000);
    let who = Some((session.key.as_str(), Some(session.token.as_str())));
    assert_eq!(bench.assume(who, &second("pact")).await.err().as_deref(), Some("403 ExpiredToken"));
}

#[tokio::test]
async fn revoked_sessions_are_denied_everything_and_new_ones_are_not() {
    let bench = Bench::of(&with_roles());
    let old = bench.assume(Some((KEY, None)), &second("pact")).await.unwrap();
    assert_eq!(bench.aws.revoke_sessions("arn:aws:iam::100000000001:role/none").unwrap_err().status, 404);
    bench.aws.revoke_sessions(&role("second")).unwrap();
    let refused = bench.instances(&old).await;
    assert!(refused["Message"].as_str().unwrap().contains("explicit deny"), "{refused}");
    let new = bench.assume(Some((KEY, None)), &second("pact")).await.unwrap();
    assert!(bench.instances(&new).await["Instances"].is_array());
}
