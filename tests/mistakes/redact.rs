//! Messages without what differs from run to run.

/// Ids, times, ports and the namespace become words.
pub fn redact(text: &str, namespace: &str) -> String {
    let text = text.replace(namespace, "identity");
    let bytes = text.as_bytes();
    let mut out = String::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &text[at..];
        if let Some((length, word)) = time(rest).or_else(|| port(rest)).filter(|_| begins(&text, at)) {
            out.push_str(word);
            at += length;
        } else if bytes[at].is_ascii_alphanumeric() {
            let length = rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'-').count();
            out.push_str(&id(&rest[..length]));
            at += length;
        } else {
            let length = rest.chars().next().map_or(1, char::len_utf8);
            out.push_str(&rest[..length]);
            at += length;
        }
    }
    out
}

/// Whether a word can begin here.
fn begins(text: &str, at: usize) -> bool {
    !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.')
}

/// Whether the text begins like that, where `0` stands for any digit.
fn like(text: &str, form: &str) -> bool {
    text.len() >= form.len()
        && text.bytes().zip(form.bytes()).all(|(t, f)| if f == b'0' { t.is_ascii_digit() } else { t == f })
}

fn time(text: &str) -> Option<(usize, &'static str)> {
    for form in ["0000-00-00T00:00:00", "0000-00-00 00:00:00"] {
        if like(text, form) {
            let rest = &text[form.len()..];
            let fraction = rest.bytes().take_while(|b| *b == b'.' || b.is_ascii_digit()).count();
            let zone = usize::from(rest[fraction..].starts_with('Z'));
            return (zone == 1).then_some((form.len() + fraction + zone, "<time>"));
        }
    }
    like(text, "0000-00-00").then_some((10, "<date>"))
}

fn port(text: &str) -> Option<(usize, &'static str)> {
    let rest = text.strip_prefix("127.0.0.1:")?;
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    (digits > 0).then_some(("127.0.0.1:".len() + digits, "<host>"))
}

fn id(word: &str) -> String {
    let hex = |text: &str, length: usize| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
    if word.len() == 36 && word.split('-').map(str::len).eq([8, 4, 4, 4, 12]) {
        return "<uuid>".to_owned();
    }
    if hex(word, 64) {
        return "<sha256>".to_owned();
    }
    if hex(word, 40) {
        return "<sha1>".to_owned();
    }
    for (prefix, length) in [("ssoins-", 16), ("ps-", 16), ("d-", 10)] {
        if word.strip_prefix(prefix).is_some_and(|rest| hex(rest, length)) {
            return format!("{prefix}<id>");
        }
    }
    word.to_owned()
}

#[test]
fn what_differs_from_run_to_run_is_replaced() {
    for (text, expected) in [
        ("Secret mistakes-7/aws-scim", "Secret identity/aws-scim"),
        ("application 7c3f7e5e-4a7d-4c53-9f0b-2f1d6a1c0001.", "application <uuid>."),
        ("until 2026-01-01T10:40:05.25Z (x)", "until <time> (x)"),
        ("Timestamp: 2026-11-26 02:58:42Z", "Timestamp: <time>"),
        ("ended on 2027-01-01: x", "ended on <date>: x"),
        ("https://127.0.0.1:43210/x", "https://<host>/x"),
        ("arn:aws:sso:::instance/ssoins-0123456789abcdef is", "arn:aws:sso:::instance/ssoins-<id> is"),
        ("é „ 111122223333", "é „ 111122223333"),
    ] {
        assert_eq!(redact(text, "mistakes-7"), expected);
    }
}
