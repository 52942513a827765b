//! The directory's administrators at work, and what the sandbox shows of the tenant.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::errors::GraphError;
use super::graph::{assignments, groups, types, users};
use super::state::{Fields, Kind, State, text};
use super::{Entra, lock};
use crate::world::{ExistingApplication, Group, Tenant, User};

/// Why a console act was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ConsoleError {
    /// HTTP status.
    pub status: u16,
    /// What is wrong.
    pub message: String,
}

impl From<GraphError> for ConsoleError {
    fn from(error: GraphError) -> Self {
        Self { status: error.status, message: error.message }
    }
}

type Done = (String, Value);

impl Entra {
    /// Carries out one act and writes it into the journal as a person's.
    fn act(
        &self,
        operation: &str,
        target: &str,
        act: impl FnOnce(&mut State) -> Result<Done, GraphError>,
    ) -> Result<Value, ConsoleError> {
        let outcome = {
            let mut state = self.state_now();
            self.remember(&state);
            act(&mut state)
        };
        let (target, code) = match &outcome {
            Ok((target, _)) => (target.clone(), "ok".to_owned()),
            Err(error) => (target.to_owned(), error.code.clone()),
        };
        let core = &self.core;
        core.counters.add("console", operation, &code);
        let id = core.ids.uuid();
        core.journal.record(core.clock.now(), "console", operation, "person", &target, &code, &id);
        self.wake.notify_one();
        Ok(outcome?.1)
    }

    /// Creates a user; only `userPrincipalName` and `displayName` are asked for.
    ///
    /// # Errors
    /// As Graph's `POST /users`.
    pub fn create_user(&self, body: &Value) -> Result<Value, ConsoleError> {
        self.act("create-user", "user", |state| {
            let fields = types::writable(Some(body), Kind::User.properties(), "user")?;
            require(&fields, &["displayName", "userPrincipalName"])?;
            let fields = users::add(self, state, fields)?;
            Ok((format!("user {}", text(&fields, "id")), Value::Object(fields)))
        })
    }

    /// Changes a user, named by id or sign-in name.
    ///
    /// # Errors
    /// As Graph's `PATCH /users/{id}`.
    pub fn update_user(&self, id: &str, body: &Value) -> Result<Value, ConsoleError> {
        self.act("update-user", &format!("user {id}"), |state| {
            let fields = types::writable(Some(body), Kind::User.properties(), "user")?;
            let id = users::named(state, id)?;
            users::change(self, state, &id, fields)?;
            Ok((format!("user {id}"), shown(state, Kind::User, &id)))
        })
    }

    /// Moves a user to the recycle bin, where it stays for thirty days (9).
    ///
    /// # Errors
    /// As Graph's `DELETE /users/{id}`.
    pub fn delete_user(&self, id: &str) -> Result<Value, ConsoleError> {
        self.act("delete-user", &format!("user {id}"), |state| {
            let id = users::named(state, id)?;
            users::remove(self, state, &id)?;
            Ok((format!("user {id}"), Value::Null))
        })
    }

    /// Creates a group; only `displayName` is asked for, `members@odata.bind` is honoured.
    ///
    /// # Errors
    /// As Graph's `POST /groups`.
    pub fn create_group(&self, body: &Value) -> Result<Value, ConsoleError> {
        self.act("create-group", "group", |state| {
            let fields = types::writable(Some(body), Kind::Group.properties(), "group")?;
            require(&fields, &["displayName"])?;
            let fields = groups::add(self, state, fields, groups::bound(Some(body)))?;
            Ok((format!("group {}", text(&fields, "id")), Value::Object(fields)))
        })
    }

    /// Changes a group.
    ///
    /// # Errors
    /// As Graph's `PATCH /groups/{id}`.
    pub fn update_group(&self, id: &str, body: &Value) -> Result<Value, ConsoleError> {
        self.act("update-group", &format!("group {id}"), |state| {
            let fields = types::writable(Some(body), Kind::Group.properties(), "group")?;
            groups::change(self, state, id, fields)?;
            Ok((format!("group {id}"), shown(state, Kind::Group, id)))
        })
    }

    /// Deletes a group for good.
    ///
    /// # Errors
    /// As Graph's `DELETE /groups/{id}`.
    pub fn delete_group(&self, id: &str) -> Result<Value, ConsoleError> {
        self.act("delete-group", &format!("group {id}"), |state| {
            state.live(Kind::Group, id).ok_or_else(|| GraphError::not_found(id))?;
            state.remove(Kind::Group, id);
            Ok((format!("group {id}"), Value::Null))
        })
    }

    /// Adds a member: a user (by id or sign-in name) or another group.
    ///
    /// # Errors
    /// 404 when one of the two does not exist, 400 when it is a member already.
    pub fn add_member(&self, group: &str, id: &str) -> Result<Value, ConsoleError> {
        self.act("add-member", &format!("member {group}/{id}"), |state| {
            let id = users::named(state, id).unwrap_or_else(|_| id.to_owned());
            groups::join(state, group, &id)?;
            Ok((format!("member {group}/{id}"), Value::Null))
        })
    }

    /// Removes a member.
    ///
    /// # Errors
    /// 404 when it is none.
    pub fn remove_member(&self, group: &str, id: &str) -> Result<Value, ConsoleError> {
        self.act("remove-member", &format!("member {group}/{id}"), |state| {
            let id = users::named(state, id).unwrap_or_else(|_| id.to_owned());
            groups::leave(state, group, &id)?;
            Ok((format!("member {group}/{id}"), Value::Null))
        })
    }

    /// Puts the provisioning of an application into quarantine, as Microsoft does for each of the reasons of the
    /// contract (5.7); start or restart lifts it, and so does a good cycle.
    ///
    /// # Errors
    /// 400 for an unknown reason, 404 when the application has no job.
    pub fn quarantine(&self, app_id: &str, reason: &str) -> Result<Value, ConsoleError> {
        let now = self.core.clock.now();
        self.act("quarantine-job", &format!("application {app_id}"), |state| {
            let missing = || GraphError::not_found(app_id);
            let id =
                state.by_app_id(Kind::ServicePrincipal, app_id).map(|o| o.id.clone()).ok_or_else(missing)?;
            let synchronization = state.synchronization.get_mut(&id).ok_or_else(missing)?;
            if !synchronization.quarantine(reason, now)? {
                return Err(missing());
            }
            Ok((format!("synchronization-job {id}"), Value::Null))
        })
    }

    /// The tenant as a world file would describe it now.
    pub fn world(&self) -> Tenant {
        let state = self.state_now();
        let some =
            |o: &super::state::Object, name: &str| Some(o.text(name).to_owned()).filter(|v| !v.is_empty());
        let users = state.all(Kind::User).map(|o| User {
            id: Some(o.id.clone()),
            user_principal_name: o.text("userPrincipalName").to_owned(),
            display_name: o.text("displayName").to_owned(),
            given_name: some(o, "givenName"),
            surname: some(o, "surname"),
            mail: some(o, "mail"),
            department: some(o, "department"),
            account_enabled: o
                .truth()
                .get("accountEnabled")
                .and_then(Value::as_bool)
                .filter(|enabled| !enabled),
        });
        let name = |id: &str| {
            let object = state.find(id)?;
            let property = if object.kind == Kind::User { "userPrincipalName" } else { "displayName" };
            Some(object.text(property).to_owned())
        };
        let groups = state.all(Kind::Group).map(|o| Group {
            id: Some(o.id.clone()),
            display_name: o.text("displayName").to_owned(),
            security_enabled: o
                .truth()
                .get("securityEnabled")
                .and_then(Value::as_bool)
                .filter(|enabled| !enabled),
            members: state.members_of(&o.id).filter_map(name).collect(),
        });
        let clients = lock(&self.clients).clone();
        let applications =
            state.all(Kind::Application).filter(|o| !clients.iter().any(|c| c.client_id == o.text("appId")));
        let applications = applications.map(|o| ExistingApplication {
            display_name: o.text("displayName").to_owned(),
            application_template_id: some(o, "applicationTemplateId"),
            app_id: some(o, "appId"),
            notes: some(o, "notes"),
        });
        let mut users: Vec<User> = users.collect();
        users.sort_by(|a, b| a.user_principal_name.cmp(&b.user_principal_name));
        let mut groups: Vec<Group> = groups.collect();
        groups.sort_by(|a, b| (&a.display_name, &a.id).cmp(&(&b.display_name, &b.id)));
        Tenant {
            id: self.tenant_id.clone(),
            domains: self.domains.clone(),
            users,
            groups,
            applications: applications.collect(),
            behaviours: self.behaviours.clone(),
            clients,
        }
    }

    /// Everything in the tenant, without secrets: for independent checks.
    pub fn state(&self) -> Value {
        let state = self.state_now();
        let mut out = Map::new();
        out.insert("tenantId".into(), self.tenant_id.clone().into());
        for kind in Kind::ALL {
            let objects = state.all(kind).map(|o| {
                let mut fields = o.truth().clone();
                if kind == Kind::Group {
                    let members = state.members_of(&o.id).map(Value::from).collect();
                    fields.insert("members".into(), members);
                }
                if matches!(kind, Kind::Application | Kind::ServicePrincipal) {
                    let owners =
                        state.owners.get(&o.id).into_iter().flatten().cloned().map(Value::from).collect();
                    fields.insert("owners".into(), owners);
                }
                Value::Object(fields)
            });
            out.insert(kind.segment().into(), objects.collect());
        }
        let in_force = state.assignments.iter().filter(|a| a.gone_from.is_none());
        let in_force = in_force.map(|a| Value::Object(assignments::fields(&state, a)));
        out.insert("appRoleAssignments".into(), in_force.collect());
        let deleted =
            Kind::ALL.into_iter().flat_map(|kind| state.table(kind).values()).filter(|o| o.is_deleted());
        let deleted = deleted.map(|o| {
            json!({
                "id": o.id, "type": o.kind.type_name(), "displayName": o.text("displayName"),
                "deletedDateTime": o.text("deletedDateTime"),
            })
        });
        out.insert("deletedItems".into(), deleted.collect());
        let jobs: BTreeMap<&String, Value> =
            state.synchronization.iter().map(|(id, synchronization)| (id, synchronization.state())).collect();
        out.insert("synchronization".into(), json!(jobs));
        Value::Object(out)
    }
}

fn require(fields: &Fields, names: &[&str]) -> Result<(), GraphError> {
    match names.iter().find(|name| text(fields, name).is_empty()) {
        None => Ok(()),
        Some(missing) => Err(GraphError::bad(format!("A value is required for property '{missing}'."))),
    }
}

fn shown(state: &State, kind: Kind, id: &str) -> Value {
    state.live(kind, id).map(|o| Value::Object(o.truth().clone())).unwrap_or_default()
}
