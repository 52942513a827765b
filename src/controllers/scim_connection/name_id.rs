//! Whom AWS takes people for: pure.

use crate::api::v1alpha1::AttributeMapping;

/// What the gallery's NameID comes from (contract Graph 3.1, 3.4).
const BY_DEFAULT: &str = "userPrincipalName";

/// What is told where `userName` comes from another attribute than the NameID does unless somebody changed that: AWS
/// looks people up by the NameID, and the two must be equal (contract Graph 3.4).
pub fn remark(users: &[AttributeMapping]) -> Option<String> {
    let attribute = &users.iter().find(|m| m.target == "userName")?.source.attribute;
    (attribute != BY_DEFAULT).then(|| {
        format!(
            "userName comes from {attribute}: people sign in only if the NameID comes from it too, which Causeway does not set (in Entra: Single sign-on > Attributes & Claims > Unique User Identifier)"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::v1alpha1::AttributeSource;

    #[test]
    fn only_a_user_name_from_elsewhere_is_told() {
        let mapping = |target: &str, attribute: &str| AttributeMapping {
            target: target.into(),
            source: AttributeSource { attribute: attribute.into() },
        };
        assert_eq!(remark(&[]), None);
        assert_eq!(remark(&[mapping("userName", "userPrincipalName"), mapping("displayName", "mail")]), None);
        let told = remark(&[mapping("title", "x"), mapping("userName", "mail")]).unwrap();
        assert!(told.contains("userName comes from mail"), "{told}");
    }
}
