//! What Entra says about a principal that is not in the identity store.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use kube::core::DeserializeGuard;
use kube::{Api, ResourceExt as _, api::ListParams};
use serde::Deserialize;

use super::ledger::Pin;
use super::missing;
use super::principals::Standing;
use crate::api::v1alpha1::{IdentityFederation, PermissionSetBinding, ScimConnection, Scope};
use crate::api::{Group, Principal, User};
use crate::clients::entra::directory::{DirectoryGroup, DirectoryUser};
use crate::clients::entra::{Graph, segment};
use crate::controllers::context::Context;
use crate::controllers::stores::watched;
use crate::engine::Instance;
use crate::problem::{Class, Problem};
use crate::status::Reason;

/// Entra, asked only when somebody is missing. What was read serves the whole pass.
pub struct Directory<'a> {
    context: &'a Context,
    federation: &'a IdentityFederation,
    graph: Option<Graph>,
    assigned: Option<BTreeSet<(bool, String)>>,
    connection: Option<Option<ScimConnection>>,
}

#[derive(Deserialize)]
struct Member {
    id: String,
}

/// A principal as Entra has it.
enum Found {
    Group(DirectoryGroup),
    User(DirectoryUser),
}

impl Found {
    fn id(&self) -> &str {
        match self {
            Self::Group(group) => &group.id,
            Self::User(user) => &user.id,
        }
    }
}

/// What is known of a principal that is looked for.
pub struct Earlier<'a> {
    /// The binding.
    pub object: &'a PermissionSetBinding,
    /// Whom it meant when it was bound first.
    pub pinned: Option<&'a Pin>,
    /// The ids that a person vouches for; none: for whatever carries the name.
    pub approved: Option<&'a BTreeSet<String>>,
    /// Since when it waits for provisioning.
    pub since: Option<Timestamp>,
}

impl Earlier<'_> {
    fn is_approved(&self, id: &str) -> bool {
        self.approved.is_none_or(|ids| ids.iter().any(|approved| approved.eq_ignore_ascii_case(id)))
    }
}

impl<'a> Directory<'a> {
    /// For one federation.
    #[must_use]
    pub const fn new(context: &'a Context, federation: &'a IdentityFederation) -> Self {
        Self { context, federation, graph: None, assigned: None, connection: None }
    }

    /// The sign-in name of the person with that object id.
    ///
    /// # Errors
    /// Trouble with Entra or its credentials.
    pub async fn sign_in_name(&mut self, object_id: &str) -> Result<Option<String>, Problem> {
        if self.federation.spec.entra.external.is_some() {
            // Nobody can be asked, so nobody can say that there is no such person.
            let message = format!(
                "user {object_id} is not found in the identity store by that id, and another party looks after Entra: name the person by userPrincipalName, as the identity store does"
            );
            return Err(Problem::new(Class::Blocked, Reason::ManagedByOtherParty, message));
        }
        let found = self.graph().await?.user(object_id).await.map_err(trouble)?;
        Ok(found.map(|u| u.user_principal_name))
    }

    /// Why a principal is not in the identity store, and what to do about it.
    ///
    /// # Errors
    /// Trouble with Entra, its credentials or the API server.
    pub async fn standing(
        &mut self,
        principal: &Principal,
        earlier: &Earlier<'_>,
        instance: &Instance,
    ) -> Result<Standing, Problem> {
        let waiting = |reason, message| Ok(Standing::Waiting(reason, message));
        if self.federation.spec.entra.external.is_some() {
            let message = format!(
                "{principal} is not in the identity store: ask the party that looks after Entra to assign and provision it, or correct the name"
            );
            return waiting(Reason::NotInIdentityStore, message);
        }
        let found = match self.find(principal).await? {
            Ok(found) => found,
            Err(why) => return waiting(Reason::NotInEntra, why),
        };
        if let Some(spelt) = self.spelt_otherwise(principal, &found, instance).await? {
            return waiting(Reason::NameDiffers, missing::misspelt(principal, &[spelt], "Entra"));
        }
        if let Some(before) =
            missing::predecessor(earlier.pinned, found.id()).filter(|_| !earlier.is_approved(found.id()))
        {
            let now_called = self.name_of(&found, &before).await?;
            let message =
                missing::succeeded(earlier.object, principal, &before, found.id(), now_called.as_deref());
            return Ok(Standing::Changed(message));
        }
        match &found {
            Found::Group(DirectoryGroup { security_enabled: false, .. }) => {
                let message = format!(
                    "{principal} is no security group: Entra provisions only security groups; name another group"
                );
                return waiting(Reason::NotInProvisioningScope, message);
            }
            Found::User(DirectoryUser { account_enabled: Some(false), .. }) => {
                return waiting(Reason::AccountDisabled, missing::disabled(principal));
            }
            _ => {}
        }
        let connection = self.connection().await?.clone();
        let syncs_groups = connection
            .as_ref()
            .and_then(|c| c.spec.mappings.as_ref()?.groups.as_ref())
            .is_none_or(|g| g.sync);
        if matches!(found, Found::Group(_)) && !syncs_groups {
            let name = connection.map(|c| c.name_any()).unwrap_or_default();
            let message = format!(
                "{principal} is not provisioned: group sync is off in spec.mappings.groups of ScimConnection {name}"
            );
            return waiting(Reason::NotInProvisioningScope, message);
        }
        let everybody = connection.as_ref().is_some_and(|c| c.spec.scope == Scope::All);
        if !everybody && !self.is_assigned(&found).await? {
            let message = missing::unassigned(principal, found.id(), self.federation);
            return waiting(Reason::NotInProvisioningScope, message);
        }
        let person = match &found {
            Found::User(user) => Some(user.user_principal_name.as_str()),
            Found::Group(_) => None,
        };
        let now = self.context.clock.now();
        let message = missing::awaited(principal, person, connection.as_ref(), earlier.since, now);
        waiting(Reason::AwaitingProvisioning, message)
    }

    /// How Entra spells a name that differs from that of the spec, if that is why it is not in the store. A group comes
    /// under Entra's spelling; for a person the store is asked for it.
    async fn spelt_otherwise(
        &self,
        principal: &Principal,
        found: &Found,
        instance: &Instance,
    ) -> Result<Option<String>, Problem> {
        match (principal, found) {
            (Principal { group: Some(Group { display_name: Some(name), .. }), .. }, Found::Group(group)) => {
                Ok((group.display_name != *name).then(|| group.display_name.clone()))
            }
            (
                Principal { user: Some(User { user_principal_name: Some(name), .. }), .. },
                Found::User(user),
            ) if user.user_principal_name != *name => {
                let stored = instance.user_named(&user.user_principal_name).await;
                let stored = stored
                    .map_err(|e| Problem::from_cloud(e, "look the principal up in the identity store"))?;
                Ok(stored.map(|_| user.user_principal_name.clone()))
            }
            _ => Ok(None),
        }
    }

    /// What the object of that id is called, of the same kind as another one; none when it is gone.
    async fn name_of(&mut self, kind: &Found, id: &str) -> Result<Option<String>, Problem> {
        let graph = self.graph().await?;
        Ok(match kind {
            Found::Group(_) => graph.group(id).await.map_err(trouble)?.map(|g| g.display_name),
            Found::User(_) => graph.user(id).await.map_err(trouble)?.map(|u| u.user_principal_name),
        })
    }

    async fn graph(&mut self) -> Result<Graph, Problem> {
        if let Some(graph) = &self.graph {
            return Ok(graph.clone());
        }
        let graph = self.context.graph(self.federation).await?;
        Ok(self.graph.insert(graph).clone())
    }

    /// The principal, or why there is none.
    async fn find(&mut self, principal: &Principal) -> Result<Result<Found, String>, Problem> {
        let graph = self.graph().await?;
        let found: Vec<Found> = match principal {
            Principal { group: Some(Group { display_name: Some(name), .. }), .. } => {
                let groups = graph.groups_named(name).await.map_err(trouble)?;
                groups.into_iter().map(Found::Group).collect()
            }
            Principal { group: Some(Group { entra_object_id: Some(id), .. }), .. } => {
                graph.group(id).await.map_err(trouble)?.map(Found::Group).into_iter().collect()
            }
            Principal { user: Some(User { user_principal_name: Some(name), .. }), .. } => {
                let users = graph.users_named(name).await.map_err(trouble)?;
                users.into_iter().map(Found::User).collect()
            }
            Principal { user: Some(User { entra_object_id: Some(id), .. }), .. } => {
                graph.user(id).await.map_err(trouble)?.map(Found::User).into_iter().collect()
            }
            _ => Vec::new(),
        };
        if found.len() > 1 {
            let ids: Vec<String> = found.iter().map(|f| f.id().to_owned()).collect();
            return Ok(Err(missing::ambiguous(principal, &ids)));
        }
        Ok(found.into_iter().next().ok_or_else(|| missing::nowhere(principal)))
    }

    /// Whether the application is assigned to the principal; for a person also through a group of which it is a
    /// direct member: nested groups do not count (contract Graph 4.2).
    async fn is_assigned(&mut self, found: &Found) -> Result<bool, Problem> {
        let assigned = self.assigned().await?.clone();
        match found {
            Found::Group(group) => Ok(assigned.contains(&(true, group.id.clone()))),
            Found::User(user) => {
                if assigned.contains(&(false, user.id.clone())) {
                    return Ok(true);
                }
                let graph = self.graph().await?;
                let groups: Vec<&String> =
                    assigned.iter().filter(|(is_group, _)| *is_group).map(|(_, id)| id).collect();
                for group in groups {
                    let path = format!("/groups/{}/members", segment(group));
                    let members: Vec<Member> = graph
                        .list("GET /groups/{id}/members", &path, &[("$select", "id")])
                        .await
                        .map_err(trouble)?;
                    if members.iter().any(|m| m.id == user.id) {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    /// Who is assigned to the application: whether it is a group, and its id.
    async fn assigned(&mut self) -> Result<&BTreeSet<(bool, String)>, Problem> {
        if self.assigned.is_none() {
            let entra = self.federation.status.as_ref().and_then(|s| s.entra.as_ref());
            let all = match entra.and_then(|e| e.service_principal_id.as_ref()) {
                Some(id) => self.graph().await?.app_role_assignments(id).await.map_err(trouble)?,
                None => Vec::new(),
            };
            self.assigned =
                Some(all.into_iter().map(|a| (a.principal_type == "Group", a.principal_id)).collect());
        }
        Ok(self.assigned.get_or_insert_default())
    }

    async fn connection(&mut self) -> Result<&Option<ScimConnection>, Problem> {
        if self.connection.is_none() {
            let namespace = self.federation.namespace().unwrap_or_default();
            let all = match self.context.stores() {
                Some(stores) => watched(&stores.connections, Some(&namespace)),
                None => {
                    let kube = self.context.kube.clone();
                    let api = Api::<DeserializeGuard<ScimConnection>>::namespaced(kube, &namespace);
                    api.list(&ListParams::default()).await?.items.into_iter().map(Arc::new).collect()
                }
            };
            let mut readable = all.iter().filter_map(|c| c.0.as_ref().ok());
            let ours = |c: &&ScimConnection| c.spec.federation_ref.name == self.federation.name_any();
            self.connection = Some(readable.find(ours).cloned());
        }
        Ok(self.connection.get_or_insert_default())
    }
}

fn trouble(error: crate::clients::CloudError) -> Problem {
    Problem::from_cloud(error, "look the principal up in Entra")
}
