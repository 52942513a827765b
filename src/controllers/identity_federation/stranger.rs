//! Whether AWS's metadata is of another instance than the federation's: pure. With a stranger's identifiers nobody
//! could sign in, or people could sign in somewhere else.

use crate::api::v1alpha1::AwsStatus;
use crate::clients::saml::ServiceProviderMetadata;

/// Why the metadata is not of this federation's instance; none when it is, or when its addresses do not show whose it
/// is (contract aws 3.4). `region` is what the spec says, `known` what AWS showed.
pub fn told(read: &ServiceProviderMetadata, region: &str, known: Option<&AwsStatus>) -> Option<String> {
    let origin = read.origin();
    let primary = known.and_then(|aws| aws.primary_region.as_deref());
    let expected = primary.unwrap_or(region);
    let other = match &origin.entity_region {
        Some(entity) if entity != expected => Some((entity.clone(), format!("entityID {}", read.entity_id))),
        // An instance has a reply URL in each of its Regions, the primary one among them.
        _ if !origin.reply_regions.is_empty() && !origin.reply_regions.contains(expected) => {
            let regions: Vec<&str> = origin.reply_regions.iter().map(String::as_str).collect();
            let url = read.acs_urls.first().map(|url| format!("reply URL {url}")).unwrap_or_default();
            Some((regions.join(" and "), url))
        }
        _ => None,
    };
    const AGAIN: &str = "download the file of this federation's instance and put it there instead (see \
                         status.handoff for link and command)";
    if let Some((found, shown)) = other {
        return Some(match (primary, known) {
            (Some(primary), Some(aws)) => format!(
                "the metadata is of an instance in {found} ({shown}), but this federation's instance {} is in \
                 {primary}: {AGAIN}",
                aws.instance_arn
            ),
            _ => format!(
                "the metadata is of an instance in {found} ({shown}), but spec.aws.region is {region}: if Identity \
                 Center is enabled in {found}, correct spec.aws.region; else {AGAIN}"
            ),
        });
    }
    let store = known.map(|aws| aws.identity_store_id.as_str()).filter(|id| id.starts_with("d-"))?;
    let stranger = origin.stores.iter().find(|named| !named.eq_ignore_ascii_case(store))?;
    Some(format!(
        "the metadata is of the instance with the identity store {stranger} (entityID {}), but this federation's \
         instance {} has the identity store {store}: {AGAIN}",
        read.entity_id,
        known.map(|aws| aws.instance_arn.as_str()).unwrap_or_default()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: &str = "https://eu-west-1.signin.aws.amazon.com/platform/saml/d-1234567890";
    const ACS: &str = "https://eu-west-1.signin.aws/platform/saml/acs/t";

    fn metadata(entity_id: &str, acs_urls: &[&str]) -> ServiceProviderMetadata {
        let acs_urls = acs_urls.iter().map(|url| (*url).to_owned()).collect();
        ServiceProviderMetadata { entity_id: entity_id.to_owned(), acs_urls }
    }

    fn instance(region: &str, store: &str) -> AwsStatus {
        AwsStatus {
            instance_arn: "arn:aws:sso:::instance/ssoins-1111111111111111".into(),
            identity_store_id: store.into(),
            primary_region: Some(region.into()),
            ..AwsStatus::default()
        }
    }

    #[test]
    fn metadata_of_another_instance_or_region_is_refused_with_both_values() {
        let us = "https://us-east-1.signin.aws/platform/saml/acs/t";
        let other = "https://eu-west-1.signin.aws.amazon.com/platform/saml/d-9999999999";
        let ours = || Some(instance("eu-west-1", "d-1234567890"));
        let new = "https://sso.signin.aws/platform/saml/what-newer-instances-use";
        type Row<'a> = (ServiceProviderMetadata, Option<AwsStatus>, &'a [&'a str]);
        let table: Vec<Row<'_>> = vec![
            (metadata(HERE, &[ACS]), ours(), &[]),
            (metadata(HERE, &[ACS]), None, &[]),
            // A replica's URL beside the primary one's.
            (metadata(HERE, &[us, ACS]), ours(), &[]),
            (
                metadata(HERE, &[us]),
                ours(),
                &["in us-east-1 (reply URL", "is in eu-west-1", "status.handoff"],
            ),
            (
                metadata(HERE, &[us]),
                None,
                &["in us-east-1", "spec.aws.region is eu-west-1", "correct spec.aws.region"],
            ),
            (metadata(other, &[ACS]), None, &[]),
            (
                metadata(other, &[ACS]),
                ours(),
                &["d-9999999999", "has the identity store d-1234567890", "status.handoff"],
            ),
            (
                metadata(HERE, &[ACS]),
                Some(instance("us-east-1", "d-1234567890")),
                &["in eu-west-1 (entityID", "ssoins-1111111111111111 is in us-east-1"],
            ),
            // What newer instances use is not known, and of an old store the id may look like a tenant's.
            (metadata(new, &["https://sso.signin.aws/somewhere"]), ours(), &[]),
            (
                metadata(HERE, &[ACS]),
                Some(instance("eu-west-1", "11111111-2222-3333-4444-555555555555")),
                &[],
            ),
        ];
        for (read, known, words) in table {
            let told = told(&read, "eu-west-1", known.as_ref());
            assert_eq!(told.is_some(), !words.is_empty(), "{read:?} {told:?}");
            for words in words {
                assert!(told.as_ref().unwrap().contains(words), "{words}: {told:?}");
            }
        }
    }
}
