//! Trust policies of roles: who may assume them (contract aws 5 and 7.1). A world whose policy says something that this
//! sandbox cannot judge is refused, rather than judged wrongly.

use std::collections::BTreeMap;

use serde_json::Value;

use super::auth::Caller;

const ACTIONS: [&str; 2] = ["sts:AssumeRole", "sts:AssumeRoleWithWebIdentity"];
const OPERATORS: [&str; 2] = ["StringEquals", "StringLike"];

/// Somebody who wants to assume a role.
pub(super) struct Attempt<'a> {
    pub action: &'a str,
    pub who: Who<'a>,
    /// The condition keys of the request.
    pub keys: BTreeMap<String, Vec<String>>,
}

pub(super) enum Who<'a> {
    /// Somebody who signed the request.
    Caller(&'a Caller),
    /// Somebody with a token of this provider, by its ARN.
    Provider(&'a str),
}

/// Whether a policy lets somebody in: some statement does, and none forbids it.
pub(super) fn allows(policy: &Value, attempt: &Attempt<'_>) -> bool {
    let fitting = || statements(policy).filter(|statement| fits(statement, attempt));
    fitting().any(|s| s["Effect"] == "Allow") && !fitting().any(|s| s["Effect"] == "Deny")
}

fn statements(policy: &Value) -> impl Iterator<Item = &Value> {
    list(&policy["Statement"]).into_iter()
}

/// One or many, as IAM's JSON has it nearly everywhere.
fn list(value: &Value) -> Vec<&Value> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(many) => many.iter().collect(),
        one => vec![one],
    }
}

fn texts(value: &Value) -> Vec<&str> {
    list(value).into_iter().filter_map(Value::as_str).collect()
}

fn fits(statement: &Value, attempt: &Attempt<'_>) -> bool {
    texts(&statement["Action"]).iter().any(|action| action.eq_ignore_ascii_case(attempt.action))
        && principal_fits(&statement["Principal"], &attempt.who)
        && conditions(&statement["Condition"]).all(|(operator, key, wanted)| {
            let given = attempt.keys.get(key).map(Vec::as_slice).unwrap_or_default();
            given.iter().any(|value| {
                wanted.iter().any(|w| if operator == "StringLike" { like(w, value) } else { w == value })
            })
        })
}

fn principal_fits(principal: &Value, who: &Who<'_>) -> bool {
    match who {
        Who::Provider(arn) => texts(&principal["Federated"]).contains(arn),
        Who::Caller(caller) => {
            let root = format!("arn:aws:iam::{}:root", caller.account_id);
            let role = caller.role_arn.as_deref();
            principal == "*"
                || texts(&principal["AWS"]).iter().any(|&named| {
                    [root.as_str(), &caller.account_id, &caller.arn, "*"].contains(&named)
                        || role == Some(named)
                })
        }
    }
}

/// Operator, key and values of each condition.
fn conditions(value: &Value) -> impl Iterator<Item = (&str, &str, Vec<&str>)> {
    value.as_object().into_iter().flatten().flat_map(|(operator, keys)| {
        keys.as_object().into_iter().flatten().map(|(key, v)| (operator.as_str(), key.as_str(), texts(v)))
    })
}

/// `*` and `?`, with regard to case.
fn like(pattern: &str, text: &str) -> bool {
    fn matches(p: &[u8], t: &[u8]) -> bool {
        match (p.first(), t.first()) {
            (None, None) => true,
            (Some(b'*'), _) => matches(&p[1..], t) || (!t.is_empty() && matches(p, &t[1..])),
            (Some(b'?'), Some(_)) => matches(&p[1..], &t[1..]),
            (Some(a), Some(b)) => a == b && matches(&p[1..], &t[1..]),
            _ => false,
        }
    }
    matches(pattern.as_bytes(), text.as_bytes())
}

/// What of a policy cannot be judged here, in words for the world's author.
pub(crate) fn problems(policy: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if statements(policy).next().is_none() {
        found.push("has no Statement".to_owned());
    }
    for statement in statements(policy) {
        let known = ["Sid", "Effect", "Principal", "Action", "Condition"];
        for key in statement.as_object().into_iter().flat_map(serde_json::Map::keys) {
            if !known.contains(&key.as_str()) {
                found.push(format!("says {key}, which this sandbox does not judge"));
            }
        }
        if statement["Effect"] != "Allow" && statement["Effect"] != "Deny" {
            found.push("has an Effect that is neither Allow nor Deny".to_owned());
        }
        let principal = &statement["Principal"];
        let kinds = principal.as_object().into_iter().flat_map(serde_json::Map::keys);
        if principal != "*" && kinds.clone().next().is_none() {
            found.push("has no Principal".to_owned());
        }
        for kind in kinds.filter(|k| !["AWS", "Federated"].contains(&k.as_str())) {
            found.push(format!("names a Principal of kind {kind}, which nobody here is"));
        }
        for action in texts(&statement["Action"]) {
            if !ACTIONS.iter().any(|a| a.eq_ignore_ascii_case(action)) {
                found.push(format!("names the Action {action}; known are {}", ACTIONS.join(" and ")));
            }
        }
        if texts(&statement["Action"]).is_empty() {
            found.push("has no Action".to_owned());
        }
        for operator in statement["Condition"].as_object().into_iter().flat_map(serde_json::Map::keys) {
            if !OPERATORS.contains(&operator.as_str()) {
                found.push(format!("has a {operator} condition; known are {}", OPERATORS.join(" and ")));
            }
        }
        for (_, key, _) in conditions(&statement["Condition"]) {
            if key != "sts:ExternalId" && !key.ends_with(":sub") && !key.ends_with(":aud") {
                found.push(format!("has a condition on {key}, which no request here carries"));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn caller(arn: &str, role_arn: Option<&str>) -> Caller {
        Caller {
            account_id: "111122223333".into(),
            arn: arn.into(),
            user_id: "AIDA".into(),
            actions: Vec::new(),
            role_arn: role_arn.map(str::to_owned),
            revoked: false,
        }
    }

    fn enters(policy: &Value, who: Who<'_>, action: &str, keys: &[(&str, &str)]) -> bool {
        let keys = keys.iter().map(|(k, v)| ((*k).to_owned(), vec![(*v).to_owned()])).collect();
        allows(policy, &Attempt { action, who, keys })
    }

    #[test]
    fn principals_conditions_and_denials_decide() {
        let user = caller("arn:aws:iam::111122223333:user/u", None);
        let session = caller(
            "arn:aws:sts::111122223333:assumed-role/r/s",
            Some("arn:aws:iam::111122223333:role/path/r"),
        );
        let assume = "sts:AssumeRole";
        let of = |principal: Value| {
            json!({"Statement": [{"Effect": "Allow", "Principal": principal, "Action": assume,
                "Condition": {"StringEquals": {"sts:ExternalId": ["one", "two"]}}}]})
        };
        let id = [("sts:ExternalId", "two")];
        for (principal, by_user, by_session) in [
            (json!("*"), true, true),
            (json!({"AWS": "111122223333"}), true, true),
            (json!({"AWS": ["arn:aws:iam::111122223333:root"]}), true, true),
            (json!({"AWS": "arn:aws:iam::999999999999:root"}), false, false),
            (json!({"AWS": "arn:aws:iam::111122223333:user/u"}), true, false),
            (json!({"AWS": "arn:aws:iam::111122223333:role/path/r"}), false, true),
            (json!({"Federated": "arn:aws:iam::111122223333:oidc-provider/i"}), false, false),
        ] {
            let policy = of(principal);
            assert_eq!(problems(&policy), Vec::<String>::new());
            assert_eq!(enters(&policy, Who::Caller(&user), assume, &id), by_user, "{policy}");
            assert_eq!(enters(&policy, Who::Caller(&session), assume, &id), by_session, "{policy}");
        }
        let policy = of(json!("*"));
        assert!(!enters(&policy, Who::Caller(&user), assume, &[]), "no external id");
        assert!(!enters(&policy, Who::Caller(&user), assume, &[("sts:ExternalId", "Two")]));
        assert!(!enters(&policy, Who::Caller(&user), "sts:AssumeRoleWithWebIdentity", &id));
        let mut both = policy.clone();
        let deny = json!({"Effect": "Deny", "Principal": {"AWS": "arn:aws:iam::111122223333:user/u"}, "Action": assume});
        both["Statement"].as_array_mut().unwrap().push(deny);
        assert!(!enters(&both, Who::Caller(&user), assume, &id));
        assert!(enters(&both, Who::Caller(&session), assume, &id));
    }

    #[test]
    fn tokens_are_let_in_by_provider_subject_and_audience() {
        let provider = "arn:aws:iam::111122223333:oidc-provider/issuer";
        let action = "sts:AssumeRoleWithWebIdentity";
        let policy = json!({"Statement": {"Effect": "Allow", "Principal": {"Federated": provider}, "Action": action,
            "Condition": {"StringLike": {"issuer:sub": "system:serviceaccount:a:*"}, "StringEquals": {"issuer:aud": "sts.amazonaws.com"}}}});
        let keys = |sub: &'static str| [("issuer:sub", sub), ("issuer:aud", "sts.amazonaws.com")];
        assert!(enters(&policy, Who::Provider(provider), action, &keys("system:serviceaccount:a:b")));
        assert!(!enters(&policy, Who::Provider(provider), action, &keys("system:serviceaccount:b:a")));
        assert!(!enters(&policy, Who::Provider("other"), action, &keys("system:serviceaccount:a:b")));
    }

    #[test]
    fn what_cannot_be_judged_is_refused() {
        let policy = json!({"Statement": [{"Effect": "Maybe", "NotPrincipal": {}, "Action": "sts:TagSession",
            "Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}}]});
        let found = problems(&policy).join("; ");
        for word in ["Effect", "NotPrincipal", "no Principal", "sts:TagSession", "Bool", "MultiFactor"] {
            assert!(found.contains(word), "{word}: {found}");
        }
        assert_eq!(problems(&json!({})), ["has no Statement"]);
    }
}
