//! Values that must never be seen.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};

/// What stands in the place of a secret.
const REDACTED: &str = "[redacted]";
/// Text may be cut in the middle of a secret: so much of its beginning tells it.
const BEGINNING: usize = 12;
/// Nothing shorter is looked for: it would be found everywhere.
const SHORTEST: usize = 4;
/// Nothing shorter is looked for in base64.
const SHORTEST_ENCODED: usize = 8;
/// Shorter words are taken for words.
const TOKEN: usize = 32;

/// A secret value: no `Display`, no `Serialize`, and a `Debug` that says nothing.
#[derive(Clone, PartialEq, Eq)]
pub struct Sensitive(String);

impl Sensitive {
    /// Wraps a secret.
    #[must_use]
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, for the one call that needs it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Sensitive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(REDACTED)
    }
}

/// Foreign text without a secret that it may quote: as it is, percent-encoded, or in base64, alone or in the middle
/// of something longer.
#[must_use]
pub fn redact(text: &str, secret: &str) -> String {
    if secret.len() < SHORTEST {
        return text.to_owned();
    }
    forms(secret).iter().fold(text.to_owned(), |text, form| without(&text, form))
}

/// Foreign text without whatever looks like a token, for secrets that nobody here knows (any more): long words of
/// digits and capital letters that are no GUID.
#[must_use]
pub fn redact_tokens(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_word = is_part_of_word(first);
        let end = rest.find(|c| is_part_of_word(c) != is_word).unwrap_or(rest.len());
        let (piece, after) = rest.split_at(end);
        shown.push_str(if is_word && looks_like_a_token(piece) { REDACTED } else { piece });
        rest = after;
    }
    shown
}

fn forms(secret: &str) -> Vec<String> {
    let in_form = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect::<String>();
    let mut forms = vec![secret.to_owned(), in_form.replace('+', "%20"), in_form];
    if secret.len() < SHORTEST_ENCODED {
        return forms;
    }
    // Three bytes become four characters: what stands before the secret decides how it is cut. Characters that hold
    // bits of a neighbour differ each time and are left out.
    for (before, skipped) in [(0, 0), (1, 2), (2, 3)] {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(secret.as_bytes());
        for encoded in [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)] {
            let end = encoded.len() - usize::from(bytes.len() % 3 != 0);
            forms.extend(encoded.get(skipped..end).map(str::to_owned));
        }
    }
    forms
}

fn without(text: &str, form: &str) -> String {
    let beginning: String = form.chars().take(BEGINNING).collect();
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(&beginning) {
        shown.push_str(&rest[..at]);
        shown.push_str(REDACTED);
        let found = &rest[at..];
        let same: usize =
            found.chars().zip(form.chars()).take_while(|(a, b)| a == b).map(|(c, _)| c.len_utf8()).sum();
        // And what is left of the word: the end of an encoding.
        let tail = &found[same..];
        rest = tail.trim_start_matches(|c| is_part_of_word(c) || matches!(c, '/' | '='));
    }
    shown.push_str(rest);
    shown
}

const fn is_part_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '+' | '_' | '-' | '%' | '~')
}

fn looks_like_a_token(word: &str) -> bool {
    let is_dense = || {
        let dense = word.chars().filter(|c| c.is_ascii_digit() || c.is_ascii_uppercase()).count();
        dense * 10 >= word.len() * 3
    };
    let is_guid = word.contains('-') && uuid::Uuid::try_parse(word).is_ok();
    word.len() >= TOKEN && is_dense() && !is_guid
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "tOk3n/With+signs==and-more";

    #[test]
    fn a_secret_is_found_however_it_is_written() {
        let encoded =
            |prefix: &str, suffix: &str| STANDARD_NO_PAD.encode(format!("{prefix}{SECRET}{suffix}"));
        for quoted in [
            SECRET.to_owned(),
            SECRET.chars().take(15).collect(),
            "tOk3n%2FWith%2Bsigns%3D%3Dand-more".to_owned(),
            encoded("", ""),
            encoded("b", "a"),
            encoded("me:", "ab"),
            encoded("Bearer ", ""),
            URL_SAFE_NO_PAD.encode(SECRET),
        ] {
            let shown = redact(&format!("refused '{quoted}' twice: {quoted}, so no"), SECRET);
            for part in quoted.as_bytes().windows(14) {
                let part = std::str::from_utf8(part).unwrap();
                assert!(!shown.contains(part), "{quoted}: {shown}");
            }
            assert!(shown.starts_with("refused '") && shown.ends_with(", so no"), "{shown}");
        }
        assert_eq!(redact("nothing of it", SECRET), "nothing of it");
        assert_eq!(redact("an a is everywhere", "a"), "an a is everywhere");
        assert_eq!(redact("ä token-ä ö", "token-ä"), "ä [redacted] ö");
    }

    #[test]
    fn what_looks_like_a_token_is_not_shown_and_words_are() {
        for token in [
            "QxYb3kT9vL2mNz7Rw5Hd8Jp4Fs6Gc1Ae0Uo",
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c",
            "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9",
        ] {
            assert_eq!(redact_tokens(&format!("(token={token}).")), "(token=[redacted]).");
        }
        for plain in [
            "SystemForCrossDomainIdentityManagementCredentialValidationUnavailable: the endpoint refused it",
            "https://scim.ap-southeast-1.amazonaws.com/11111111-2222-3333-4444-555555555555/scim/v2 said 401",
            "group aws-engineers-of-the-payments-team-2024-production was skipped",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
            "Bücher und Töne",
        ] {
            assert_eq!(redact_tokens(plain), plain);
        }
    }

    #[test]
    fn nothing_shows_in_debug() {
        assert_eq!(format!("{:?}", Sensitive::new(SECRET)), REDACTED);
    }
}
