//! STS (contract aws 7.1): who am I, and assuming a role of the world file.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::dispatch::{Cx, QueryHandler, Table};
use super::errors::{ApiError, escape};
use super::state::Session;
use super::validate;

pub(super) const VERSION: &str = "2011-06-15";
pub(super) const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// The operations that this sandbox has.
pub(super) const OPERATIONS: Table<QueryHandler> =
    &[("GetCallerIdentity", caller_identity), ("AssumeRole", assume_role)];

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

fn assume_role(cx: &mut Cx<'_>, form: &BTreeMap<String, String>) -> Result<String, ApiError> {
    let get = |name: &str| form.get(name).map(String::as_str);
    let role_arn = get("RoleArn").ok_or_else(|| invalid("roleArn", "null", "Member must not be null"))?;
    let name = get("RoleSessionName")
        .ok_or_else(|| invalid("roleSessionName", "null", "Member must not be null"))?;
    if !(2..=64).contains(&name.len()) || !validate::name(name) {
        let rule = r"Member must satisfy regular expression pattern: [\w+=,.@-]* and have 2 to 64 characters";
        return Err(invalid("roleSessionName", name, rule));
    }
    let duration: i64 = match get("DurationSeconds").map(str::parse) {
        None => 3600,
        Some(Ok(n)) if (900..=43_200).contains(&n) => n,
        Some(_) => {
            let rule = "Member must have value between 900 and 43200";
            return Err(invalid("durationSeconds", get("DurationSeconds").unwrap_or_default(), rule));
        }
    };
    // Chaining caps a session at one hour (contract aws 7.1).
    if cx.caller.arn.contains(":assumed-role/") && duration > 3600 {
        return Err(ApiError::validation(
            "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining",
        ));
    }
    let denied = || {
        ApiError::new(
            "AccessDenied",
            format!(
                "User: {} is not authorized to perform: sts:AssumeRole on resource: {role_arn}",
                cx.caller.arn
            ),
        )
        .status(403)
    };
    let (account_id, role_name) = validate::after_partition(role_arn)
        .and_then(|r| r.strip_prefix("iam::"))
        .and_then(|r| r.split_once(":role/"))
        .ok_or_else(|| ApiError::validation(format!("{role_arn} is invalid")))?;
    let role = cx
        .state
        .iam
        .get(account_id)
        .and_then(|iam| {
            iam.roles.iter().find(|r| r.name == role_name.rsplit('/').next().unwrap_or(role_name))
        })
        .ok_or_else(denied)?;
    if role.external_id.is_some() && role.external_id.as_deref() != get("ExternalId") {
        return Err(denied());
    }
    let ids = &cx.core.ids;
    let key = format!("ASIA{}", ids.hex(16).to_uppercase());
    let (secret, token) = (ids.secret(30), ids.secret(96));
    let role_id = format!("AROA{}", ids.hex(17).to_uppercase());
    let expires = cx.at.checked_add(SignedDuration::from_secs(duration)).unwrap_or(cx.at);
    let arn = format!("arn:aws:sts::{account_id}:assumed-role/{}/{name}", role.name);
    let session = Session {
        account_id: account_id.to_owned(),
        arn: arn.clone(),
        user_id: format!("{role_id}:{name}"),
        token: token.clone(),
        actions: role.actions.clone(),
        expires,
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
