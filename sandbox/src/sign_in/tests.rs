use jiff::{SignedDuration, Timestamp};
use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256};

use super::response::{Claims, Signer, build};
use super::verify::{Trust, judge};

const ISSUER: &str = "https://sts.windows.net/11111111-2222-3333-4444-555555555555/";
const ENTITY: &str = "https://eu-west-1.signin.aws.amazon.com/platform/saml/d-1234567890";
const ACS: &str = "https://eu-west-1.signin.aws/platform/saml/acs/0a1b";
const EMAIL: &str = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress";

struct Idp {
    key: Vec<u8>,
    certificate: Vec<u8>,
}

impl Idp {
    fn new() -> Self {
        let key = KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap();
        let certificate = CertificateParams::default().self_signed(&key).unwrap().der().to_vec();
        Self { key: key.serialize_der(), certificate }
    }

    fn respond(&self, claims: &Claims<'_>, now: Timestamp) -> String {
        build(
            claims,
            &Signer { private_key_der: &self.key, certificate_der: &self.certificate },
            ["r1", "a1"],
            now,
        )
        .unwrap()
    }
}

fn claims() -> Claims<'static> {
    Claims {
        issuer: ISSUER,
        audience: ENTITY,
        acs: ACS,
        name_id: "ada@acme.example",
        name_id_format: EMAIL,
        attributes: &[],
    }
}

fn at() -> Timestamp {
    "2026-05-04T10:00:00Z".parse().unwrap()
}

/// AWS's verdict when it trusts `certificates`.
fn verdict(xml: &str, certificates: &[Vec<u8>], now: Timestamp) -> Result<String, String> {
    judge(
        xml,
        &Trust { entity_id: ENTITY, acs_urls: &[ACS.to_owned()], idp_entity_id: ISSUER, certificates },
        now,
    )
}

#[track_caller]
fn refused(verdict: Result<String, String>, because: &str) {
    let reason = verdict.expect_err("must be refused");
    assert!(reason.contains(because), "{reason:?} does not say {because:?}");
}

#[test]
fn a_person_is_admitted_by_any_of_the_imported_certificates() {
    let (idp, other) = (Idp::new(), Idp::new());
    let attributes =
        [("http://schemas.microsoft.com/identity/claims/displayname".to_owned(), vec!["A & <B>".to_owned()])];
    let xml = idp.respond(&Claims { attributes: &attributes, ..claims() }, at());
    assert_eq!(verdict(&xml, &[other.certificate, idp.certificate], at()).unwrap(), "ada@acme.example");
    assert!(xml.contains("A &amp; &lt;B&gt;"));
}

#[test]
fn an_unknown_key_is_refused_even_if_the_response_brings_it_along() {
    let (idp, other) = (Idp::new(), Idp::new());
    let xml = idp.respond(&claims(), at());
    refused(verdict(&xml, &[other.certificate], at()), "none of the 1 imported");
    refused(verdict(&xml, &[], at()), "no certificate");
}

#[test]
fn what_the_assertion_says_must_fit() {
    let idp = Idp::new();
    let judged = |claims: Claims<'_>| {
        verdict(&idp.respond(&claims, at()), std::slice::from_ref(&idp.certificate), at())
    };
    refused(judged(Claims { audience: "https://other.example", ..claims() }), "audience");
    refused(judged(Claims { acs: "https://evil.example/acs", ..claims() }), "no ACS URL");
    refused(judged(Claims { issuer: "https://sts.windows.net/other/", ..claims() }), "issuer");
    refused(
        judged(Claims { name_id_format: "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent", ..claims() }),
        "format",
    );
    refused(judged(Claims { name_id: "ada", ..claims() }), "e-mail");
}

#[test]
fn time_is_judged_with_five_minutes_of_grace() {
    let idp = Idp::new();
    let xml = idp.respond(&claims(), at());
    let after = |minutes| {
        verdict(&xml, std::slice::from_ref(&idp.certificate), at() + SignedDuration::from_mins(minutes))
    };
    assert!(after(64).is_ok());
    refused(after(65), "expired");
    assert!(after(-10).is_ok());
    refused(after(-11), "valid from");
}

#[test]
fn nothing_in_the_assertion_can_be_changed() {
    let idp = Idp::new();
    let xml = idp.respond(&claims(), at());
    let trusted = std::slice::from_ref(&idp.certificate);
    let tampered = xml.replace("ada@acme.example", "eve@acme.example");
    refused(verdict(&tampered, trusted, at()), "Reference digest failed");
    // A comment is not signed; it must not cut the name either.
    let commented = xml.replace("ada@acme.example", "ada@acme.<!-- -->example");
    assert_eq!(verdict(&commented, trusted, at()).unwrap(), "ada@acme.example");
    let unsigned = &xml[..xml.find("<ds:Signature").unwrap()];
    let unsigned =
        format!("{unsigned}{}", &xml[xml.find("</ds:Signature>").unwrap() + "</ds:Signature>".len()..]);
    refused(verdict(&unsigned, trusted, at()), "not signed");
    refused(verdict(&xml.replace("rsa-sha256", "rsa-sha1"), trusted, at()), "not accepted");
}

#[test]
fn entities_are_refused() {
    let idp = Idp::new();
    let xml = idp.respond(&claims(), at());
    let entity = r#"<!DOCTYPE r [<!ENTITY who "ada@acme.example">]>"#;
    let xml = format!("{entity}{}", xml.replace("ada@acme.example", "&who;"));
    refused(verdict(&xml, std::slice::from_ref(&idp.certificate), at()), "document type");
}

#[test]
fn a_wrapped_assertion_is_refused() {
    let idp = Idp::new();
    let xml = idp.respond(&claims(), at());
    let trusted = std::slice::from_ref(&idp.certificate);
    let (start, end) =
        (xml.find("<Assertion").unwrap(), xml.find("</Assertion>").unwrap() + "</Assertion>".len());
    let signed = &xml[start..end];
    let forged = signed.replace("_a1", "_a2").replace("ada@acme.example", "eve@acme.example");
    let signature =
        &forged[forged.find("<ds:Signature").unwrap()..forged.find("</ds:Signature>").unwrap() + 15];
    let bare = forged.replace(signature, "");
    let with = |inner: &str| format!("{}{inner}{}", &xml[..start], &xml[end..]);

    refused(verdict(&with(&format!("{bare}{signed}")), trusted, at()), "more than one");
    refused(
        verdict(&with(&format!("<Extensions>{signed}</Extensions>{bare}")), trusted, at()),
        "more than one",
    );
    // The signed one is disguised by another name, and its signature moves into the forged one.
    let own = &signed[signed.find("<ds:Signature").unwrap()..signed.find("</ds:Signature>").unwrap() + 15];
    let disguised = signed.replace("Assertion", "Original").replace(own, "");
    let carrier = bare.replace("<Subject>", &format!("{own}<Subject>"));
    assert!(verdict(&with(&format!("{carrier}{disguised}")), trusted, at()).is_err());
    // Two elements with the signed id.
    refused(verdict(&with(&format!("{signed}<Advice ID=\"_a1\"/>")), trusted, at()), "duplicate ID");
    // The signed assertion itself, but not where AWS reads it.
    refused(verdict(&with(&format!("<Extensions>{signed}</Extensions>")), trusted, at()), "not a child");
}

#[test]
fn a_response_that_failed_at_the_provider_is_refused() {
    let idp = Idp::new();
    let xml = idp.respond(&claims(), at()).replace("status:Success", "status:Responder");
    refused(verdict(&xml, std::slice::from_ref(&idp.certificate), at()), "status");
    refused(verdict("<a/>", &[], at()), "not a SAML 2.0 Response");
    refused(verdict("<a", &[], at()), "well-formed");
}
