use proptest::prelude::*;

use super::*;

const SP: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="https://eu-west-1.signin.aws.amazon.com/platform/saml/d-1234567890">
  <md:SPSSODescriptor WantAssertionsSigned="true" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
    <md:NameIDFormat>urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress</md:NameIDFormat>
    <md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Artifact" Location="https://evil.example/artifact" index="9"/>
    <md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://eu-west-1.sso.signin.aws/platform/saml/acs/t-1" index="1" isDefault="false"/>
    <md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://eu-west-1.signin.aws/platform/saml/acs/t-1" index="2" isDefault="true"/>
    <md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://eu-west-1.signin.aws.amazon.com/platform/saml/acs/t-1" index="0"/>
  </md:SPSSODescriptor>
</md:EntityDescriptor>
"#;

fn certificate(seed: u8) -> Vec<u8> {
    let mut der = vec![0x30, 0x82, 0x01, 0x00];
    der.extend([seed; 256]);
    der
}

fn idp(keys: &str) -> String {
    format!(
        r#"<?xml version="1.0" encoding="utf-8"?><EntityDescriptor ID="_1" entityID="https://sts.windows.net/t/" xmlns="urn:oasis:names:tc:SAML:2.0:metadata">
        <Signature xmlns="http://www.w3.org/2000/09/xmldsig#"><KeyInfo><X509Data><X509Certificate>AAAA</X509Certificate></X509Data></KeyInfo></Signature>
        <RoleDescriptor xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:fed="http://docs.oasis-open.org/wsfed/federation/200706" xsi:type="fed:SecurityTokenServiceType">
          <KeyDescriptor use="signing"><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>AAAA</X509Certificate></X509Data></KeyInfo></KeyDescriptor></RoleDescriptor>
        <IDPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">{keys}
          <SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://login.microsoftonline.com/t/out"/>
          <SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="https://login.microsoftonline.com/t/saml2"/>
          <SingleSignOnService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="https://login.microsoftonline.com/t/saml2"/>
        </IDPSSODescriptor></EntityDescriptor>"#
    )
}

fn key(usage: &str, base64: &str) -> String {
    format!(
        r#"<KeyDescriptor {usage}><KeyInfo xmlns="http://www.w3.org/2000/09/xmldsig#"><X509Data><X509Certificate>{base64}</X509Certificate></X509Data></KeyInfo></KeyDescriptor>"#
    )
}

#[test]
fn the_service_provider_is_read_with_the_default_reply_url_first() {
    let metadata = ServiceProviderMetadata::parse(SP).unwrap();
    assert_eq!(metadata.entity_id, "https://eu-west-1.signin.aws.amazon.com/platform/saml/d-1234567890");
    assert_eq!(
        metadata.acs_urls,
        [
            "https://eu-west-1.signin.aws/platform/saml/acs/t-1",
            "https://eu-west-1.signin.aws.amazon.com/platform/saml/acs/t-1",
            "https://eu-west-1.sso.signin.aws/platform/saml/acs/t-1",
        ]
    );
    let with_mark = format!("\u{feff}\n{SP}");
    assert_eq!(
        ServiceProviderMetadata::parse(&with_mark).unwrap(),
        metadata,
        "files from Windows begin with a mark"
    );
}

#[test]
fn only_sign_in_hosts_of_aws_are_accepted() {
    let with = |acs: &str| {
        let xml = SP.replace("https://eu-west-1.signin.aws/platform/saml/acs/t-1", acs);
        ServiceProviderMetadata::parse(&xml)
    };
    for acs in [
        "https://us-gov-west-1.signin.amazonaws-us-gov.com/platform/saml/acs/t",
        "https://us-gov-west-1.sso.signin.amazonaws-us-gov.com/platform/saml/acs/t",
        "https://cn-north-1.signin.amazonaws.cn/platform/saml/acs/t",
        "https://ap-south-1.sso.signin.aws/platform/saml/acs/t",
    ] {
        assert!(with(acs).is_ok(), "{acs}");
    }
    for acs in [
        "https://evil.example/platform/saml/acs/t",
        "https://eu-west-1.signin.aws.evil.example/acs",
        "https://evilsignin.aws/acs",
        "https://eu-west-1.signin.aws@evil.example/acs",
        "https://user@eu-west-1.signin.aws/acs",
        "https://eu-west-1.signin.aws:8443/acs",
        "http://eu-west-1.signin.aws/acs",
        "https://evil.example\\.signin.aws/acs",
        "https://signin.aws/acs",
        "https://.signin.aws/acs",
        "https://eu-west-1.signin.aws./acs",
        "https://EVIL.example/acs",
        "https://127.0.0.1/acs",
        "//eu-west-1.signin.aws/acs",
        "javascript:alert(1)",
    ] {
        assert!(
            matches!(with(acs), Err(MetadataError::Foreign { what: "reply URL", .. })),
            "{acs}: {:?}",
            with(acs)
        );
    }
    let xml = SP.replace(
        "https://eu-west-1.signin.aws.amazon.com/platform/saml/d-1234567890",
        "https://evil.example/x",
    );
    assert!(matches!(
        ServiceProviderMetadata::parse(&xml),
        Err(MetadataError::Foreign { what: "entity id", .. })
    ));
}

#[test]
fn the_identity_provider_is_read_from_its_own_role_only() {
    let (first, second, other) = (certificate(1), certificate(2), certificate(3));
    let mut wrapped = STANDARD.encode(&second);
    wrapped.insert_str(64, "\r\n    ");
    let keys = [
        key(r#"use="signing""#, &STANDARD.encode(&first)),
        key("", &wrapped),
        key(r#"use="encryption""#, &STANDARD.encode(other)),
        key(r#"use="signing""#, &STANDARD.encode(&first)),
    ];
    let metadata = IdentityProviderMetadata::parse(&idp(&keys.concat())).unwrap();
    assert_eq!(metadata.entity_id, "https://sts.windows.net/t/");
    assert_eq!(metadata.certificates, [first, second]);
    assert_eq!(metadata.sso_urls, ["https://login.microsoftonline.com/t/saml2"]);
}

#[test]
fn the_other_partys_metadata_is_recognised() {
    let idp = idp(&key("", &STANDARD.encode(certificate(1))));
    let error = ServiceProviderMetadata::parse(&idp).unwrap_err();
    assert!(error.to_string().starts_with("this is the identity provider's metadata"), "{error}");
    let error = IdentityProviderMetadata::parse(SP).unwrap_err();
    assert!(error.to_string().starts_with("this is the service provider's metadata"), "{error}");
}

#[test]
fn what_is_no_metadata_is_told_apart() {
    let parse = |xml: &str| ServiceProviderMetadata::parse(xml).unwrap_err();
    assert_eq!(parse(" \n"), MetadataError::Empty);
    assert_eq!(parse("<html><body/></html>"), MetadataError::NotMetadata { root: "html".into() });
    assert!(matches!(parse("{\"json\": true}"), MetadataError::NotXml { .. }));
    assert!(matches!(parse("<a></b>"), MetadataError::NotXml { .. }));
    assert!(matches!(parse("<x:a/>"), MetadataError::NotXml { .. }), "a prefix that nobody declared");
    assert!(matches!(parse("<a b='1' b='2'/>"), MetadataError::NotXml { .. }));
    assert!(matches!(parse("<a/><a/>"), MetadataError::NotXml { .. }));
    assert_eq!(parse("<?xml version='1.0' encoding='utf-16'?><a/>"), MetadataError::Encoding);
    let other_namespace = SP.replace("SAML:2.0:metadata", "SAML:1.0:metadata");
    assert_eq!(parse(&other_namespace), MetadataError::NotMetadata { root: "EntityDescriptor".into() });
    assert!(matches!(parse(&SP.replace("HTTP-POST", "HTTP-PAST")), MetadataError::Missing(_)));
    assert_eq!(parse(&SP.replace("entityID", "entityId")), MetadataError::Missing("entityID"));
    let bad = idp(&key("", "AAAA"));
    assert_eq!(IdentityProviderMetadata::parse(&bad), Err(MetadataError::Certificate));
    assert_eq!(IdentityProviderMetadata::parse(&idp("")), Err(MetadataError::Missing("signing certificate")));
}

#[test]
fn attacks_on_the_parser_are_refused() {
    let bomb = format!(
        "<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;'>]>{}",
        SP.replace("<md:NameIDFormat>", "<md:NameIDFormat>&b;")
    );
    assert_eq!(ServiceProviderMetadata::parse(&bomb), Err(MetadataError::DocumentType));
    let external = "<!DOCTYPE x SYSTEM 'file:///etc/passwd'><x/>";
    assert_eq!(ServiceProviderMetadata::parse(external), Err(MetadataError::DocumentType));
    let entity = SP.replace("<md:NameIDFormat>", "<md:NameIDFormat>&b;");
    assert_eq!(ServiceProviderMetadata::parse(&entity), Err(MetadataError::Entity));
    let in_attribute = SP.replace("d-1234567890", "&b;");
    assert_eq!(ServiceProviderMetadata::parse(&in_attribute), Err(MetadataError::Entity));
    let huge = format!("{SP}{}", " ".repeat(MAX_SERVICE_PROVIDER));
    assert!(matches!(ServiceProviderMetadata::parse(&huge), Err(MetadataError::TooLong { .. })));
    let deep = "<a>".repeat(1000);
    assert_eq!(ServiceProviderMetadata::parse(&deep), Err(MetadataError::TooComplex));
    let wide = format!("<a>{}</a>", "<b/>".repeat(25_000));
    assert_eq!(ServiceProviderMetadata::parse(&wide), Err(MetadataError::TooComplex));
    let attributes: String = (0..5000).map(|n| format!(" a{n}='1'")).collect();
    assert_eq!(ServiceProviderMetadata::parse(&format!("<a{attributes}/>")), Err(MetadataError::TooComplex));
}

#[test]
fn predefined_entities_and_cdata_are_text() {
    let xml = SP.replace("acs/t-1\" index=\"2\"", "acs/t-1?a=1&amp;b=&#50;\" index=\"2\"");
    let metadata = ServiceProviderMetadata::parse(&xml).unwrap();
    assert_eq!(metadata.acs_urls[0], "https://eu-west-1.signin.aws/platform/saml/acs/t-1?a=1&b=2");
    let base64 = STANDARD.encode(certificate(1));
    let split = format!("<![CDATA[{}]]>&#10;{}", &base64[..40], &base64[40..]);
    assert!(IdentityProviderMetadata::parse(&idp(&key("", &split))).is_ok());
}

#[test]
fn thumbprints_are_as_the_portal_and_the_console_show_them() {
    assert_eq!(sha1_thumbprint(b"abc"), "A9993E364706816ABA3E25717850C26C9CD0D89D");
    assert_eq!(sha256_thumbprint(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

proptest! {
    #[test]
    fn a_truncated_document_is_never_accepted(cut in 1..SP.trim().len()) {
        let error = ServiceProviderMetadata::parse(&SP[..cut]).unwrap_err();
        prop_assert!(matches!(error, MetadataError::CutOff | MetadataError::NotXml { .. } | MetadataError::Empty), "{error:?}");
    }

    #[test]
    fn fuzz_any_text_is_answered(text in ".{0,300}") {
        let _ = ServiceProviderMetadata::parse(&text);
        let _ = IdentityProviderMetadata::parse(&text);
    }

    #[test]
    fn fuzz_edited_documents_never_lead_away_from_aws(edits in edits()) {
        let text = edited(SP, &edits);
        if let Ok(read) = ServiceProviderMetadata::parse(&text) {
            prop_assert!(!read.acs_urls.is_empty() && read.acs_urls.len() <= MAX_ENTRIES);
            for url in read.acs_urls.iter().chain([&read.entity_id]) {
                let parsed = Url::parse(url).unwrap();
                let host = parsed.host_str().unwrap();
                prop_assert!(parsed.scheme() == "https" && parsed.port().is_none(), "{url}");
                prop_assert!(AWS_SIGN_IN.iter().any(|suffix| host.ends_with(suffix)), "{url}");
            }
        }
    }

    /// Blown up and wrapped into others of its kind, it is refused, or leads to AWS all the same; in any case soon.
    #[test]
    fn fuzz_huge_and_wrapped_documents_are_answered(
        bait in proptest::sample::select(vec!["<!-- -->", "<a>", "<b/>", "&amp;", "&#65;", " x='1'", "<?pi?>", "<![CDATA[x]]>", "<md:EntityDescriptor xmlns:md='urn:oasis:names:tc:SAML:2.0:metadata' entityID='https://evil.example'>"]),
        at in 0usize..2000, times in 0usize..4000, wrapped in 0usize..3, edits in edits(),
    ) {
        let body = edited(SP, &edits).replace("<?xml version=\"1.0\" encoding=\"UTF-8\"?>", "");
        let mut text = match wrapped {
            0 => body,
            1 => format!("<md:EntitiesDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\">{body}{body}</md:EntitiesDescriptor>"),
            _ => format!("<md:EntityDescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\" entityID=\"https://evil.example\">{body}</md:EntityDescriptor>"),
        };
        let mut at = at % (text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        text.insert_str(at, &bait.repeat(times));
        let begun = std::time::Instant::now();
        if let Ok(read) = ServiceProviderMetadata::parse(&text) {
            for url in read.acs_urls.iter().chain([&read.entity_id]) {
                let parsed = Url::parse(url).unwrap();
                let host = parsed.host_str().unwrap();
                prop_assert!(AWS_SIGN_IN.iter().any(|suffix| host.ends_with(suffix)), "{url}");
            }
        }
        let _ = IdentityProviderMetadata::parse(&text);
        prop_assert!(begun.elapsed() < std::time::Duration::from_secs(60), "{} bytes", text.len());
    }

    #[test]
    fn fuzz_edited_identity_provider_documents_are_answered(edits in edits()) {
        let document = idp(&key(r#"use="signing""#, &STANDARD.encode(certificate(1))));
        if let Ok(read) = IdentityProviderMetadata::parse(&edited(&document, &edits)) {
            prop_assert!((1..=MAX_ENTRIES).contains(&read.certificates.len()));
            prop_assert!(!read.sso_urls.is_empty());
        }
    }
}

/// What somebody might do to a document: take a part away, write one twice, or put something in.
type Edit = (usize, usize, Option<&'static str>);

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let bait = proptest::sample::select(vec![
        "<!DOCTYPE x [<!ENTITY e \"boom\">]>",
        "&e;",
        "&#x0;",
        "&#60;",
        "<![CDATA[https://evil.example]]>",
        "<!-- -->",
        "<?pi?>",
        "\u{0}",
        "\u{202e}",
        "\" x=\"",
        "https://evil.example",
        "@evil.example",
        "#",
        "%2eevil.example",
        "<md:SPSSODescriptor xmlns:md=\"urn:oasis:names:tc:SAML:2.0:metadata\">",
        "</md:EntityDescriptor>",
        "xmlns:md=\"urn:other\" ",
    ]);
    proptest::collection::vec((0usize..4000, 0usize..200, proptest::option::weighted(0.7, bait)), 1..6)
}

fn edited(document: &str, edits: &[Edit]) -> String {
    let mut text = document.to_owned();
    for (at, length, what) in edits {
        let boundary = |mut i: usize| {
            i = i.min(text.len());
            while !text.is_char_boundary(i) {
                i -= 1;
            }
            i
        };
        let (from, to) = (boundary(at % (text.len() + 1)), boundary(at % (text.len() + 1) + length));
        match what {
            Some(bait) => text.insert_str(from, bait),
            None if length % 2 == 0 => text.replace_range(from..to, ""),
            None => {
                let part = text[from..to].to_owned();
                text.insert_str(to, &part);
            }
        }
    }
    text
}
