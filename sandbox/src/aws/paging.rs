//! Pages with opaque tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

/// The token was not issued for this listing.
#[derive(Debug)]
pub(crate) struct BadToken;

/// Cuts one page out of `items`, which come sorted by key.
///
/// A token names the last key shown, so that a listing survives changes between its pages. It only fits
/// the `scope` (operation and parameters) it was issued for. A page that is exactly full always carries a
/// token, even when the next one turns out to be empty: real services do the same (contract aws 6).
pub(crate) fn page<T>(
    scope: &str,
    items: impl Iterator<Item = (String, T)>,
    max: usize,
    token: Option<&str>,
) -> Result<(Vec<T>, Option<String>), BadToken> {
    let after = token.filter(|t| !t.is_empty()).map(|t| open(scope, t)).transpose()?;
    let mut last = None;
    let mut out = Vec::new();
    for (key, item) in items.filter(|(k, _)| after.as_ref().is_none_or(|a| k > a)) {
        out.push(item);
        last = Some(key);
        if out.len() == max {
            break;
        }
    }
    let next = (out.len() == max).then(|| last.map(|k| seal(scope, &k))).flatten();
    Ok((out, next))
}

fn seal(scope: &str, key: &str) -> String {
    URL_SAFE.encode(format!("{:016x}{key}", hash(scope)))
}

fn open(scope: &str, token: &str) -> Result<String, BadToken> {
    let raw = URL_SAFE.decode(token).map_err(|_| BadToken)?;
    let text = String::from_utf8(raw).map_err(|_| BadToken)?;
    text.strip_prefix(&format!("{:016x}", hash(scope))).map(ToOwned::to_owned).ok_or(BadToken)
}

/// FNV-1a: the token must be stable, not secret.
fn hash(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_all_pages_and_refuses_foreign_tokens() {
        let items = || (0..5).map(|i| (format!("k{i}"), i));
        let (first, next) = page("a", items(), 2, None).unwrap();
        assert_eq!(first, [0, 1]);
        let (second, next) = page("a", items(), 2, next.as_deref()).unwrap();
        assert_eq!(second, [2, 3]);
        let (third, end) = page("a", items(), 2, next.as_deref()).unwrap();
        assert_eq!((third, end), (vec![4], None));
        assert!(page("b", items(), 2, next.as_deref()).is_err());
        assert!(page("a", items(), 2, Some("%%%")).is_err());
    }
}
