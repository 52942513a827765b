//! Reads of the organization (contract aws 6): pages of at most twenty.

use serde_json::{Map, Value, json};

use super::super::dispatch::{Cx, Handler, Table};
use super::super::errors::{ApiError, epoch};
use super::super::paging::page;
use super::super::validate::{self, ANY_TOKEN, Input, Text};
use super::model::{Account, Org, Unit};
use super::{bad_token, gate, invalid};

/// Tags a page: the operation has no MaxResults. The service's own number is not known.
const TAG_PAGE: usize = 25;
const ID: Text = Text { min: 0, max: 130, pattern: r"[\s\S]*", fits: validate::any };
const PRINCIPAL: Text = Text { min: 1, max: 128, pattern: r"[\w+=,.@-]*", fits: validate::name };

pub(in crate::aws) const OPERATIONS: Table<Handler> = &[
    ("DescribeOrganization", describe_organization),
    ("ListAccounts", list_accounts),
    ("ListAccountsForParent", list_accounts_for_parent),
    ("DescribeAccount", describe_account),
    ("ListRoots", list_roots),
    ("ListOrganizationalUnitsForParent", list_units),
    ("DescribeOrganizationalUnit", describe_unit),
    ("ListChildren", list_children),
    ("ListParents", list_parents),
    ("ListTagsForResource", list_tags),
    ("ListDelegatedAdministrators", list_delegated),
    ("ListAWSServiceAccessForOrganization", list_service_access),
];

fn arn(org: &Org, kind: &str, id: &str) -> String {
    format!("arn:aws:organizations::{}:{kind}/{}/{id}", org.management_account_id, org.id)
}

fn account_json(org: &Org, account: &Account) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("Id".into(), account.id.clone().into());
    out.insert("Arn".into(), arn(org, "account", &account.id).into());
    out.insert("Email".into(), account.email.clone().into());
    out.insert("Name".into(), account.name.clone().into());
    // Announced to retire on 2026-09-09, UNCONFIRMED whether it did (contract aws 6, 11.10): it has no value
    // for the two newer states.
    let status = match account.state.as_str() {
        "PENDING_ACTIVATION" | "CLOSED" => "SUSPENDED",
        same => same,
    };
    if org.account_status {
        out.insert("Status".into(), status.into());
    }
    if org.account_state {
        out.insert("State".into(), account.state.clone().into());
    }
    if org.paths {
        out.insert("Paths".into(), json!([org.path(&account.parent, &account.id)]));
    }
    let method = if account.id == org.management_account_id { "INVITED" } else { "CREATED" };
    out.insert("JoinedMethod".into(), method.into());
    out.insert("JoinedTimestamp".into(), epoch(account.joined));
    out
}

fn unit_json(org: &Org, unit: &Unit) -> Value {
    let mut out = Map::new();
    out.insert("Id".into(), unit.id.clone().into());
    out.insert("Arn".into(), arn(org, "ou", &unit.id).into());
    out.insert("Name".into(), unit.name.clone().into());
    if org.paths {
        out.insert("Path".into(), org.path(&unit.parent, &unit.id).into());
    }
    Value::Object(out)
}

fn policy_types() -> Value {
    json!([{"Type": "SERVICE_CONTROL_POLICY", "Status": "ENABLED"}])
}

fn describe_organization(cx: &mut Cx<'_>, _: &mut Input<'_>) -> Result<Value, ApiError> {
    let org = &cx.state.organization;
    let management = org.management_account_id.clone();
    Ok(json!({"Organization": {
        "Id": org.id,
        "Arn": format!("arn:aws:organizations::{management}:organization/{}", org.id),
        "FeatureSet": "ALL",
        "MasterAccountArn": arn(org, "account", &management),
        "MasterAccountId": management,
        "MasterAccountEmail": org.account(&management).map_or("", |a| a.email.as_str()),
        "AvailablePolicyTypes": policy_types(),
    }}))
}

fn paged(
    member: &str,
    scope: &str,
    found: impl Iterator<Item = (String, Value)>,
    max: usize,
    token: Option<&str>,
) -> Result<Value, ApiError> {
    let (items, next) = page(&format!("{member} {scope}"), found, max, token).map_err(bad_token)?;
    let mut out = Map::new();
    out.insert(member.into(), items.into());
    if let Some(next) = next {
        out.insert("NextToken".into(), next.into());
    }
    Ok(Value::Object(out))
}

fn paging(input: &mut Input<'_>) -> (usize, Option<String>) {
    (input.max_results(20), input.text("NextToken", &ANY_TOKEN))
}

/// Organizations words a shape violation as InvalidInputException.
fn check(input: &Input<'_>) -> Result<(), ApiError> {
    input.check().map_err(|e| {
        let missing = e.message.contains("must not be null");
        invalid(if missing { "INPUT_REQUIRED" } else { "INVALID_PATTERN" }, &e.message)
    })
}

fn parent(cx: &Cx<'_>, input: &mut Input<'_>) -> Result<String, ApiError> {
    let id = input.required("ParentId", &ID);
    check(input)?;
    gate(cx)?;
    let org = &cx.state.organization;
    if id == org.root || org.units.contains_key(&id) {
        return Ok(id);
    }
    Err(ApiError::new("ParentNotFoundException", "You specified parent that doesn't exist."))
}

fn list_accounts(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (max, token) = paging(input);
    check(input)?;
    gate(cx)?;
    let org = &cx.state.organization;
    let found = org.accounts.values().map(|a| (a.id.clone(), account_json(org, a).into()));
    paged("Accounts", "", found, max, token.as_deref())
}

fn list_accounts_for_parent(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (max, token) = paging(input);
    let parent = parent(cx, input)?;
    let org = &cx.state.organization;
    let found = org
        .accounts
        .values()
        .filter(|a| a.parent == parent)
        .map(|a| (a.id.clone(), account_json(org, a).into()));
    paged("Accounts", &parent, found, max, token.as_deref())
}

fn describe_account(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let id = input.required("AccountId", &ID);
    check(input)?;
    gate(cx)?;
    let org = &cx.state.organization;
    match org.account(&id) {
        Some(account) => Ok(json!({"Account": account_json(org, account)})),
        None => {
            Err(ApiError::new("AccountNotFoundException", "You specified an account that doesn't exist."))
        }
    }
}

fn list_roots(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (max, token) = paging(input);
    check(input)?;
    gate(cx)?;
    let org = &cx.state.organization;
    let root = json!({"Id": org.root, "Arn": arn(org, "root", &org.root), "Name": "Root", "PolicyTypes": policy_types()});
    paged("Roots", "", std::iter::once((org.root.clone(), root)), max, token.as_deref())
}

fn list_units(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (max, token) = paging(input);
    let parent = parent(cx, input)?;
    let org = &cx.state.organization;
    let found = org.units.values().filter(|u| u.parent == parent).map(|u| (u.id.clone(), unit_json(org, u)));
    paged("OrganizationalUnits", &parent, found, max, token.as_deref())
}

fn describe_unit(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let id = input.required("OrganizationalUnitId", &ID);
    check(input)?;
    gate(cx)?;
    let org = &cx.state.organization;
    match org.units.get(&id) {
        Some(unit) => Ok(json!({"OrganizationalUnit": unit_json(org, unit)})),
        None => Err(ApiError::new(
            "OrganizationalUnitNotFoundException",
            "You specified an organizational unit that doesn't exist.",
        )),
    }
}

fn list_children(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (max, token) = paging(input);
    let kind = input.required_choice("ChildType", &["ACCOUNT", "ORGANIZATIONAL_UNIT"]);
    let parent = parent(cx, input)?;
    let org = &cx.state.organization;
    let ids: Vec<&String> = if kind == "ACCOUNT" {
        org.accounts.values().filter(|a| a.parent == parent).map(|a| &a.id).collect()
    } else {
        org.units.values().filter(|u| u.parent == parent).map(|u| &u.id).collect()
    };
    let found = ids.into_iter().map(|id| (id.clone(), json!({"Id": id, "Type": kind})));
    paged("Children", &format!("{parent} {kind}"), found, max, token.as_deref())
}

fn list_parents(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (max, token) = paging(input);
    let child = input.required("ChildId", &ID);
    check(input)?;
    gate(cx)?;
    let org = &cx.state.organization;
    let parent = org.account(&child).map(|a| &a.parent).or_else(|| org.units.get(&child).map(|u| &u.parent));
    let parent = parent.ok_or_else(|| {
        ApiError::new("ChildNotFoundException", "You specified a child that doesn't exist.")
    })?;
    let kind = if *parent == org.root { "ROOT" } else { "ORGANIZATIONAL_UNIT" };
    let found = std::iter::once((parent.clone(), json!({"Id": parent, "Type": kind})));
    paged("Parents", &child, found, max, token.as_deref())
}

fn list_tags(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let id = input.required("ResourceId", &ID);
    let token = input.text("NextToken", &ANY_TOKEN);
    check(input)?;
    gate(cx)?;
    let org = &cx.state.organization;
    let none = std::collections::BTreeMap::new();
    let tags = match org.account(&id) {
        Some(account) => &account.tags,
        // Units and the root carry no tags in this world.
        None if id == org.root || org.units.contains_key(&id) => &none,
        None => {
            return Err(ApiError::new(
                "TargetNotFoundException",
                "You specified a target that doesn't exist.",
            ));
        }
    };
    let found = tags.iter().map(|(k, v)| (k.clone(), json!({"Key": k, "Value": v})));
    paged("Tags", &id, found, TAG_PAGE, token.as_deref())
}

fn list_delegated(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (max, token) = paging(input);
    let principal = input.text("ServicePrincipal", &PRINCIPAL);
    check(input)?;
    gate(cx)?;
    let org = &cx.state.organization;
    let ours = principal.as_deref().is_none_or(|p| p == "sso.amazonaws.com");
    let found =
        org.delegated_administrator.iter().filter(|_| ours).filter_map(|id| org.account(id)).map(|a| {
            let mut out = account_json(org, a);
            out.shift_remove("Paths");
            out.insert("DelegationEnabledDate".into(), epoch(org.since));
            (a.id.clone(), Value::Object(out))
        });
    paged("DelegatedAdministrators", "", found, max, token.as_deref())
}

fn list_service_access(cx: &mut Cx<'_>, input: &mut Input<'_>) -> Result<Value, ApiError> {
    let (max, token) = paging(input);
    check(input)?;
    gate(cx)?;
    // Enabling Identity Center enables its access to the organization.
    let found = cx.state.center.iter().map(|c| {
        let name = "sso.amazonaws.com";
        (name.to_owned(), json!({"ServicePrincipal": name, "DateEnabled": epoch(c.created)}))
    });
    paged("EnabledServicePrincipals", "", found, max, token.as_deref())
}
