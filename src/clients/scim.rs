//! The SCIM endpoint of IAM Identity Center: where the token may go. Entra talks to it, Causeway does not.

use std::collections::BTreeSet;

use url::{Host, Url};

/// The domains below which AWS offers SCIM (contract aws 3.4).
const AWS: [&str; 2] = [".amazonaws.com", ".api.aws"];

/// An endpoint that may receive a SCIM token (design rule 5): https on `scim.<region>.amazonaws.com` or
/// `scim.<region>.api.aws`, or on one of `hosts` (`host`, or `host:port` when the port is not 443).
///
/// Pass on the URL that comes back, never the text: another parser may read another host in it.
///
/// # Errors
/// What is wrong with it, as part of a sentence; never the endpoint itself, which holds a tenant's id.
pub fn scim_endpoint(endpoint: &str, hosts: &BTreeSet<String>) -> Result<Url, String> {
    let endpoint = endpoint.trim();
    if endpoint.chars().any(|c| c == '\\' || !c.is_ascii_graphic()) {
        return Err("it holds a backslash, white space, or a character that is not ASCII".to_owned());
    }
    let url = Url::parse(endpoint).map_err(|error| format!("it is no URL: {error}"))?;
    if url.scheme() != "https" {
        return Err("it does not begin with https://".to_owned());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it holds a user name or a password".to_owned());
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("it has a query or a fragment".to_owned());
    }
    let host = url.host_str().unwrap_or_default();
    if hosts.contains(url.authority()) || (url.port().is_none() && is_aws(&url)) {
        return Ok(url);
    }
    Err(format!(
        "{host} is no SCIM host of AWS (scim.<region>.amazonaws.com or scim.<region>.api.aws) and not in the operator's setting --scim-hosts"
    ))
}

/// Anchored at both ends, with exactly one label for the Region. That label must look like one: a bucket named `scim`
/// answers as `scim.s3.amazonaws.com`, and anybody may own it.
fn is_aws(url: &Url) -> bool {
    let Some(Host::Domain(host)) = url.host() else { return false };
    let Some(rest) = host.strip_prefix("scim.") else { return false };
    AWS.iter().filter_map(|domain| rest.strip_suffix(domain)).any(is_region)
}

/// `eu-west-1`, `us-gov-east-1`: words of letters, then a number.
pub(super) fn is_region(label: &str) -> bool {
    let Some((words, number)) = label.rsplit_once('-') else { return false };
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
    let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    is_number && words.contains('-') && words.split('-').all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scim_hosts_may_receive_the_token() {
        let hosts = BTreeSet::from(["127.0.0.1:8443".to_owned(), "scim.internal".to_owned()]);
        for good in [
            "https://scim.eu-west-1.amazonaws.com/abc/scim/v2/",
            "https://scim.eu-west-1.amazonaws.com:443/abc/scim/v2",
            "https://scim.us-gov-west-1.api.aws/abc/scim/v2",
            "https://SCIM.eu-west-1.AMAZONAWS.com/abc/scim/v2",
            " https://scim.eu-west-1.amazonaws.com/abc/scim/v2\n",
            "https://127.0.0.1:8443/abc/scim/v2",
            "https://scim.internal/scim",
        ] {
            assert!(scim_endpoint(good, &hosts).is_ok(), "{good}: {:?}", scim_endpoint(good, &hosts));
        }
        for bad in [
            "",
            "scim.eu-west-1.amazonaws.com/abc",
            "http://scim.eu-west-1.amazonaws.com/abc",
            "https://scim.eu-west-1.amazonaws.com.evil.example/abc",
            "https://evil.example/scim.eu-west-1.amazonaws.com",
            "https://scim.evil.example.amazonaws.com/abc",
            "https://my-bucket.s3.eu-west-1.amazonaws.com/abc",
            "https://scim.amazonaws.com/abc",
            "https://scim.s3.amazonaws.com/abc",
            "https://scim.s3-us-west-2.amazonaws.com/abc",
            "https://scim.s3-website-us-east-1.amazonaws.com/abc",
            "https://scim.eu-west-1.amazonaws.com\\@evil.example/abc",
            "https://scim.eu-west-1.amazonaws.com/a\tb",
            "https://scim.eu-west-1.amazonaws\u{ff0e}com/abc",
            "https://scim..amazonaws.com/abc",
            "https://xscim.eu-west-1.amazonaws.com/abc",
            "https://scim.eu-west-1.amazonaws.com./abc",
            "https://scim.eu-west-1.amazonaws.com:8443/abc",
            "https://scim.eu-west-1.amazonaws.com@evil.example/abc",
            "https://user:pw@scim.eu-west-1.amazonaws.com/abc",
            "https://scim.eu-west-1.amazonaws.com/abc?x=1",
            "https://scim.eu-west-1.amazonaws.com/abc#x",
            "https://127.0.0.1/abc",
            "https://127.0.0.1:8444/abc",
            "https://scim.internal:8443/scim",
        ] {
            assert!(scim_endpoint(bad, &hosts).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        /// The judge looks at the host that comes back, with the rule of contract aws 3.4 written otherwise.
        #[test]
        fn fuzz_no_token_goes_to_another_host(
            text in ".{0,30}", scheme in "(https://|http://|HTTPS:|//|)", user in "(a@|a:b@|)",
            host in "(scim.[a-z0-9-]{1,14}.(amazonaws.com|api.aws)|scim.eu-west-1.amazonaws.com|[a-z.]{1,20})", rest in "([/:@?#.\\\\%].{0,10}|)",
        ) {
            let hosts = BTreeSet::from(["127.0.0.1:8443".to_owned()]);
            for endpoint in [text.clone(), format!("{scheme}{user}{host}{rest}"), format!("{scheme}{host}{text}{rest}")] {
                let Ok(url) = scim_endpoint(&endpoint, &hosts) else { continue };
                let labels: Vec<&str> = url.host_str().unwrap().split('.').collect();
                let region = match labels.as_slice() {
                    ["scim", region, "amazonaws", "com"] | ["scim", region, "api", "aws"] => *region,
                    other => panic!("{endpoint}: {other:?}"),
                };
                assert!(region.matches('-').count() >= 2 && region.ends_with(|c: char| c.is_ascii_digit()), "{endpoint}");
                assert!(url.scheme() == "https" && url.port().is_none() && url.username().is_empty(), "{endpoint}");
            }
        }
    }
}
