//! STS (contract aws 7.1, and the shapes and errors of its service model): who am I, and assuming a role of the world
//! file, with credentials or with an identity token.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::dispatch::{Cx, QueryHandler, Table};
use super::errors::{ApiError, escape};
use super::state::Session;
use super::trust::{self, Attempt, Who};
use super::validate;
use crate::core::{Flaw, IdentityToken};
use crate::world::IamRole;

pub(super) const VERSION: &str = "2011-06-15";
pub(super) const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
/// The operation that needs no credentials: the token in it is what speaks for the caller.
pub(super) const UNSIGNED: &str = "AssumeRoleWithWebIdentity";

/// The operations that this sandbox has.
pub(super) const OPERATIONS: Table<QueryHandler> = &[
    ("GetCallerIdentity", caller_identity),
    ("AssumeRole", assume_role),
    (UNSIGNED, assume_role_with_web_identity),
];

fn caller_identity(cx: &mut Cx<'_>, _: &BTreeMap<String, String>) -> Result<String, ApiError> {
    let caller = cx.caller;
    Ok(format!(
        "    <Arn>{}</Arn>\n    <UserId>{}</UserId>\n    <Account>{}</Account>\n",
        escape(&caller.arn),
        escape(&caller.user_id),
        escape(&caller.account_id)
    ))
}

fn invalid(member: &str, value: &str, rule: &str) -> ApiError {
    ApiError::validation(format!(
        "1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: {rule}"
    ))
}

/// What both ways of assuming a role ask for.
struct Wanted<'a> {
    role_arn: &'a str,
    account_id: &'a str,
    session_name: &'a str,
    seconds: i64,
}

impl<'a> Wanted<'a> {
    fn read(form: &'a BTreeMap<String, String>) -> Result<Self, ApiError> {
        let missing = |member: &str| invalid(member, "null", "Member must not be null");
        let get = |name: &str| form.get(name).map(String::as_str);
        let role_arn = get("RoleArn").ok_or_else(|| missing("roleArn"))?;
        let session_name = get("RoleSessionName").ok_or_else(|| missing("roleSessionName"))?;
        if !(2..=64).contains(&session_name.len()) || !validate::name(session_name) {
            let rule =
                r"Member must satisfy regular expression pattern: [\w+=,.@-]* and have 2 to 64 characters";
            return Err(invalid("roleSessionName", session_name, rule));
        }
        let seconds = match get("DurationSeconds").map(str::parse) {
            None => 3600,
            Some(Ok(n)) if (900..=43_200).contains(&n) => n,
            Some(_) => {
                let rule = "Member must have value between 900 and 43200";
                return Err(invalid("durationSeconds", get("DurationSeconds").unwrap_or_default(), rule));
            }
        };
        let account_id = validate::after_partition(role_arn)
            .and_then(|r| r.strip_prefix("iam::"))
            .and_then(|r| r.split_once(":role/"))
            .map(|(account, _)| account)
            .ok_or_else(|| ApiError::validation(format!("{role_arn} is invalid")))?;
        Ok(Self { role_arn, account_id, session_name, seconds })
    }

    /// The role, if it exists under exactly this ARN.
    fn role(&self, cx: &Cx<'_>) -> Option<IamRole> {
        let iam = cx.state.iam.get(self.account_id)?;
        iam.roles.iter().find(|r| arn_of(self.account_id, r) == self.role_arn).cloned()
    }

    /// Issues a session.
    fn session(&self, cx: &mut Cx<'_>, role: &IamRole) -> Result<String, ApiError> {
        if self.seconds > i64::from(role.max_session_duration.unwrap_or(3600)) {
            return Err(ApiError::validation(
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            ));
        }
        let ids = &cx.core.ids;
        let key = format!("ASIA{}", ids.hex(16).to_uppercase());
        let (secret, token) = (ids.secret(30), ids.secret(96));
        let role_id = format!("AROA{}", ids.hex(17).to_uppercase());
        let expires = cx.at.checked_add(SignedDuration::from_secs(self.seconds)).unwrap_or(cx.at);
        let (account_id, name) = (self.account_id, self.session_name);
        let arn = format!("arn:aws:sts::{account_id}:assumed-role/{}/{name}", role.name);
        let session = Session {
            account_id: account_id.to_owned(),
            arn: arn.clone(),
            role_arn: self.role_arn.to_owned(),
            user_id: format!("{role_id}:{name}"),
            secret: secret.clone(),
            token: token.clone(),
            actions: role.actions.clone(),
            expires,
            revoked: false,
        };
        cx.state.sessions.insert(key.clone(), session);
        Ok(format!(
            "    <AssumedRoleUser>\n      <AssumedRoleId>{role_id}:{name}</AssumedRoleId>\n      <Arn>{}</Arn>\n    \
             </AssumedRoleUser>\n    <Credentials>\n      <AccessKeyId>{key}</AccessKeyId>\n      \
             <SecretAccessKey>{secret}</SecretAccessKey>\n      <SessionToken>{token}</SessionToken>\n      \
             <Expiration>{}</Expiration>\n    </Credentials>\n",
            escape(&arn),
            expires.strftime("%Y-%m-%dT%H:%M:%SZ"),
        ))
    }
}

/// The ARN of a role of the world.
pub(super) fn arn_of(account_id: &str, role: &IamRole) -> String {
    format!("arn:aws:iam::{account_id}:role{}{}", role.path.as_deref().unwrap_or("/"), role.name)
}

fn assume_role(cx: &mut Cx<'_>, form: &BTreeMap<String, String>) -> Result<String, ApiError> {
    let wanted = Wanted::read(form)?;
    // Chaining caps a session at one hour (contract aws 7.1).
    if cx.caller.arn.contains(":assumed-role/") && wanted.seconds > 3600 {
        return Err(ApiError::validation(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
        ));
    }
    let external_id = form.get("ExternalId");
    let role = wanted.role(cx).filter(|role| match &role.trust_policy {
        Some(policy) => {
            let keys = external_id.map(|id| ("sts:ExternalId".to_owned(), vec![id.clone()]));
            let keys = keys.into_iter().collect();
            trust::allows(policy, &Attempt { action: "sts:AssumeRole", who: Who::Caller(cx.caller), keys })
        }
        None => role.external_id.is_none() || role.external_id.as_ref() == external_id,
    });
    // Whether the role does not exist, the principal is a stranger to it or the external id is wrong, AWS says the same.
    let role = role.ok_or_else(|| {
        let (caller, arn) = (&cx.caller.arn, wanted.role_arn);
        let text = format!("User: {caller} is not authorized to perform: sts:AssumeRole on resource: {arn}");
        ApiError::new("AccessDenied", text).status(403)
    })?;
    wanted.session(cx, &role)
}

/// The token is judged before the role: whose it is, for whom it is meant, whether it is genuine and still in force.
/// (The error codes are the model's; the sentences are those that people report.)
fn assume_role_with_web_identity(
    cx: &mut Cx<'_>,
    form: &BTreeMap<String, String>,
) -> Result<String, ApiError> {
    let wanted = Wanted::read(form)?;
    let jwt = form
        .get("WebIdentityToken")
        .ok_or_else(|| invalid("webIdentityToken", "null", "Member must not be null"))?;
    if !(4..=20_000).contains(&jwt.len()) {
        let rule = "Member must have length between 4 and 20000";
        return Err(invalid("webIdentityToken", jwt, rule));
    }
    let refused = |text: String| ApiError::new("InvalidIdentityToken", text);
    let token = IdentityToken::read(jwt).map_err(|flaw| match flaw {
        Flaw::Malformed => refused("The ID Token provided is not a valid JWT.".to_owned()),
        Flaw::Algorithm => refused("The algorithm of the ID Token is not supported.".to_owned()),
    })?;
    let providers = cx.state.iam.get(wanted.account_id).map(|iam| iam.oidc_providers.as_slice());
    let provider = providers.unwrap_or_default().iter().find(|p| p.url == token.issuer).ok_or_else(|| {
        refused(format!("No OpenIDConnect provider found in your account for {}", token.issuer))
    })?;
    if !token.audiences.iter().any(|a| provider.client_ids.contains(a)) {
        return Err(refused("Incorrect token audience".to_owned()));
    }
    let key = cx.core.issuers.key(&token.issuer).filter(|key| token.is_signed_by(key));
    if key.is_none() {
        let text = "Couldn't retrieve verification key from your identity provider, please reference \
                    AssumeRoleWithWebIdentity documentation for requirements";
        return Err(refused(text.to_owned()));
    }
    let now = Timestamp::now();
    if !token.is_current(now.as_second()) {
        let text = format!(
            "Token expired: current date/time {} must be before the expiration date/time {}",
            now.as_second(),
            token.expires
        );
        return Err(ApiError::new("ExpiredTokenException", text));
    }
    let host = token.issuer.trim_start_matches("https://");
    let arn = format!("arn:aws:iam::{}:oidc-provider/{host}", wanted.account_id);
    let keys = BTreeMap::from([
        (format!("{host}:sub"), vec![token.subject.clone()]),
        (format!("{host}:aud"), token.audiences.clone()),
    ]);
    let attempt = Attempt { action: "sts:AssumeRoleWithWebIdentity", who: Who::Provider(&arn), keys };
    let role = wanted
        .role(cx)
        .filter(|role| role.trust_policy.as_ref().is_some_and(|policy| trust::allows(policy, &attempt)));
    let role = role.ok_or_else(|| {
        let text = "Not authorized to perform sts:AssumeRoleWithWebIdentity";
        ApiError::new("AccessDenied", text).status(403)
    })?;
    let content = wanted.session(cx, &role)?;
    Ok(format!(
        "    <SubjectFromWebIdentityToken>{}</SubjectFromWebIdentityToken>\n    <Audience>{}</Audience>\n    \
         <Provider>{arn}</Provider>\n{content}",
        escape(&token.subject),
        escape(&token.audiences.join(",")),
    ))
}
