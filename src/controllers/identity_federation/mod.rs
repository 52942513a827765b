//! IdentityFederation: the enterprise application in Entra, the instance in AWS, and what people must do between
//! them. The two sides go on without each other; one of them may be another party's.

mod apply;
mod claims;
mod cleanup;
mod desired;
mod entra;
mod exchange;
mod finding;
mod handoff;
mod handoff_parties;
mod instance;
mod intents;
mod ledger;
mod metadata;
mod observed;
mod other_party;
mod plan;
mod plan_assignments;
mod plan_certificates;
mod status;
mod stranger;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod marks_tests;
#[cfg(test)]
mod plan_assignments_tests;
#[cfg(test)]
mod tests;

pub(super) use self::desired::foreign_mark;
pub(super) use self::instance::sees_no_instance;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::absences::Absences;
use super::access::named;
use crate::api::v1alpha1::{IdentityFederation, IdentityFederationStatus, Party};
use crate::controllers::context::Context;
use crate::controllers::{Cleanup, Outcome, Reconciler};
use crate::problem::Class;

/// Reconciles federations.
#[derive(Debug, Default)]
pub struct IdentityFederationReconciler {
    memory: intents::Memory,
    absences: Absences,
}

#[async_trait::async_trait]
impl Reconciler for IdentityFederationReconciler {
    type Kind = IdentityFederation;

    async fn reconcile(
        &self,
        object: &IdentityFederation,
        context: &Context,
    ) -> Outcome<IdentityFederationStatus> {
        if object.spec.suspend {
            return status::suspended(object, context.clock.now());
        }
        let (mut entra, mut aws) = match object.spec.party() {
            Party::Both => tokio::join!(
                Box::pin(entra::pass(object, context, &self.memory)),
                Box::pin(instance::look(object, context))
            ),
            Party::Entra => (Box::pin(entra::pass(object, context, &self.memory)).await, other_party::aws()),
            Party::Aws => tokio::join!(
                Box::pin(other_party::entra(object, context)),
                Box::pin(instance::look(object, context))
            ),
        };
        let longest = context.settings.timing.backoff.1;
        for finding in entra.findings.iter_mut().chain(&mut aws.finding) {
            finding.message = named(finding.reason, &finding.message, object, object, longest);
        }
        let failed = entra.findings.iter().chain(&aws.finding).any(|f| f.class == Some(Class::Transient));
        let patient = self.memory.is_patient(&observed::uid(object), failed);
        status::assemble(object, context.clock.now(), patient, entra, aws)
    }

    async fn cleanup(
        &self,
        object: &IdentityFederation,
        context: &Context,
    ) -> Cleanup<IdentityFederationStatus> {
        cleanup::cleanup(object, context, &self.absences).await
    }

    fn forget(&self, gone: &ObjectMeta, _: Option<&IdentityFederation>, _: &Context) {
        let uid = gone.uid.as_deref().unwrap_or_default();
        self.memory.forget(uid);
        self.absences.forget(uid);
    }
}
