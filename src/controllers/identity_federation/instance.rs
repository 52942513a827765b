//! The AWS side: which Identity Center instance it is. Only reads.

use super::finding::{Finding, Part};
use crate::api::v1alpha1::{AwsStatus, IdentityFederation};
use crate::clients::aws::AwsClients;
use crate::clients::aws::instances::{Instance, InstanceState};
use crate::clients::{CloudError, CloudErrorKind};
use crate::controllers::context::Context;
use crate::problem::{Class, Problem};
use crate::status::{Reason, condition};

/// What came of looking at AWS.
#[derive(Clone, Debug, PartialEq)]
pub struct AwsReport {
    /// The instance, or what was recorded of it while it cannot be read.
    pub status: Option<AwsStatus>,
    /// What is wrong.
    pub finding: Option<Finding>,
    /// Whether there is no instance at all; none when that is not known.
    pub absent: Option<bool>,
}

/// Looks at AWS.
pub async fn look(object: &IdentityFederation, context: &Context) -> AwsReport {
    let recorded = object.status.as_ref().and_then(|s| s.aws.clone());
    let unknown = |problem: Problem, recorded: Option<AwsStatus>| AwsReport {
        status: recorded,
        finding: Some(Finding::of(Part::Instance, &problem)),
        absent: None,
    };
    let clients = match context.aws(object).await {
        Ok(clients) => clients,
        Err(problem) => return unknown(problem, recorded),
    };
    let seen = match Seen::read(&clients, object.spec.aws.identity_center.instance_arn.as_deref()).await {
        Ok(seen) => seen,
        Err(error) => {
            return unknown(Problem::from_cloud(error, "read the Identity Center instance"), recorded);
        }
    };
    judge(object, seen, recorded)
}

/// Whether AWS was looked at before, whatever came of it.
pub fn was_looked_at(object: &IdentityFederation) -> bool {
    let conditions = object.status.as_ref().map_or(&[][..], |s| &s.conditions);
    condition(conditions, Part::Instance.condition()).is_some()
}

/// Whether AWS was looked at as the spec is now, there is no instance, and none was ever recorded.
pub fn sees_no_instance(object: &IdentityFederation) -> bool {
    let Some(status) = object.status.as_ref().filter(|s| s.aws.is_none()) else { return false };
    condition(&status.conditions, Part::Instance.condition()).is_some_and(|c| {
        c.status == "False"
            && c.reason == Reason::AwaitingHandoff.as_str()
            && c.observed_generation == object.metadata.generation
    })
}

/// What AWS shows.
#[derive(Clone, Debug, Default, PartialEq)]
struct Seen {
    /// Everything that is listed.
    listed: Vec<Instance>,
    /// The one that is meant, in detail.
    chosen: Option<Instance>,
    /// The organization's management account.
    management: Option<String>,
}

impl Seen {
    async fn read(clients: &AwsClients, named: Option<&str>) -> Result<Self, CloudError> {
        let management = clients.management_account().await?;
        let listed = clients.list_instances().await?;
        let arn = match named {
            Some(arn) => Some(arn.to_owned()),
            None => choose(&listed, management.as_deref()).map(|i| i.arn.clone()),
        };
        let chosen = match arn {
            Some(arn) => match clients.describe_instance(&arn).await {
                Ok(found) => Some(found),
                // What is not listed and cannot be described is not there for these credentials (contract aws 1.1).
                Err(e) if !listed.iter().any(|i| i.arn == arn) && is_invisible(&e) => None,
                Err(e) => return Err(e),
            },
            None => None,
        };
        Ok(Self { listed, chosen, management })
    }
}

fn is_invisible(error: &CloudError) -> bool {
    matches!(error.kind, CloudErrorKind::NotFound | CloudErrorKind::Denied | CloudErrorKind::Invalid)
}

/// The only instance; of several the organization's, when there is just one.
fn choose<'a>(listed: &'a [Instance], management: Option<&str>) -> Option<&'a Instance> {
    let living: Vec<&Instance> = listed.iter().filter(|i| i.state != InstanceState::Deleting).collect();
    let ours = |i: &&&Instance| management.is_some() && i.owner_account_id.as_deref() == management;
    let organization: Vec<&Instance> = living.iter().filter(ours).copied().collect();
    match (living.as_slice(), organization.as_slice()) {
        ([only], _) | (_, [only]) => Some(only),
        _ => None,
    }
}

/// Pure: what follows from what AWS shows.
fn judge(object: &IdentityFederation, seen: Seen, recorded: Option<AwsStatus>) -> AwsReport {
    let spec = &object.spec.aws;
    let region = &spec.region;
    let Some(instance) = seen.chosen else {
        return match &spec.identity_center.instance_arn {
            Some(arn) => AwsReport {
                status: recorded,
                finding: Some(Finding::new(
                    Part::Instance,
                    Class::Blocked,
                    Reason::InstanceNotFound,
                    format!(
                        "instance {arn} is not visible with these credentials in {region}; correct instanceArn, region or credentials"
                    ),
                )),
                absent: Some(false),
            },
            None if seen.listed.is_empty() => absent(region, recorded),
            None => AwsReport {
                status: recorded,
                finding: Some(Finding::new(
                    Part::Instance,
                    Class::Blocked,
                    Reason::InstanceAmbiguous,
                    format!(
                        "name one of these instances in spec.aws.identityCenter.instanceArn: {}",
                        seen.listed.iter().map(|i| i.arn.as_str()).collect::<Vec<_>>().join(", ")
                    ),
                )),
                absent: Some(false),
            },
        };
    };
    let finding = match instance.state {
        InstanceState::Creating => {
            Some(Finding::pending(Part::Instance, format!("AWS is still creating instance {}", instance.arn)))
        }
        InstanceState::Failed | InstanceState::Deleting => Some(Finding::new(
            Part::Instance,
            Class::Blocked,
            Reason::InstanceNotFound,
            format!(
                "instance {} is not usable: {}; see the IAM Identity Center console",
                instance.arn,
                instance.state_reason.as_deref().unwrap_or("it could not be created, or is being deleted")
            ),
        )),
        InstanceState::Active => match &instance.primary_region {
            Some(primary) if primary != region => Some(Finding::new(
                Part::Instance,
                Class::Invalid,
                Reason::InvalidSpec,
                format!("the instance's primary Region is {primary}; set spec.aws.region to it"),
            )),
            _ if !instance.permission_sets_enabled => Some(Finding::new(
                Part::Instance,
                Class::Blocked,
                Reason::PermissionSetsDisabled,
                format!(
                    "instance {} cannot hold permission sets; enable them in its settings, or use the organization's instance",
                    instance.arn
                ),
            )),
            _ => None,
        },
    };
    AwsReport {
        status: Some(AwsStatus {
            access_portal_url: Some(portal(&instance)),
            instance_arn: instance.arn,
            identity_store_id: instance.identity_store_id,
            owner_account_id: instance.owner_account_id,
            management_account_id: seen.management,
            primary_region: Some(instance.primary_region.unwrap_or_else(|| region.clone())),
        }),
        finding,
        absent: Some(false),
    }
}

fn absent(region: &str, recorded: Option<AwsStatus>) -> AwsReport {
    let finding = match &recorded {
        // An empty list is not proof enough to forget an instance that others build on.
        Some(old) => Finding::new(
            Part::Instance,
            Class::Blocked,
            Reason::InstanceNotFound,
            match old.primary_region.as_ref().filter(|was| *was != region) {
                Some(was) => format!(
                    "instance {} is not in {region}: set spec.aws.region back to {was}, where it was found; nothing is taken from anybody meanwhile",
                    old.instance_arn
                ),
                None => format!(
                    "instance {} is not listed in {region} any more: check whether the credentials are those of its organization; nothing is taken from anybody meanwhile",
                    old.instance_arn
                ),
            },
        ),
        None => Finding::new(
            Part::Instance,
            Class::Blocked,
            Reason::AwaitingHandoff,
            format!(
                "enable IAM Identity Center for the organization in {region} (see status.handoff); if it is enabled in \
                 another Region already, correct spec.aws.region instead"
            ),
        ),
    };
    AwsReport { absent: Some(recorded.is_none()), status: recorded, finding: Some(finding) }
}

/// Where people sign in (contract aws 3.4).
fn portal(instance: &Instance) -> String {
    let store = &instance.identity_store_id;
    match instance.arn.split(':').nth(1) {
        Some("aws-us-gov") => format!("https://start.us-gov-home.awsapps.com/directory/{store}"),
        Some("aws-cn") => format!("https://start.home.awsapps.cn/directory/{store}"),
        _ => format!("https://{store}.awsapps.com/start"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::federation;
    use super::*;

    fn instance(arn: &str, owner: &str) -> Instance {
        Instance {
            arn: arn.into(),
            identity_store_id: "d-1234567890".into(),
            owner_account_id: Some(owner.into()),
            primary_region: Some("eu-west-1".into()),
            state: InstanceState::Active,
            state_reason: None,
            permission_sets_enabled: true,
        }
    }

    fn seen(listed: Vec<Instance>) -> Seen {
        let management = Some("111122223333".to_owned());
        let chosen = choose(&listed, management.as_deref()).cloned();
        Seen { listed, chosen, management }
    }

    fn verdict(seen: Seen) -> (Option<Reason>, Option<bool>) {
        let report = judge(&federation(), seen, None);
        (report.finding.map(|f| f.reason), report.absent)
    }

    #[test]
    fn the_instance_is_chosen_or_a_person_is_asked() {
        let ours = || instance("arn:aws:sso:::instance/ssoins-1111111111111111", "111122223333");
        let other = || instance("arn:aws:sso:::instance/ssoins-2222222222222222", "444455556666");
        let table = [
            (seen(vec![]), Some(Reason::AwaitingHandoff), Some(true)),
            (seen(vec![ours()]), None, Some(false)),
            (seen(vec![other()]), None, Some(false)),
            (seen(vec![ours(), other()]), None, Some(false)),
            (seen(vec![other(), other()]), Some(Reason::InstanceAmbiguous), Some(false)),
            (
                seen(vec![Instance { permission_sets_enabled: false, ..other() }]),
                Some(Reason::PermissionSetsDisabled),
                Some(false),
            ),
            (
                seen(vec![Instance { state: InstanceState::Creating, ..ours() }]),
                Some(Reason::Progressing),
                Some(false),
            ),
            (
                seen(vec![Instance { state: InstanceState::Failed, ..ours() }]),
                Some(Reason::InstanceNotFound),
                Some(false),
            ),
            (
                seen(vec![Instance { primary_region: Some("us-east-1".into()), ..ours() }]),
                Some(Reason::InvalidSpec),
                Some(false),
            ),
        ];
        for (seen, reason, absent) in table {
            assert_eq!(verdict(seen.clone()), (reason, absent), "{seen:?}");
        }
    }

    #[test]
    fn a_recorded_instance_is_not_forgotten_over_an_empty_list() {
        let recorded = judge(
            &federation(),
            seen(vec![instance("arn:aws:sso:::instance/ssoins-1111111111111111", "111122223333")]),
            None,
        )
        .status;
        assert_eq!(
            recorded.as_ref().unwrap().access_portal_url.as_deref(),
            Some("https://d-1234567890.awsapps.com/start")
        );
        let report = judge(&federation(), seen(vec![]), recorded.clone());
        assert_eq!((report.status, report.absent), (recorded, Some(false)));
        assert_eq!(report.finding.unwrap().reason, Reason::InstanceNotFound);
    }
}
