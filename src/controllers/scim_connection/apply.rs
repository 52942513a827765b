//! Carries a plan out, step by step.

use std::future::Future;

use super::annotations::Act;
use super::calls::Calls;
use super::desired::Desired;
use super::foreign::bounded;
use super::observe::Observed;
use super::ownership::Unclaimed;
use super::plan::Step;
use super::{handover, schema};
use crate::api::v1alpha1::OnDemandStatus;
use crate::clients::entra::Reply;
use crate::clients::entra::synchronization::{self, operation};
use crate::clients::{CloudError, CloudErrorKind};
use crate::problem::{Class, Problem};
use crate::status::Reason;
use crate::telemetry::Audit;

/// What was carried out, also when a later step failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The steps that were done, in order.
    pub steps: Vec<Step>,
    /// The job that was created, when Entra named it.
    pub created: Option<String>,
    /// Whether Entra said that it deleted the job.
    pub deleted: bool,
    /// What a provision on demand came to.
    pub on_demand: Option<OnDemandStatus>,
}

/// The writing hand: calls, and who writes on which plan.
#[derive(Debug)]
pub struct Hand<'a> {
    /// The calls.
    pub calls: &'a Calls,
    /// Who writes.
    audit: Audit,
    /// The service principal, as audit records name it.
    service_principal: &'a str,
}

impl<'a> Hand<'a> {
    /// A hand for an application that nobody else claims.
    pub const fn new(calls: &'a Calls, audit: Audit, service_principal: &'a str, _: &Unclaimed) -> Self {
        Self { calls, audit, service_principal }
    }

    /// Carries the steps out and stops at the first that fails. After a job was created the rest waits for it to
    /// be seen.
    pub async fn apply(
        &self,
        steps: &[Step],
        desired: &Desired,
        observed: &Observed,
    ) -> (Applied, Result<(), Problem>) {
        let mut applied = Applied::default();
        for step in steps {
            if let Err(problem) = self.step(step, desired, observed, &mut applied).await {
                return (applied, Err(problem));
            }
            applied.steps.push(step.clone());
            if matches!(step, Step::CreateJob(_)) {
                break;
            }
        }
        (applied, Ok(()))
    }

    async fn step(
        &self,
        step: &Step,
        desired: &Desired,
        observed: &Observed,
        applied: &mut Applied,
    ) -> Result<(), Problem> {
        let sync = &self.calls.sync;
        let of_application = format!("servicePrincipal {}", self.service_principal);
        if let Step::CreateJob(template) = step {
            let call = sync.create_job(template);
            let doing = "create the synchronization job";
            let reply = self.done(operation::CREATE_JOB, &of_application, call, doing).await?;
            applied.created = reply.body.get("id").and_then(serde_json::Value::as_str).map(str::to_owned);
            return Ok(());
        }
        // Other steps without a job are those after its creation: they are planned, and carried out when it is there.
        let Some(present) = &observed.job else { return Ok(()) };
        let id = present.id.as_str();
        match step {
            Step::CreateJob(_) => {}
            Step::Pause => {
                self.done(operation::PAUSE, id, sync.pause(id), "pause the synchronization job").await?;
            }
            Step::DeleteJob => match self.write(operation::DELETE_JOB, id, sync.delete_job(id)).await {
                // Gone, or not known everywhere: whoever deletes looks again.
                Err(error) if error.is_not_found() => {}
                result => {
                    result.map_err(|error| self.refused(error, "delete the synchronization job"))?;
                    applied.deleted = true;
                }
            },
            Step::EditSchema(_) => {
                let current = observed.schema.as_ref().unwrap_or(&serde_json::Value::Null);
                // The plan comes from the same edit, which had no missing targets.
                if let Ok(edit) = schema::edit(current, &desired.mappings) {
                    let call = sync.put_schema(id, &edit.schema);
                    self.done(operation::PUT_SCHEMA, id, call, "change the mappings").await?;
                }
            }
            Step::HandOver(_) => {
                // The plan has no such step without credentials.
                if let Some(credentials) = &desired.credentials {
                    let set = handover::full_set(desired, credentials, &observed.saved);
                    let call = sync.put_secrets(&set);
                    let doing = "hand the SCIM credentials to Entra";
                    self.done(operation::PUT_SECRETS, &of_application, call, doing).await?;
                }
            }
            Step::LiftQuarantine => {
                let call = sync.restart(id, "QuarantineState");
                self.done(operation::RESTART, id, call, "lift the quarantine").await?;
            }
            Step::Start => {
                self.done(operation::START, id, sync.start(id), "start the synchronization job").await?;
            }
            Step::Restart(act) => {
                let call = sync.restart(id, &act.subject);
                self.done(operation::RESTART, id, call, "restart the synchronization job").await?;
            }
            Step::ProvisionOnDemand(act) => {
                applied.on_demand = Some(self.on_demand(act, id, observed).await?)
            }
        }
        Ok(())
    }

    /// Provisions one person. What Entra refuses is an outcome, for the person who asked; what passes by itself is
    /// tried again while the request stands.
    async fn on_demand(&self, act: &Act, id: &str, observed: &Observed) -> Result<OnDemandStatus, Problem> {
        let outcome = |result: &str, message: Option<String>| OnDemandStatus {
            request: act.request.clone(),
            result: result.to_owned(),
            message,
        };
        let Some(rule) = observed.schema.as_ref().and_then(schema::rule_for_users) else {
            return Ok(outcome("Failure", Some("the job's mappings provision no people".to_owned())));
        };
        let found = self.calls.graph.users_named(&act.subject).await;
        let found = found.map_err(|e| self.calls.problem(e, "find the person to provision"))?;
        let Some(user) = found.first() else {
            return Ok(outcome("Failure", Some("Entra has nobody of that userPrincipalName".to_owned())));
        };
        let call = self.calls.sync.provision_on_demand(id, rule, &user.id);
        let reply = match self.write(operation::ON_DEMAND, &user.id, call).await {
            Err(error) if error.kind == CloudErrorKind::Invalid => {
                return Ok(outcome("Failure", Some(bounded(&format!("Entra refuses it{}", error.tail())))));
            }
            result => result.map_err(|error| self.refused(error, "provision on demand"))?,
        };
        let answer = self.calls.foreign.on_demand(&synchronization::on_demand(&reply.body));
        Ok(outcome(&answer.result, answer.message))
    }

    /// Makes a writing call and says what its failure means.
    async fn done(
        &self,
        operation: &str,
        target: &str,
        call: impl Future<Output = Result<Reply, CloudError>>,
        doing: &str,
    ) -> Result<Reply, Problem> {
        self.write(operation, target, call).await.map_err(|error| self.refused(error, doing))
    }

    /// Makes a writing call, with its audit record.
    async fn write(
        &self,
        operation: &str,
        target: &str,
        call: impl Future<Output = Result<Reply, CloudError>>,
    ) -> Result<Reply, CloudError> {
        let clean = async { call.await.map_err(|error| self.calls.foreign.error(error)) };
        self.audit.graph(operation, target, clean).await
    }

    /// A write that Entra refuses for what it says is retried slowly: what it depends on is Entra's, not the spec's.
    fn refused(&self, error: CloudError, doing: &str) -> Problem {
        if error.kind == CloudErrorKind::Invalid {
            let message = format!("could not {doing}: Entra refuses it{}", error.tail());
            return Problem::new(Class::Denied, Reason::InvalidSpec, message).because(error);
        }
        self.calls.problem(error, doing)
    }
}
