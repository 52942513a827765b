//! Filters: only `eq`, joined by `and` (contract aws 4.4).

use super::errors::ScimError;

/// One comparison, with the attribute in lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Equals {
    pub attribute: String,
    pub value: String,
}

/// Reads a filter.
pub(super) fn parse(text: &str) -> Result<Vec<Equals>, ScimError> {
    let invalid = || ScimError::invalid("Invalid Filter format");
    let mut out = Vec::new();
    let mut rest = text.trim();
    loop {
        let (attribute, after) = rest.split_once(' ').ok_or_else(invalid)?;
        let (operator, after) = after.trim_start().split_once(' ').ok_or_else(invalid)?;
        if !operator.eq_ignore_ascii_case("eq") || attribute.is_empty() {
            return Err(invalid());
        }
        let (value, after) = literal(after.trim_start()).ok_or_else(invalid)?;
        out.push(Equals { attribute: attribute.to_ascii_lowercase(), value });
        rest = after.trim_start();
        if rest.is_empty() {
            return Ok(out);
        }
        let (word, after) = rest.split_once(' ').ok_or_else(invalid)?;
        if !word.eq_ignore_ascii_case("and") {
            return Err(invalid());
        }
        rest = after.trim_start();
    }
}

/// A JSON string or boolean at the start of the text, and what follows it.
fn literal(text: &str) -> Option<(String, &str)> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<serde_json::Value>();
    let value = match stream.next()?.ok()? {
        serde_json::Value::String(text) => text,
        serde_json::Value::Bool(flag) => flag.to_string(),
        _ => return None,
    };
    let rest = text.get(stream.byte_offset()..)?;
    Some((value, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_equality_and_conjunction_only() {
        let found = parse(r#"id eq "a b" and members eq "c\"d""#).unwrap();
        assert_eq!(found[0], Equals { attribute: "id".into(), value: "a b".into() });
        assert_eq!(found[1], Equals { attribute: "members".into(), value: "c\"d".into() });
        for bad in ["", "userName", r#"userName co "x""#, r#"userName eq x"#, r#"a eq "x" or b eq "y""#] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
