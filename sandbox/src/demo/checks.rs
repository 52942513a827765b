//! What must be true, read from both clouds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use anyhow::{Context as _, bail};

use super::names::brief;
use super::screen::Screen;
use crate::Sandbox;
use crate::sign_in::{SignIn, Verdict};

const DEV: [&str; 3] = ["333344445555", "444455556666", "555566667777"];
const PROD: [&str; 2] = ["111122223333", "222233334444"];
const AUDITED: [&str; 6] =
    ["111122223333", "222233334444", "333344445555", "444455556666", "666677778888", "777788889999"];

/// Operations that must not be carried out twice on one target: each would make a second object.
const CREATING: [&str; 7] = [
    "POST /applicationTemplates/{id}/instantiate",
    "POST /servicePrincipals/{id}/addTokenSigningCertificate",
    "POST /servicePrincipals/{id}/appRoleAssignedTo",
    "POST /servicePrincipals/{id}/synchronization/jobs",
    "CreatePermissionSet",
    "CreateAccountAssignment",
    "CreateUser",
];

/// So much is shown of why somebody is refused.
const REASON: usize = 72;

type Access = BTreeSet<(String, String)>;

/// The demo's checks.
pub struct Checks<'a> {
    screen: &'a Screen,
    sandbox: &'a Sandbox,
    failures: Vec<String>,
}

/// Whether the person can no longer use AWS, whatever Entra says.
pub fn inactive(sandbox: &Sandbox, user_principal_name: &str) -> bool {
    sandbox.aws.access_of(user_principal_name).is_err()
}

fn access(set: &str, accounts: &[&str]) -> Access {
    accounts.iter().map(|account| ((*account).to_owned(), set.to_owned())).collect()
}

/// Who should get in, and with what, as the YAML says it.
fn expected(oncall_in_production: bool) -> BTreeMap<&'static str, Access> {
    let engineers = access("Engineers-PowerUser", &DEV);
    let auditors = access("Auditors-ReadOnly", &AUDITED);
    let production = access("Production-Operator", &PROD);
    let oncall = if oncall_in_production { production.clone() } else { Access::new() };
    let both = |a: &Access, b: &Access| a.union(b).cloned().collect::<Access>();
    BTreeMap::from([
        ("ada@acme.example", both(&engineers, &production)),
        ("ben@acme.example", both(&engineers, &oncall)),
        ("chidi@acme.example", engineers.clone()),
        ("dana@acme.example", engineers.clone()),
        ("elif@acme.example", both(&engineers, &oncall)),
        ("greta@acme.example", production),
        ("hugo@acme.example", auditors.clone()),
        ("ines@acme.example", auditors),
    ])
}

impl<'a> Checks<'a> {
    /// No check made yet.
    pub fn new(screen: &'a Screen, sandbox: &'a Sandbox) -> Self {
        Self { screen, sandbox, failures: Vec::new() }
    }

    fn check(&mut self, holds: bool, claim: &str) {
        if holds {
            self.screen.done(claim);
        } else {
            self.screen.failed(claim);
            self.failures.push(claim.to_owned());
        }
    }

    fn application(&self) -> anyhow::Result<String> {
        let applications = self.sandbox.entra.world().applications;
        let ids: Vec<String> = applications.into_iter().filter_map(|a| a.app_id).collect();
        match ids.as_slice() {
            [one] => Ok(one.clone()),
            other => bail!("{} enterprise applications where there should be one", other.len()),
        }
    }

    fn sign_in(&self, who: &str) -> anyhow::Result<SignIn> {
        Ok(self.sandbox.sign_in(who, &self.application()?))
    }

    fn row(&self, who: &str, came: &SignIn) -> Access {
        let mut line = format!("{who:<22}");
        let access: Access = came
            .access
            .iter()
            .flat_map(|a| a.roles.iter().map(|role| (a.account_id.clone(), role.clone())))
            .collect();
        match came.verdict {
            Verdict::Admitted => {
                let mut by_role: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
                for a in &came.access {
                    for role in &a.roles {
                        by_role.entry(role).or_default().push(&a.account_name);
                    }
                }
                let roles: Vec<String> = by_role
                    .into_iter()
                    .map(|(role, accounts)| format!("{role} on {}", accounts.join(", ")))
                    .collect();
                let _ = write!(
                    line,
                    "admitted  {}",
                    if roles.is_empty() { "no access".into() } else { roles.join("; ") }
                );
            }
            Verdict::Refused => {
                let by = came.refused_by.map_or_else(String::new, |by| format!("{by:?}"));
                let why = brief(came.reason.as_deref().unwrap_or_default(), REASON);
                let _ = write!(line, "refused   by {by}: {why}");
            }
        }
        self.screen.text(&line);
        access
    }

    /// Everybody of the company tries to sign in.
    pub fn everybody_signs_in(&mut self, oncall_in_production: bool) -> anyhow::Result<()> {
        let wanted = expected(oncall_in_production);
        let mut wrong = Vec::new();
        for user in self.sandbox.world().tenant.users {
            let who = user.user_principal_name;
            let came = self.sign_in(&who)?;
            let access = self.row(&who, &came);
            let right = match wanted.get(who.as_str()) {
                Some(wanted) => came.verdict == Verdict::Admitted && &access == wanted,
                None => came.verdict == Verdict::Refused,
            };
            if !right {
                wrong.push(who);
            }
        }
        self.check(
            wrong.is_empty(),
            &format!(
                "{} people get in with exactly what the YAML says, nobody else{}",
                wanted.len(),
                but(&wrong)
            ),
        );
        Ok(())
    }

    /// A person is deleted from the directory.
    pub fn delete_person(&mut self, who: &str) -> anyhow::Result<()> {
        let users = self.sandbox.world().tenant.users;
        let id = users
            .into_iter()
            .find(|u| u.user_principal_name == who)
            .and_then(|u| u.id)
            .context("the person has an id")?;
        self.sandbox.entra.delete_user(&id).map_err(|e| anyhow::anyhow!("Entra's console refuses: {e:?}"))?;
        Ok(())
    }

    /// After one person left and one group lost production.
    pub fn after_the_change(&mut self) -> anyhow::Result<()> {
        let elif = self.sign_in("elif@acme.example")?;
        self.row("elif@acme.example", &elif);
        self.check(elif.verdict == Verdict::Refused, "elif has left: no sign-in");
        self.check(inactive(self.sandbox, "elif@acme.example"), "elif has left: not active in AWS either");
        let wanted = expected(false);
        let mut wrong = Vec::new();
        for who in ["ada@acme.example", "ben@acme.example", "greta@acme.example", "hugo@acme.example"] {
            let came = self.sign_in(who)?;
            if self.row(who, &came) != wanted[who] {
                wrong.push(who.to_owned());
            }
        }
        self.check(
            wrong.is_empty(),
            &format!("ben is out of production, ada and greta are still in{}", but(&wrong)),
        );
        let (_, identity_center, _) = self.sandbox.aws.world();
        let left: BTreeSet<String> = identity_center
            .assignments
            .iter()
            .filter(|a| a.permission_set == "Production-Operator")
            .filter_map(|a| a.group.clone())
            .collect();
        self.check(
            left == BTreeSet::from(["aws-admins".to_owned()]),
            &format!("Production-Operator is assigned to aws-admins alone (found {left:?})"),
        );
        Ok(())
    }

    /// Nothing was created twice, as the journal of both clouds tells.
    pub fn nothing_twice(&mut self) {
        let mut seen: BTreeMap<(String, String), usize> = BTreeMap::new();
        for entry in self.sandbox.core.journal.after(0) {
            if entry.outcome == "ok" && CREATING.contains(&entry.operation.as_str()) {
                // Instantiating and adding certificates name the new object: any second one is one too many.
                let single = entry.operation.ends_with("instantiate")
                    || entry.operation.ends_with("addTokenSigningCertificate");
                let target = if single { String::new() } else { entry.target };
                *seen.entry((entry.operation, target)).or_default() += 1;
            }
        }
        let twice: Vec<String> =
            seen.iter().filter(|(_, n)| **n > 1).map(|((o, t), n)| format!("{o} {t} × {n}")).collect();
        self.check(
            twice.is_empty() && !seen.is_empty(),
            &format!("{} objects created in the clouds, none of them twice{}", seen.len(), but(&twice)),
        );
    }

    /// How many calls the whole journey took.
    pub fn summary(&self) {
        let mut by_service: BTreeMap<&str, u64> = BTreeMap::new();
        for counter in self.sandbox.core.counters.all() {
            *by_service.entry(counter.service).or_default() += counter.calls;
        }
        let calls: Vec<String> =
            by_service.iter().map(|(service, calls)| format!("{service} {calls}")).collect();
        self.screen.text(&format!("calls in the whole journey: {}", calls.join(", ")));
    }

    /// Success when every check held.
    pub fn verdict(self) -> anyhow::Result<()> {
        if self.failures.is_empty() {
            return Ok(());
        }
        bail!("{} checks failed: {}", self.failures.len(), self.failures.join("; "))
    }
}

fn but(wrong: &[String]) -> String {
    if wrong.is_empty() { String::new() } else { format!(" (but: {})", wrong.join(", ")) }
}
