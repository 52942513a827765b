//! What Entra says about a principal that is not in the identity store.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use kube::{Api, ResourceExt as _, api::ListParams};
use serde::Deserialize;

use crate::api::v1alpha1::{IdentityFederation, ScimConnection, Scope};
use crate::api::{Group, Principal, User};
use crate::clients::entra::directory::{DirectoryGroup, DirectoryUser};
use crate::clients::entra::{Graph, segment};
use crate::controllers::context::Context;
use crate::problem::{Class, Problem};
use crate::status::Reason;

/// Entra runs a provisioning cycle this often (contract Graph 5.5).
const CYCLE: SignedDuration = SignedDuration::from_mins(40);

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
    pub async fn standing(&mut self, principal: &Principal) -> Result<(Reason, String), Problem> {
        if self.federation.spec.entra.external.is_some() {
            let message = format!(
                "{principal} is not in the identity store: ask the party that looks after Entra to assign and provision it, or correct the name"
            );
            return Ok((Reason::NotInIdentityStore, message));
        }
        let found = match self.find(principal).await? {
            Ok(found) => found,
            Err(why) => return Ok((Reason::NotInEntra, why)),
        };
        if let Found::Group(DirectoryGroup { security_enabled: false, .. }) = found {
            let message = format!(
                "{principal} is no security group: Entra provisions only security groups; name another group"
            );
            return Ok((Reason::NotInProvisioningScope, message));
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
            return Ok((Reason::NotInProvisioningScope, message));
        }
        let everybody = connection.as_ref().is_some_and(|c| c.spec.scope == Scope::All);
        if !everybody && !self.is_assigned(&found).await? {
            return Ok((Reason::NotInProvisioningScope, self.line_to_add(principal)));
        }
        Ok((Reason::AwaitingProvisioning, next_cycle(principal, connection.as_ref())))
    }

    fn line_to_add(&self, principal: &Principal) -> String {
        format!(
            "{principal} is not assigned to the application: add `{}` to spec.entra.application.assignments of IdentityFederation {}",
            yaml(principal),
            self.federation.name_any()
        )
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
        let missing = |count: usize| match count {
            0 => format!(
                "{principal} exists neither in the identity store nor in Entra: create it, or correct the name"
            ),
            n => format!("Entra has {n} objects called {principal}: name it by entraObjectId"),
        };
        fn only<T>(mut found: Vec<T>) -> Result<T, usize> {
            match found.pop() {
                Some(one) if found.is_empty() => Ok(one),
                Some(_) => Err(found.len() + 1),
                None => Err(0),
            }
        }
        let found = match principal {
            Principal { group: Some(Group { display_name: Some(name), .. }), .. } => {
                only(graph.groups_named(name).await.map_err(trouble)?).map(Found::Group)
            }
            Principal { group: Some(Group { entra_object_id: Some(id), .. }), .. } => {
                graph.group(id).await.map_err(trouble)?.map(Found::Group).ok_or(0)
            }
            Principal { user: Some(User { user_principal_name: Some(name), .. }), .. } => {
                only(graph.users_named(name).await.map_err(trouble)?).map(Found::User)
            }
            Principal { user: Some(User { entra_object_id: Some(id), .. }), .. } => {
                graph.user(id).await.map_err(trouble)?.map(Found::User).ok_or(0)
            }
            _ => Err(0),
        };
        Ok(found.map_err(missing))
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
            let connections = Api::<ScimConnection>::namespaced(self.context.kube.clone(), &namespace);
            let all = connections.list(&ListParams::default()).await?;
            let ours = |c: &ScimConnection| c.spec.federation_ref.name == self.federation.name_any();
            self.connection = Some(all.into_iter().find(ours));
        }
        Ok(self.connection.get_or_insert_default())
    }
}

fn trouble(error: crate::clients::CloudError) -> Problem {
    Problem::from_cloud(error, "look the principal up in Entra")
}

/// The principal as a line of YAML.
fn yaml(principal: &Principal) -> String {
    match principal {
        Principal { group: Some(Group { display_name: Some(name), .. }), .. } => {
            format!("- group: {{displayName: {name}}}")
        }
        Principal { group: Some(Group { entra_object_id: Some(id), .. }), .. } => {
            format!("- group: {{entraObjectId: {id}}}")
        }
        Principal { user: Some(User { user_principal_name: Some(name), .. }), .. } => {
            format!("- user: {{userPrincipalName: {name}}}")
        }
        Principal { user: Some(User { entra_object_id: Some(id), .. }), .. } => {
            format!("- user: {{entraObjectId: {id}}}")
        }
        _ => String::new(),
    }
}

fn next_cycle(principal: &Principal, connection: Option<&ScimConnection>) -> String {
    let Some(connection) = connection else {
        return format!("{principal} is in scope, but no ScimConnection provisions it to AWS: create one");
    };
    let status = connection.status.as_ref();
    let ended = status.and_then(|s| s.last_cycle.as_ref()?.ended_at.as_ref()?.parse::<Timestamp>().ok());
    let name = connection.name_any();
    match ended
        .and_then(|at| at.checked_add(CYCLE).ok())
        .and_then(|at| Timestamp::from_second(at.as_second()).ok())
    {
        Some(next) => format!(
            "{principal} comes to AWS with the provisioning cycle around {next} (ScimConnection {name})"
        ),
        None => {
            format!("{principal} comes to AWS with the first provisioning cycle of ScimConnection {name}")
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn connection(status: serde_json::Value) -> ScimConnection {
        serde_json::from_value(json!({
            "apiVersion": "causeway.dev/v1alpha1", "kind": "ScimConnection", "metadata": {"name": "acme"},
            "spec": {"federationRef": {"name": "acme"}, "secretRef": {"name": "scim"}}, "status": status,
        }))
        .unwrap()
    }

    #[test]
    fn a_waiting_principal_is_told_when() {
        let group = Principal {
            group: Some(Group { display_name: Some("aws-oncall".into()), entra_object_id: None }),
            user: None,
        };
        let cycle = json!({"lastCycle": {"result": "Succeeded", "endedAt": "2026-01-01T10:00:05.25Z"}});
        assert_eq!(
            next_cycle(&group, Some(&connection(cycle))),
            "group \"aws-oncall\" comes to AWS with the provisioning cycle around 2026-01-01T10:40:05Z (ScimConnection acme)"
        );
        assert!(next_cycle(&group, Some(&connection(json!({})))).contains("first provisioning cycle"));
        assert!(next_cycle(&group, None).contains("no ScimConnection"));
        assert_eq!(yaml(&group), "- group: {displayName: aws-oncall}");
    }
}
