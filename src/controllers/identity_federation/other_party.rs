//! The side that another party looks after: nothing is called there. Of its documents, what was sent is read here.

use std::collections::BTreeSet;

use super::desired;
use super::entra::{EntraReport, is_wanting};
use super::exchange::Document;
use super::finding::{Finding, Part};
use super::instance::AwsReport;
use super::metadata;
use crate::api::PublishedMetadata;
use crate::api::v1alpha1::IdentityFederation;
use crate::clients::saml::{IdentityProviderMetadata, sha256_thumbprint};
use crate::controllers::context::Context;
use crate::problem::Class;
use crate::status::Reason;

/// AWS is another party's: nothing is known of an instance, and none is missed.
pub fn aws() -> AwsReport {
    AwsReport { status: None, finding: None, absent: Some(false) }
}

/// Entra is another party's: both documents are read, and a person says what AWS has imported.
pub async fn entra(object: &IdentityFederation, context: &Context) -> EntraReport {
    let mut report = EntraReport { reached: true, ..EntraReport::default() };
    report.facts.next = Some(None);
    match metadata::service_provider(object, context).await {
        Ok((read, sha256)) => {
            report.facts.no_metadata = Some(false);
            report.documents.service_provider = Some(Some(Document::service_provider(&read, sha256)));
        }
        Err(finding) => {
            report.facts.no_metadata = is_wanting(&finding).then_some(true);
            report.documents.service_provider = is_wanting(&finding).then_some(None);
            report.findings.push(finding);
        }
    }
    let Some(external) = &object.spec.entra.external else { return report };
    let from = &external.federation_metadata.config_map_key_ref;
    match metadata::identity_provider(object, context, from).await {
        Ok((read, sha256)) => {
            let config_map_key_ref = from.clone();
            report.published = Some(PublishedMetadata { config_map_key_ref, sha256: sha256.clone() });
            report.facts.no_idp_metadata = Some(false);
            report.documents.identity_provider = Some(Some(Document::identity_provider(&read, sha256)));
            let tenant = external.tenant_id.as_deref();
            judge(&read, tenant, &desired::acknowledged(object), &mut report);
        }
        Err(finding) => {
            report.facts.no_idp_metadata = is_wanting(&finding).then_some(true);
            report.documents.identity_provider = is_wanting(&finding).then_some(None);
            report.facts.unacknowledged = is_wanting(&finding).then_some(None);
            report.findings.push(finding);
            report.findings.push(Finding::resting(
                Part::Trust,
                Reason::Progressing,
                "waits for the federation metadata of the other party",
            ));
        }
    }
    report
}

/// Pure: what is wrong with the other party's document. The entity id is `https://sts.windows.net/<tenant>/`, perhaps
/// with the application's id behind it (contract Graph 2.3).
fn objection(read: &IdentityProviderMetadata, tenant: Option<&str>) -> Option<String> {
    let plain = |url: &String| url::Url::parse(url).is_ok_and(|u| u.scheme() == "https");
    if let Some(odd) = read.sso_urls.iter().find(|url| !plain(url)) {
        return Some(format!(
            "the federation metadata of the other party has a sign-on address that is not https: {odd}"
        ));
    }
    let wanted = tenant?;
    let is_theirs = url::Url::parse(&read.entity_id).is_ok_and(|id| {
        let tenant = id.path_segments().and_then(|mut parts| parts.next());
        id.scheme() == "https" && tenant.is_some_and(|part| part.eq_ignore_ascii_case(wanted))
    });
    (!is_theirs).then(|| {
        format!(
            "the federation metadata is of identity provider {}, not of tenant {wanted} (spec.entra.external.tenantId): ask the other party for the file of that tenant, or correct the id after asking them by another way",
            read.entity_id
        )
    })
}

/// Pure: what follows from the other party's document.
fn judge(
    read: &IdentityProviderMetadata,
    tenant: Option<&str>,
    acknowledged: &BTreeSet<String>,
    report: &mut EntraReport,
) {
    if let Some(objection) = objection(read, tenant) {
        let finding = Finding::new(Part::Saml, Class::Blocked, Reason::MetadataInvalid, objection);
        report.findings.push(finding);
        report.facts.unacknowledged = Some(None);
        report.findings.push(Finding::resting(Part::Trust, Reason::Progressing, "waits for SamlConfigured"));
        return;
    }
    report.good.push((
        Part::Saml,
        format!(
            "both metadata documents are here; people come from identity provider {} (see status.exchange)",
            read.entity_id
        ),
    ));
    let certificates: BTreeSet<String> = read.certificates.iter().map(|der| sha256_thumbprint(der)).collect();
    let all = certificates.iter().cloned().collect::<Vec<_>>();
    let open: Vec<&str> = all.iter().filter(|c| !acknowledged.contains(*c)).map(String::as_str).collect();
    if open.is_empty() {
        report.facts.unacknowledged = Some(None);
        let message = format!("a person said that AWS has certificate {}", all.join(" and "));
        report.good.push((Part::Trust, message));
        return;
    }
    // The annotation is overwritten as a whole, so the step names all of them.
    report.facts.unacknowledged = Some(Some(all.join(",")));
    report.findings.push(Finding::resting(
        Part::Trust,
        Reason::AwaitingHandoff,
        format!(
            "import the other party's metadata in AWS and acknowledge certificate {} (see status.handoff)",
            open.join(" and ")
        ),
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(certificates: &[&[u8]], sso_url: &str) -> IdentityProviderMetadata {
        IdentityProviderMetadata {
            entity_id: "https://sts.windows.net/t/".into(),
            certificates: certificates.iter().map(|c| c.to_vec()).collect(),
            sso_urls: vec![sso_url.into()],
        }
    }

    fn judged(read: &IdentityProviderMetadata, acknowledged: &[String]) -> EntraReport {
        let mut report = EntraReport::default();
        judge(read, None, &acknowledged.iter().cloned().collect(), &mut report);
        report
    }

    #[test]
    fn every_certificate_of_the_document_is_to_be_imported() {
        const HERE: &str = "https://login.microsoftonline.com/t/saml2";
        let (one, two) = (sha256_thumbprint(b"one"), sha256_thumbprint(b"two"));
        let report = judged(&read(&[b"one", b"two"], HERE), std::slice::from_ref(&one));
        let mut both = [one.clone(), two.clone()];
        both.sort();
        assert_eq!(report.facts.unacknowledged, Some(Some(both.join(","))));
        let finding = &report.findings[0];
        assert_eq!((finding.part, finding.reason), (Part::Trust, Reason::AwaitingHandoff));
        assert!(finding.message.contains(&two) && !finding.message.contains(&one), "{}", finding.message);
        let settled = judged(&read(&[b"one", b"two"], HERE), &[one, two]);
        assert_eq!((settled.facts.unacknowledged, settled.findings), (Some(None), vec![]));
        assert_eq!(settled.good.len(), 2);
    }

    #[test]
    fn nobody_is_asked_to_import_another_tenants_document() {
        const TENANT: &str = "11111111-2222-3333-4444-555555555555";
        let of = |entity_id: &str| IdentityProviderMetadata {
            entity_id: entity_id.into(),
            ..read(&[b"one"], "https://login.microsoftonline.com/t/saml2")
        };
        for (entity_id, is_theirs) in [
            ("https://sts.windows.net/11111111-2222-3333-4444-555555555555/", true),
            ("https://sts.windows.net/11111111-2222-3333-4444-555555555555/app", true),
            ("https://sts.windows.net/99999999-2222-3333-4444-555555555555/", false),
            ("https://sts.windows.net/x11111111-2222-3333-4444-555555555555/", false),
            (
                "https://sts.windows.net/99999999-2222-3333-4444-555555555555/11111111-2222-3333-4444-555555555555",
                false,
            ),
            ("https://11111111-2222-3333-4444-555555555555/", false),
            ("http://sts.windows.net/11111111-2222-3333-4444-555555555555/", false),
            ("urn:acme", false),
        ] {
            let document = of(entity_id);
            assert_eq!(objection(&document, Some(TENANT)).is_none(), is_theirs, "{entity_id}");
            assert_eq!(objection(&document, None), None);
        }
        let mut report = EntraReport::default();
        judge(&of("urn:acme"), Some(TENANT), &BTreeSet::new(), &mut report);
        assert_eq!(report.facts.unacknowledged, Some(None), "no step");
        let finding = &report.findings[0];
        assert_eq!((finding.part, finding.reason), (Part::Saml, Reason::MetadataInvalid));
        assert!(finding.message.contains("urn:acme") && finding.message.contains(TENANT));
    }

    #[test]
    fn nobody_is_asked_to_import_a_document_with_an_open_address() {
        let report = judged(&read(&[b"one"], "http://login.example/saml2"), &[]);
        assert_eq!(report.facts.unacknowledged, Some(None));
        assert_eq!(report.findings[0].reason, Reason::MetadataInvalid);
    }
}
