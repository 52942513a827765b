//! The present state, as parts of a world file and as JSON for independent checks.

use std::collections::BTreeMap;
use std::convert::Infallible;

use serde_json::{Value, json};

use super::state::{Center, Content, State};
use super::{Aws, console, iam};
use crate::world::{
    ExistingAssignment, ExistingPermissionSet, IamAccount, IdentityCenter, Organization, StoreGroup,
    StoreUser,
};

impl Aws {
    /// The present state as a world file would say it.
    #[must_use]
    pub fn world(&self) -> (Organization, IdentityCenter, BTreeMap<String, IamAccount>) {
        let at = self.core.clock.now();
        let Ok(parts) = self.with_state(at, false, false, |state| {
            let center =
                state.center.as_ref().map_or_else(|| state.seed.clone(), |c| identity_center(state, c));
            Ok::<_, Infallible>((state.organization.to_world(), center, state.iam.clone()))
        });
        parts
    }

    /// Everything there is, for independent checks. Tokens appear by id only, access keys not at all.
    #[must_use]
    pub fn state(&self) -> Value {
        let at = self.core.clock.now();
        let base = self.facts().scim_endpoint;
        let Ok(value) = self.with_state(at, false, false, |state| {
            let mut world = state.organization.to_world();
            world.access_keys.clear();
            let accounts: Vec<Value> = state
                .organization
                .accounts
                .values()
                .map(|a| {
                    json!({
                        "id": a.id, "name": a.name, "email": a.email, "state": a.state, "tags": a.tags,
                        "organizationalUnit": state.organization.named_path(&a.parent),
                        "path": state.organization.path(&a.parent, &a.id),
                    })
                })
                .collect();
            Ok::<_, Infallible>(json!({
                "organization": {
                    "id": state.organization.id,
                    "managementAccountId": state.organization.management_account_id,
                    "delegatedAdministrator": state.organization.delegated_administrator,
                    "root": state.organization.root,
                    "organizationalUnits": world.organizational_units,
                    "accounts": accounts,
                },
                "identityCenter": state.center.as_ref().map(|c| center_json(state, c, base.as_deref())),
                "iam": state.iam,
            }))
        });
        value
    }
}

fn identity_center(state: &State, center: &Center) -> IdentityCenter {
    let store = &center.store;
    let user_name = |id: &str| store.user(id).map(|u| u.user_name.clone());
    let users = store.all_users().map(|u| {
        let name = |part: &str| u.attributes.get("name")?.get(part)?.as_str().map(ToOwned::to_owned);
        StoreUser {
            user_name: u.user_name.clone(),
            display_name: u
                .attributes
                .get("displayName")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            given_name: name("givenName"),
            family_name: name("familyName"),
            external_id: u.external.as_ref().map(|e| e.id.clone()),
        }
    });
    let groups = store.all_groups().map(|g| StoreGroup {
        display_name: g.display_name.clone(),
        external_id: g.external.as_ref().map(|e| e.id.clone()),
        members: store.members_of(&g.id).filter_map(user_name).collect(),
    });
    let sets = center.sets.values().filter_map(|s| s.truth()).map(|s| ExistingPermissionSet {
        name: s.name.clone(),
        description: s.content.description.clone(),
        session_duration: Some(s.content.session_duration.clone()),
        managed_policies: s.content.managed.clone(),
        inline_policy: s.content.inline.clone(),
        tags: s.tags.clone(),
    });
    let assignments = center.assignments.iter().filter(|(_, a)| a.truth().is_some()).filter_map(|(a, _)| {
        let group = (a.principal_type == "GROUP")
            .then(|| store.group(&a.principal_id).map(|g| g.display_name.clone()));
        let user = (a.principal_type == "USER").then(|| user_name(&a.principal_id));
        let (group, user) = (group.flatten(), user.flatten());
        // Orphans have no name that a world file could say.
        (group.is_some() || user.is_some()).then(|| ExistingAssignment {
            account: a.account.clone(),
            permission_set: center.set(&a.set).map(|s| s.name.clone()).unwrap_or_default(),
            group,
            user,
        })
    });
    IdentityCenter {
        enabled: true,
        region: state.region.clone(),
        external_identity_provider: center.identity_provider.is_some(),
        metadata_xml: center
            .identity_provider
            .as_ref()
            .map(|p| p.metadata_xml.clone())
            .filter(|x| !x.is_empty()),
        automatic_provisioning: center.scim.is_some(),
        aws_managed_policies: state.seed.aws_managed_policies.clone(),
        permission_sets: sets.collect(),
        assignments: assignments.collect(),
        users: users.collect(),
        groups: groups.collect(),
        behaviours: state.behaviours.clone(),
    }
}

fn content_json(content: &Content) -> Value {
    json!({
        "description": content.description,
        "sessionDuration": content.session_duration,
        "relayState": content.relay_state,
        "managedPolicies": content.managed,
        "customerManagedPolicies": content.customer.iter().map(|r| r.json()).collect::<Vec<_>>(),
        "inlinePolicy": content.inline,
        "permissionsBoundary": content.boundary.as_ref().map(|b| b.json()),
    })
}

fn center_json(state: &State, center: &Center, scim_endpoint: Option<&str>) -> Value {
    let store = &center.store;
    let set_name = |arn: &str| center.set(arn).map(|s| s.name.clone());
    let sets: Vec<Value> = center
        .sets
        .values()
        .filter_map(|s| s.truth())
        .map(|s| json!({"arn": s.arn, "name": s.name, "tags": s.tags, "content": content_json(&s.content), "version": s.version}))
        .collect();
    let assignments: Vec<Value> = center
        .assignments
        .iter()
        .filter(|(_, a)| a.truth().is_some())
        .map(|(a, _)| {
            let name = if a.principal_type == "GROUP" {
                store.group(&a.principal_id).map(|g| g.display_name.clone())
            } else {
                store.user(&a.principal_id).map(|u| u.user_name.clone())
            };
            json!({
                "account": a.account, "permissionSetArn": a.set, "permissionSet": set_name(&a.set),
                "principalType": a.principal_type, "principalId": a.principal_id, "principal": name,
            })
        })
        .collect();
    let roles: Vec<Value> = center
        .provisions
        .iter()
        .filter_map(|((set, account), p)| {
            let (provision, set) = (p.truth()?, center.set(set)?);
            Some(json!({
                "account": account,
                "permissionSet": set.name,
                "role": Center::role_name(&set.name, &provision.suffix),
                "path": iam::reserved_path(&state.region),
                "latest": provision.version >= set.version,
                "content": content_json(&provision.content),
            }))
        })
        .collect();
    json!({
        "instanceArn": center.instance_arn(),
        "region": state.region,
        "identityStoreId": store.id,
        "permissionSets": sets,
        "assignments": assignments,
        "roles": roles,
        "requestsInProgress": center.pending.len(),
        "users": store.all_users().map(|u| json!({
            "id": u.id, "userName": u.user_name, "active": u.active,
            "externalId": u.external.as_ref().map(|e| &e.id), "attributes": u.attributes,
        })).collect::<Vec<_>>(),
        "groups": store.all_groups().map(|g| json!({
            "id": g.id, "displayName": g.display_name, "externalId": g.external.as_ref().map(|e| &e.id),
            "members": store.members_of(&g.id).filter_map(|u| store.user(u)).map(|u| &u.user_name).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
        "identityProvider": center.identity_provider.as_ref().map(|p| json!({
            "entityId": p.entity_id, "singleSignOnServices": p.sign_on_urls,
            "certificates": p.certificates.iter().map(|c| &c.sha256).collect::<Vec<_>>(),
        })),
        "scim": center.scim.as_ref().map(|s| json!({
            "endpoint": scim_endpoint,
            "tokens": s.tokens.iter().map(|(id, t)| console::token_json(id, t)).collect::<Vec<_>>(),
        })),
    })
}
