//! Whose metadata a service provider's document is, as far as its addresses show it (contract aws 3.4).

use std::collections::BTreeSet;

use url::{Host, Url};

use super::{AWS_SIGN_IN, ServiceProviderMetadata};
use crate::clients::scim::is_region;

/// What the addresses show. Only the forms that the contract confirms are read: what newer instances use, and what
/// the segments of reply URLs mean, is not known, so anything else shows nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The Region in the entity id: the instance's primary one.
    pub entity_region: Option<String>,
    /// The Regions of the reply URLs, which an instance has in each of its Regions; empty when one cannot be read.
    pub reply_regions: BTreeSet<String>,
    /// Identity stores that are named.
    pub stores: BTreeSet<String>,
}

impl ServiceProviderMetadata {
    /// Whose metadata it is.
    #[must_use]
    pub fn origin(&self) -> Origin {
        let entity = Address::read(&self.entity_id, &["platform", "saml"]);
        let replies: Vec<Option<Address>> =
            self.acs_urls.iter().map(|url| Address::read(url, &["platform", "saml", "acs"])).collect();
        let regions: Option<BTreeSet<String>> =
            replies.iter().map(|reply| Some(reply.as_ref()?.region.clone())).collect();
        let all = entity.iter().chain(replies.iter().flatten());
        Origin {
            stores: all.filter_map(|address| address.store.clone()).collect(),
            entity_region: entity.map(|entity| entity.region),
            reply_regions: regions.unwrap_or_default(),
        }
    }
}

/// `https://<region>.<sign-in host>/<folder>/<id>`.
struct Address {
    region: String,
    /// The id, if it is one of an identity store.
    store: Option<String>,
}

impl Address {
    fn read(text: &str, folder: &[&str]) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        let Some(Host::Domain(host)) = url.host() else { return None };
        let rest = AWS_SIGN_IN.iter().find_map(|family| host.strip_suffix(family))?;
        // The dual-stack host has a label more.
        let region = rest.strip_suffix(".sso").unwrap_or(rest);
        let segments: Vec<&str> = url.path_segments()?.collect();
        let (id, before) = segments.split_last()?;
        (is_region(region) && before == folder)
            .then(|| Self { region: region.to_owned(), store: is_store(id).then(|| (*id).to_owned()) })
    }
}

/// `d-` and ten hexadecimal digits (contract aws 1.1). Older stores have a bare UUID, which a tenant's id may be too.
fn is_store(id: &str) -> bool {
    id.strip_prefix("d-").is_some_and(|rest| rest.len() == 10 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origin(entity_id: &str, acs_urls: &[&str]) -> (String, String, String) {
        let acs_urls = acs_urls.iter().map(|url| (*url).to_owned()).collect();
        let origin = ServiceProviderMetadata { entity_id: entity_id.to_owned(), acs_urls }.origin();
        let join = |set: BTreeSet<String>| set.into_iter().collect::<Vec<_>>().join(" ");
        (origin.entity_region.unwrap_or_default(), join(origin.reply_regions), join(origin.stores))
    }

    #[test]
    fn only_confirmed_forms_show_anything() {
        const OLD: &str = "https://eu-west-1.signin.aws.amazon.com/platform/saml/d-1234567890";
        const UUID: &str = "11111111-2222-3333-4444-555555555555";
        let uuid = format!("https://eu-west-1.signin.aws.amazon.com/platform/saml/{UUID}");
        for (entity_id, acs_urls, expected) in [
            (OLD, vec![], ("eu-west-1", "", "d-1234567890")),
            (
                OLD,
                vec![
                    "https://eu-west-1.signin.aws/platform/saml/acs/t",
                    "https://us-east-1.sso.signin.aws/platform/saml/acs/d-0a0b0c0d0e",
                ],
                ("eu-west-1", "eu-west-1 us-east-1", "d-0a0b0c0d0e d-1234567890"),
            ),
            // One that cannot be read may be of any Region.
            (
                OLD,
                vec![
                    "https://eu-west-1.signin.aws/platform/saml/acs/t",
                    "https://eu-west-1.signin.aws/somewhere/else",
                ],
                ("eu-west-1", "", "d-1234567890"),
            ),
            (
                "https://us-gov-west-1.signin.amazonaws-us-gov.com/platform/saml/d-1234567890",
                vec!["https://us-gov-west-1.sso.signin.amazonaws-us-gov.com/platform/saml/acs/t"],
                ("us-gov-west-1", "us-gov-west-1", "d-1234567890"),
            ),
            ("https://cn-north-1.signin.amazonaws.cn/platform/saml/d-x", vec![], ("cn-north-1", "", "")),
            (&uuid, vec![], ("eu-west-1", "", "")),
            ("https://anything.signin.aws/platform/saml/d-1234567890", vec![], ("", "", "")),
            ("https://eu-west-1.fips.signin.aws/platform/saml/d-1234567890", vec![], ("", "", "")),
            ("https://eu-west-1.signin.aws/saml/metadata/d-1234567890", vec![], ("", "", "")),
            ("urn:amazon:something:new", vec![], ("", "", "")),
        ] {
            let (region, replies, stores) = expected;
            let expected = (region.to_owned(), replies.to_owned(), stores.to_owned());
            assert_eq!(origin(entity_id, &acs_urls), expected, "{entity_id} {acs_urls:?}");
        }
    }
}
