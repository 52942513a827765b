//! Owner marks, `<installationId>/<namespace>/<name>`: what to do about one that is not ours. Pure.

/// What to do when an object carries the mark of the same resource under another installation id: deleting that
/// "other" resource would be deleting this one. None for marks of other resources.
#[must_use]
pub fn of_another_installation(own: &str, found: &str) -> Option<String> {
    let (ours, this) = own.split_once('/')?;
    let (theirs, other) = found.split_once('/')?;
    (this == other && ours != theirs).then(|| {
        format!(
            "it was made for {this} under the installation id {theirs}, and this operator runs as {ours}: run it with \
             --installation-id {theirs}, or leave this to the operator that runs so"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_resource_of_another_installation_is_told_apart() {
        let said = of_another_installation("b/identity/acme", "a/identity/acme").unwrap();
        assert!(said.contains("run it with --installation-id a,"), "{said}");
        for other in ["a/identity/other", "b/identity/acme", "b/identity/other", "nonsense"] {
            assert_eq!(of_another_installation("b/identity/acme", other), None, "{other}");
        }
    }
}
