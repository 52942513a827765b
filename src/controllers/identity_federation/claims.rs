//! Who else claims the application: two federations that adopt one are a condition on both.

use kube::api::{ApiResource, ListParams, NotUsed, Object};
use kube::{Api, Client, ResourceExt as _};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::finding::{Finding, Part};
use super::observed::uid;
use crate::api::v1alpha1::{Adopt, IdentityFederation};
use crate::controllers::context::Context;
use crate::problem::{Class, Problem};
use crate::settings::Settings;
use crate::status::Reason;

/// As much of a federation as is needed here, so that one that does not fit its schema blocks nothing else.
#[derive(Clone, Debug, Default, Deserialize)]
struct Claiming {
    #[serde(default)]
    entra: ClaimingEntra,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ClaimingEntra {
    tenant_id: String,
    application: ClaimingApplication,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct ClaimingApplication {
    adopt: Option<Adopt>,
}

type Claim = Object<Claiming, NotUsed>;

/// One API for each watched namespace, or one for all.
pub fn watched<K, S>(client: &Client, settings: &Settings, resource: &ApiResource) -> Vec<Api<Object<K, S>>>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
    S: Clone + DeserializeOwned + std::fmt::Debug,
{
    if settings.namespaces.is_empty() {
        return vec![Api::all_with(client.clone(), resource)];
    }
    settings.namespaces.iter().map(|n| Api::namespaced_with(client.clone(), n, resource)).collect()
}

/// What is wrong when the application to adopt is not this federation's alone, or when that cannot be known.
pub async fn contested(object: &IdentityFederation, context: &Context) -> Option<Finding> {
    let adopt = object.spec.entra.application.adopt.as_ref()?;
    let rivals = match list(context).await {
        Ok(others) => rivals(object, adopt, &others),
        Err(problem) => return Some(Finding::of(Part::Application, &problem)),
    };
    (!rivals.is_empty()).then(|| {
        Finding::new(
            Part::Application,
            Class::Blocked,
            Reason::ClaimedTwice,
            format!(
                "IdentityFederation {} adopts application {} too: delete one of them, or correct \
                 spec.entra.application.adopt; nothing is written until then, but what the spec no longer names is \
                 taken away",
                rivals.join(", "),
                adopt.app_id
            ),
        )
    })
}

async fn list(context: &Context) -> Result<Vec<Claim>, Problem> {
    let resource = ApiResource::erase::<IdentityFederation>(&());
    let mut all = Vec::new();
    for api in watched::<Claiming, NotUsed>(&context.kube, &context.settings, &resource) {
        all.extend(api.list(&ListParams::default()).await?);
    }
    Ok(all)
}

/// Pure: the others that adopt the same application of the same tenant, `<namespace>/<name>`, sorted. One that is
/// going lets go; until then the application carries its mark.
fn rivals(object: &IdentityFederation, adopt: &Adopt, others: &[Claim]) -> Vec<String> {
    let own = uid(object);
    let claims = |other: &&Claim| {
        let entra = &other.spec.entra;
        entra.tenant_id.eq_ignore_ascii_case(&object.spec.entra.tenant_id)
            && entra.application.adopt.as_ref().is_some_and(|a| a.app_id.eq_ignore_ascii_case(&adopt.app_id))
    };
    let mut rivals: Vec<String> = others
        .iter()
        .filter(|o| o.metadata.deletion_timestamp.is_none() && o.uid().as_ref() != Some(&own))
        .filter(claims)
        .map(|o| format!("{}/{}", o.namespace().unwrap_or_default(), o.name_any()))
        .collect();
    rivals.sort();
    rivals
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::super::fixtures::federation;
    use super::*;

    const APP: &str = "aaaaaaaa-2222-3333-4444-555555555555";

    fn other(namespace: &str, uid: &str, tenant: &str, adopt: &Value) -> Claim {
        serde_json::from_value(json!({
            "apiVersion": "causeway.dev/v1alpha1", "kind": "IdentityFederation",
            "metadata": {"name": "acme", "namespace": namespace, "uid": uid},
            "spec": {"entra": {"tenantId": tenant, "application": {"adopt": adopt}}, "aws": "broken"}
        }))
        .unwrap()
    }

    #[test]
    fn rivals_adopt_the_same_application_of_the_same_tenant() {
        let object = federation();
        let tenant = object.spec.entra.tenant_id.as_str();
        let same = json!({"appId": APP.to_uppercase()});
        let mut going = other("d", "4", tenant, &same);
        going.metadata.deletion_timestamp = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        let others = [
            other("z", "1", tenant, &same),
            other("b", "2", tenant, &same),
            other("b", &uid(&object), tenant, &same),
            other("c", "3", "99999999-2222-3333-4444-555555555555", &same),
            other("c", "5", tenant, &json!({"appId": "bbbbbbbb-2222-3333-4444-555555555555"})),
            other("c", "6", tenant, &Value::Null),
            going,
            serde_json::from_value(json!({"metadata": {"name": "x"}, "spec": {"entra": {}}})).unwrap(),
        ];
        assert_eq!(rivals(&object, &Adopt { app_id: APP.into() }, &others), ["b/acme", "z/acme"]);
    }
}
