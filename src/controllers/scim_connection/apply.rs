//! Carries a plan out, step by step.

use super::annotations::Act;
use super::calls::Calls;
use super::desired::Desired;
use super::observe::Observed;
use super::plan::Step;
use super::{handover, job, schema};
use crate::api::v1alpha1::OnDemandStatus;
use crate::clients::entra::Reply;
use crate::clients::entra::synchronization::{self, operation};
use crate::clients::{CloudError, CloudErrorKind, Service};
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
    /// What a provision on demand came to.
    pub on_demand: Option<OnDemandStatus>,
}

/// The writing hand: calls, and who writes on which plan.
#[derive(Debug)]
pub struct Hand<'a> {
    /// The calls.
    pub calls: &'a Calls,
    /// Who writes.
    pub audit: Audit,
    /// The service principal, as audit records name it.
    pub service_principal: &'a str,
}

impl Hand<'_> {
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
            let result = sync.create_job(template).await;
            let reply =
                self.done(operation::CREATE_JOB, &of_application, result, "create the synchronization job")?;
            applied.created = reply.body.get("id").and_then(serde_json::Value::as_str).map(str::to_owned);
            return Ok(());
        }
        // Other steps without a job are those after its creation: they are planned, and carried out when it is there.
        let Some(present) = &observed.job else { return Ok(()) };
        let id = present.id.as_str();
        match step {
            Step::CreateJob(_) => {}
            Step::Pause => {
                self.done(operation::PAUSE, id, sync.pause(id).await, "pause the synchronization job")?;
            }
            Step::EditSchema(_) => {
                let current = observed.schema.as_ref().unwrap_or(&serde_json::Value::Null);
                // The plan comes from the same edit, which had no missing targets.
                if let Ok(edit) = schema::edit(current, &desired.mappings) {
                    let result = sync.put_schema(id, &edit.schema).await;
                    self.done(operation::PUT_SCHEMA, id, result, "change the mappings")?;
                }
            }
            Step::HandOver(_) => {
                // The plan has no such step without credentials.
                if let Some(credentials) = &desired.credentials {
                    let set = handover::full_set(desired, credentials, &observed.saved);
                    let result = sync.put_secrets(&set).await;
                    self.done(
                        operation::PUT_SECRETS,
                        &of_application,
                        result,
                        "hand the SCIM credentials to Entra",
                    )?;
                }
            }
            Step::LiftQuarantine => {
                let result = sync.restart(id, "QuarantineState").await;
                self.done(operation::RESTART, id, result, "lift the quarantine")?;
            }
            Step::Start => {
                self.done(operation::START, id, sync.start(id).await, "start the synchronization job")?;
            }
            Step::Restart(act) => {
                let result = sync.restart(id, &act.subject).await;
                self.done(operation::RESTART, id, result, "restart the synchronization job")?;
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
        let outcome = |result: &str, message: Option<&str>| OnDemandStatus {
            request: act.request.clone(),
            result: result.to_owned(),
            message: message.map(job::bounded),
        };
        let Some(rule) = observed.schema.as_ref().and_then(schema::rule_for_users) else {
            return Ok(outcome("Failure", Some("the job's mappings provision no people")));
        };
        let found = self.calls.graph.users_named(&act.subject).await;
        let found = found.map_err(|e| self.calls.problem(e, "find the person to provision"))?;
        let Some(user) = found.first() else {
            return Ok(outcome("Failure", Some("Entra has nobody of that userPrincipalName")));
        };
        let result = self.calls.sync.provision_on_demand(id, rule, &user.id).await;
        if let Err(error) = &result
            && error.kind == CloudErrorKind::Invalid
        {
            self.record(operation::ON_DEMAND, &user.id, &result);
            return Ok(outcome("Failure", Some(&format!("Entra refuses it{}", error.tail()))));
        }
        let reply = self.done(operation::ON_DEMAND, &user.id, result, "provision on demand")?;
        let answer = synchronization::on_demand(&reply.body);
        Ok(outcome(&answer.result, answer.message.as_deref()))
    }

    /// Leaves the audit record of a mutation and says what its failure means.
    pub fn done(
        &self,
        operation: &str,
        target: &str,
        result: Result<Reply, CloudError>,
        doing: &str,
    ) -> Result<Reply, Problem> {
        self.record(operation, target, &result);
        result.map_err(|error| self.refused(error, doing))
    }

    fn record(&self, operation: &str, target: &str, result: &Result<Reply, CloudError>) {
        let request = result.as_ref().ok().and_then(|reply| reply.request_id.as_deref());
        self.audit.record(Service::Graph, operation, target, result, request);
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
