//! IAM, as far as clients of Identity Center read it (contract aws 1.4): roles and policies of the caller's
//! own account.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;

use super::dispatch::{Cx, QueryHandler, Table};
use super::errors::{ApiError, escape};
use super::paging::page;
use super::state::{Center, State};

pub(super) const VERSION: &str = "2010-05-08";
pub(super) const NAMESPACE: &str = "https://iam.amazonaws.com/doc/2010-05-08/";

/// The operations that this sandbox has.
pub(super) const OPERATIONS: Table<QueryHandler> = &[
    ("GetRole", get_role),
    ("ListRoles", list_roles),
    ("GetPolicy", get_policy),
    ("ListPolicies", list_policies),
];

struct Role {
    name: String,
    path: String,
    created: Timestamp,
    trust: String,
    max_session: u32,
}

const SSO_TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sso.amazonaws.com"},"Action":["sts:AssumeRoleWithSAML","sts:TagSession"],"Condition":{"StringEquals":{"SAML:aud":"https://signin.aws.amazon.com/saml"}}}]}"#;
const ROLE_TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}"#;

/// Where the roles of permission sets live: outside us-east-1 the path names the Region (contract aws 1.4).
pub(super) fn reserved_path(region: &str) -> String {
    if region == "us-east-1" {
        "/aws-reserved/sso.amazonaws.com/".into()
    } else {
        format!("/aws-reserved/sso.amazonaws.com/{region}/")
    }
}

fn roles(state: &State, account: &str) -> BTreeMap<String, Role> {
    let mut out = BTreeMap::new();
    for role in state.iam.get(account).into_iter().flat_map(|iam| &iam.roles) {
        let named = Role {
            name: role.name.clone(),
            path: role.path.clone().unwrap_or_else(|| "/".into()),
            created: state.organization.since,
            trust: role.trust_policy.as_ref().map_or_else(|| ROLE_TRUST.to_owned(), ToString::to_string),
            max_session: role.max_session_duration.unwrap_or(3600),
        };
        out.insert(role.name.clone(), named);
    }
    let Some(center) = &state.center else { return out };
    for ((set, _), provision) in center.provisions.iter().filter(|((_, a), _)| a == account) {
        if let (Some(set), Some(provision)) = (center.set(set), provision.truth()) {
            let name = Center::role_name(&set.name, &provision.suffix);
            out.insert(
                name.clone(),
                Role {
                    name,
                    path: reserved_path(&state.region),
                    created: provision.created,
                    trust: SSO_TRUST.to_owned(),
                    max_session: 43_200,
                },
            );
        }
    }
    out
}

fn stamp(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Stable unique ids without keeping any: IAM's are 21 characters.
fn unique_id(prefix: &str, of: &str) -> String {
    use sha2::Digest as _;
    let digest = hex::encode_upper(sha2::Sha256::digest(of));
    format!("{prefix}{}", digest.get(..17).unwrap_or(&digest))
}

fn role_xml(account: &str, role: &Role) -> String {
    let arn = format!("arn:aws:iam::{account}:role{}{}", role.path, role.name);
    let trust: String = url::form_urlencoded::byte_serialize(role.trust.as_bytes()).collect();
    format!(
        "<Path>{}</Path><RoleName>{}</RoleName><RoleId>{}</RoleId><Arn>{}</Arn><CreateDate>{}</CreateDate>\
         <AssumeRolePolicyDocument>{}</AssumeRolePolicyDocument><MaxSessionDuration>{}</MaxSessionDuration>",
        escape(&role.path),
        escape(&role.name),
        unique_id("AROA", &arn),
        escape(&arn),
        stamp(role.created),
        trust.replace('+', "%20"),
        role.max_session,
    )
}

fn missing(kind: &str, name: &str) -> ApiError {
    ApiError::new("NoSuchEntity", format!("The {kind} with name {name} cannot be found.")).status(404)
}

fn get_role(cx: &mut Cx<'_>, form: &BTreeMap<String, String>) -> Result<String, ApiError> {
    let name = form.get("RoleName").map(String::as_str).unwrap_or_default();
    let account = &cx.caller.account_id;
    let roles = roles(cx.state, account);
    let role = roles.get(name).ok_or_else(|| missing("role", name))?;
    Ok(format!("    <Role>{}</Role>\n", role_xml(account, role)))
}

/// One page of members, with IAM's own paging words.
fn listing(
    form: &BTreeMap<String, String>,
    list: &str,
    scope: &str,
    found: impl Iterator<Item = (String, String)>,
) -> Result<String, ApiError> {
    let max = match form.get("MaxItems").map(|m| m.parse::<usize>()) {
        None => 100,
        Some(Ok(n)) if (1..=1000).contains(&n) => n,
        Some(_) => {
            return Err(ApiError::validation(
                "Value at 'maxItems' failed to satisfy constraint: Member must have value between 1 and 1000",
            ));
        }
    };
    let marker = form.get("Marker").map(String::as_str);
    let (items, next) = page(&format!("{list} {scope}"), found, max, marker)
        .map_err(|_| ApiError::validation("Invalid Marker."))?;
    let mut out = format!("    <{list}>\n");
    for item in items {
        let _ = writeln!(out, "      <member>{item}</member>");
    }
    let _ = writeln!(out, "    </{list}>\n    <IsTruncated>{}</IsTruncated>", next.is_some());
    if let Some(next) = next {
        let _ = writeln!(out, "    <Marker>{next}</Marker>");
    }
    Ok(out)
}

fn list_roles(cx: &mut Cx<'_>, form: &BTreeMap<String, String>) -> Result<String, ApiError> {
    let prefix = form.get("PathPrefix").map_or("/", String::as_str);
    let account = &cx.caller.account_id;
    let found = roles(cx.state, account)
        .into_values()
        .filter(|r| r.path.starts_with(prefix))
        .map(|r| (r.name.clone(), role_xml(account, &r)));
    listing(form, "Roles", prefix, found)
}

fn policies(state: &State, account: &str) -> Vec<(String, String, String)> {
    let own = state.iam.get(account).into_iter().flat_map(|iam| &iam.policies);
    own.map(|p| {
        let path = p.path.clone().unwrap_or_else(|| "/".into());
        (format!("arn:aws:iam::{account}:policy{path}{}", p.name), p.name.clone(), path)
    })
    .collect()
}

fn policy_xml(state: &State, (arn, name, path): &(String, String, String)) -> String {
    let since = stamp(state.organization.since);
    format!(
        "<PolicyName>{}</PolicyName><PolicyId>{}</PolicyId><Arn>{}</Arn><Path>{}</Path><DefaultVersionId>v1</DefaultVersionId>\
         <AttachmentCount>0</AttachmentCount><PermissionsBoundaryUsageCount>0</PermissionsBoundaryUsageCount>\
         <IsAttachable>true</IsAttachable><CreateDate>{since}</CreateDate><UpdateDate>{since}</UpdateDate>",
        escape(name),
        unique_id("ANPA", arn),
        escape(arn),
        escape(path),
    )
}

fn get_policy(cx: &mut Cx<'_>, form: &BTreeMap<String, String>) -> Result<String, ApiError> {
    let arn = form.get("PolicyArn").map(String::as_str).unwrap_or_default();
    if arn.contains(":iam::aws:policy/") {
        return Err(not_kept());
    }
    let all = policies(cx.state, &cx.caller.account_id);
    let policy = all.iter().find(|p| p.0 == arn).ok_or_else(|| missing("policy", arn))?;
    // Tags come with one policy, not with a list of them.
    Ok(format!("    <Policy>{}<Tags/></Policy>\n", policy_xml(cx.state, policy)))
}

/// The sandbox keeps no list of AWS managed policies, and will not pretend that there are none.
fn not_kept() -> ApiError {
    ApiError::new("ServiceFailure", "AWS managed policies are not kept by this sandbox: ask with Scope=Local")
        .status(500)
}

fn list_policies(cx: &mut Cx<'_>, form: &BTreeMap<String, String>) -> Result<String, ApiError> {
    if form.get("Scope").map(String::as_str) != Some("Local") {
        return Err(not_kept());
    }
    let prefix = form.get("PathPrefix").map_or("/", String::as_str);
    let mut all = policies(cx.state, &cx.caller.account_id);
    all.sort();
    let found =
        all.iter().filter(|p| p.2.starts_with(prefix)).map(|p| (p.0.clone(), policy_xml(cx.state, p)));
    listing(form, "Policies", prefix, found)
}
