//! From the world file to a running AWS.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::console;
use super::identity_store::{ExternalId, Group, Stamp, Store, User};
use super::lag::Lagged;
use super::organizations::Org;
use super::saml_metadata;
use super::scim::issuer;
use super::state::{Assignment, Center, Content, PermissionSet, Provision, Scim, State, Token};
use crate::core::Core;
use crate::world::{StoreUser, World};

/// Everything as the world file says.
pub(super) fn state(core: &Core, world: &World) -> State {
    let at = core.clock.now();
    let mut state = State {
        region: world.identity_center.region.clone(),
        behaviours: world.identity_center.behaviours.clone(),
        organization: Org::new(&world.organization, &core.ids, at),
        iam: world.iam.clone(),
        sessions: BTreeMap::new(),
        center: None,
        seed: world.identity_center.clone(),
    };
    if world.identity_center.enabled {
        state.center = Some(center(&state, core, at));
    }
    state
}

/// A fresh bearer token.
pub(super) fn token(core: &Core, at: Timestamp) -> Token {
    Token { secret: core.ids.secret(96), created: at, expires: console::expiry(at) }
}

/// A fresh instance with what the world file puts into it.
pub(super) fn center(state: &State, core: &Core, at: Timestamp) -> Center {
    let (ids, seed) = (&core.ids, &state.seed);
    let mut center = Center {
        instance_id: format!("ssoins-{}", ids.hex(16)),
        owner: state.organization.management_account_id.clone(),
        created: at,
        tags: BTreeMap::new(),
        store: Store::new(format!("d-{}", ids.hex(10))),
        sets: BTreeMap::new(),
        assignments: BTreeMap::new(),
        provisions: BTreeMap::new(),
        requests: BTreeMap::new(),
        pending: BTreeMap::new(),
        busy: BTreeMap::new(),
        next_seq: 1,
        swept: at,
        saml_tenant: ids.uuid(),
        identity_provider: None,
        scim: None,
    };
    if seed.external_identity_provider {
        let read = seed.metadata_xml.as_deref().map(saml_metadata::read);
        if let Some(Err(error)) = &read {
            tracing::warn!(%error, "the world's identity provider metadata is not usable");
        }
        // A world may say that the source is external without saying whose metadata was imported.
        center.identity_provider = Some(read.and_then(Result::ok).unwrap_or_default());
    }
    let tenant = ids.uuid();
    let issuer = issuer(&state.region, &tenant);
    if seed.automatic_provisioning {
        let tokens = BTreeMap::from([(ids.uuid(), token(core, at))]);
        center.scim = Some(Scim { tenant, tokens });
    }
    fill_store(&mut center.store, state, core, at, &issuer);
    fill_sets(&mut center, state, core, at);
    center
}

fn fill_store(store: &mut Store, state: &State, core: &Core, at: Timestamp, issuer: &str) {
    let external = |id: &Option<String>| id.clone().map(|id| ExternalId { issuer: issuer.to_owned(), id });
    for wanted in &state.seed.users {
        let user = User {
            id: store.new_id(&core.ids.uuid()),
            user_name: wanted.user_name.clone(),
            active: true,
            external: external(&wanted.external_id),
            attributes: attributes(wanted),
            stamp: Stamp::new(at, "console"),
        };
        store.put_user(user, at, Timestamp::MIN);
    }
    for wanted in &state.seed.groups {
        let group = Group {
            id: store.new_id(&core.ids.uuid()),
            display_name: wanted.display_name.clone(),
            description: None,
            external: external(&wanted.external_id),
            stamp: Stamp::new(at, "console"),
        };
        let id = group.id.clone();
        store.put_group(group, at, Timestamp::MIN);
        for name in &wanted.members {
            match store.user_named(name).map(|u| u.id.clone()) {
                Some(user) => {
                    let membership = store.new_id(&core.ids.uuid());
                    store.join(membership, &id, &user, Stamp::new(at, "console"), Timestamp::MIN);
                }
                None => {
                    tracing::warn!(user = %name, group = %wanted.display_name, "the world names an unknown member")
                }
            }
        }
    }
}

fn attributes(user: &StoreUser) -> Map<String, Value> {
    let (given, family) = user.display_name.split_once(' ').unwrap_or((&user.display_name, "-"));
    let mut out = Map::new();
    out.insert(
        "name".into(),
        json!({
            "givenName": user.given_name.as_deref().unwrap_or(given),
            "familyName": user.family_name.as_deref().unwrap_or(family),
        }),
    );
    out.insert("displayName".into(), user.display_name.clone().into());
    if user.user_name.contains('@') {
        out.insert("emails".into(), json!([{"value": user.user_name, "type": "work", "primary": true}]));
    }
    out
}

fn fill_sets(center: &mut Center, state: &State, core: &Core, at: Timestamp) {
    for wanted in &state.seed.permission_sets {
        let set = PermissionSet {
            arn: format!("arn:aws:sso:::permissionSet/{}/ps-{}", center.instance_id, core.ids.hex(16)),
            name: wanted.name.clone(),
            created: at,
            tags: wanted.tags.clone(),
            content: Content {
                description: wanted.description.clone(),
                session_duration: wanted.session_duration.clone().unwrap_or_else(|| "PT1H".into()),
                managed: wanted.managed_policies.clone(),
                inline: wanted.inline_policy.clone(),
                ..Content::default()
            },
            version: 0,
        };
        center.sets.insert(set.arn.clone(), Lagged::settled(set));
    }
    for wanted in &state.seed.assignments {
        let set = center.set_by_name(&wanted.permission_set).cloned();
        let principal = match (&wanted.group, &wanted.user) {
            (Some(group), None) => center.store.group_named(group).map(|g| ("GROUP", g.id.clone())),
            (None, Some(user)) => center.store.user_named(user).map(|u| ("USER", u.id.clone())),
            _ => None,
        };
        let (Some(set), Some((kind, id))) = (set, principal) else {
            tracing::warn!(account = %wanted.account, set = %wanted.permission_set, "the world's assignment names something unknown");
            continue;
        };
        let key = Assignment {
            set: set.arn.clone(),
            account: wanted.account.clone(),
            principal_type: kind.into(),
            principal_id: id,
        };
        center.assignments.insert(key, Lagged::settled(()));
        center.provisions.entry((set.arn.clone(), wanted.account.clone())).or_insert_with(|| {
            let suffix = core.ids.hex(16);
            Lagged::settled(Provision { suffix, version: 0, content: set.content.clone(), created: at })
        });
    }
}
