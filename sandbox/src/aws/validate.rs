//! Reads the members of a JSON request and collects what is wrong with them, in the words of contract aws 14:
//! `1 validation error detected: Value '..' at '{member}' failed to satisfy constraint: ..`.

use serde_json::{Map, Value};

use super::errors::ApiError;

/// A string shape: length limits in characters, and a pattern.
#[derive(Debug)]
pub(crate) struct Text {
    pub min: usize,
    pub max: usize,
    /// As the service model writes it; for the message.
    pub pattern: &'static str,
    pub fits: fn(&str) -> bool,
}

/// The members of a request, and the violations found so far. Unknown members are ignored, as AWS does.
#[derive(Debug)]
pub(crate) struct Input<'a> {
    members: &'a Map<String, Value>,
    prefix: String,
    violations: Vec<String>,
}

impl<'a> Input<'a> {
    pub fn new(members: &'a Map<String, Value>) -> Self {
        Self { members, prefix: String::new(), violations: Vec::new() }
    }

    fn get(&self, member: &str) -> Option<&'a Value> {
        self.members.get(member).filter(|v| !v.is_null())
    }

    fn path(&self, member: &str) -> String {
        let mut chars = member.chars();
        let lower: String = chars.next().map(|c| c.to_lowercase().chain(chars).collect()).unwrap_or_default();
        format!("{}{lower}", self.prefix)
    }

    fn violate(&mut self, value: &str, member: &str, constraint: &str) {
        let path = self.path(member);
        self.violations.push(format!("Value {value} at '{path}' failed to satisfy constraint: {constraint}"));
    }

    /// Marks a required member that is absent.
    pub fn missing(&mut self, member: &str) {
        self.violate("null", member, "Member must not be null");
    }

    fn mistyped(&mut self, member: &str, value: &Value, kind: &str) {
        self.violate(&format!("'{}'", brief(&value.to_string())), member, &format!("Member must be {kind}"));
    }

    /// An optional string.
    pub fn text(&mut self, member: &str, shape: &Text) -> Option<String> {
        let value = self.get(member)?;
        let Some(text) = value.as_str() else {
            self.mistyped(member, value, "a string");
            return None;
        };
        self.check_text(member, text, shape);
        Some(text.to_owned())
    }

    /// A required string; empty when it is missing, which is recorded.
    pub fn required(&mut self, member: &str, shape: &Text) -> String {
        if self.get(member).is_none() {
            self.missing(member);
        }
        self.text(member, shape).unwrap_or_default()
    }

    fn check_text(&mut self, member: &str, text: &str, shape: &Text) {
        let length = text.chars().count();
        let shown = format!("'{}'", brief(text));
        if length < shape.min {
            let rule = format!("Member must have length greater than or equal to {}", shape.min);
            self.violate(&shown, member, &rule);
        } else if length > shape.max {
            let rule = format!("Member must have length less than or equal to {}", shape.max);
            self.violate(&shown, member, &rule);
        } else if !(shape.fits)(text) {
            let rule = format!("Member must satisfy regular expression pattern: {}", shape.pattern);
            self.violate(&shown, member, &rule);
        }
    }

    /// An optional member of an enumeration.
    pub fn choice(&mut self, member: &str, values: &[&str]) -> Option<String> {
        let value = self.get(member)?;
        let Some(text) = value.as_str() else {
            self.mistyped(member, value, "a string");
            return None;
        };
        if !values.contains(&text) {
            let rule = format!("Member must satisfy enum value set: [{}]", values.join(", "));
            self.violate(&format!("'{}'", brief(text)), member, &rule);
        }
        Some(text.to_owned())
    }

    /// A required member of an enumeration.
    pub fn required_choice(&mut self, member: &str, values: &[&str]) -> String {
        if self.get(member).is_none() {
            self.missing(member);
        }
        self.choice(member, values).unwrap_or_default()
    }

    /// `MaxResults`, 1 to `max`; `max` when absent.
    pub fn max_results(&mut self, max: usize) -> usize {
        let Some(value) = self.get("MaxResults") else { return max };
        let Some(n) = value.as_i64() else {
            self.mistyped("MaxResults", value, "an integer");
            return max;
        };
        let limit = i64::try_from(max).unwrap_or(i64::MAX);
        if n < 1 {
            self.violate(
                &format!("'{n}'"),
                "MaxResults",
                "Member must have value greater than or equal to 1",
            );
        } else if n > limit {
            let rule = format!("Member must have value less than or equal to {max}");
            self.violate(&format!("'{n}'"), "MaxResults", &rule);
        }
        usize::try_from(n.clamp(1, limit)).unwrap_or(max)
    }

    /// An optional list with length limits.
    pub fn list(&mut self, member: &str, min: usize, max: usize) -> Option<&'a Vec<Value>> {
        let value = self.get(member)?;
        let Some(list) = value.as_array() else {
            self.mistyped(member, value, "a list");
            return None;
        };
        let shown = format!("'{}'", brief(&value.to_string()));
        if list.len() < min {
            let rule = format!("Member must have length greater than or equal to {min}");
            self.violate(&shown, member, &rule);
        } else if list.len() > max {
            let rule = format!("Member must have length less than or equal to {max}");
            self.violate(&shown, member, &rule);
        }
        Some(list)
    }

    /// A list of strings.
    pub fn texts(&mut self, member: &str, min: usize, max: usize, shape: &Text) -> Option<Vec<String>> {
        let list = self.list(member, min, max)?;
        let mut out = Vec::new();
        for (i, value) in list.iter().enumerate() {
            let at = format!("{member}.{}.member", i + 1);
            match value.as_str() {
                Some(text) => {
                    self.check_text(&at, text, shape);
                    out.push(text.to_owned());
                }
                None => self.mistyped(&at, value, "a string"),
            }
        }
        Some(out)
    }

    /// A list of structures, each read by `read`.
    pub fn structures<R>(
        &mut self,
        member: &str,
        min: usize,
        max: usize,
        mut read: impl FnMut(&mut Self) -> R,
    ) -> Option<Vec<R>> {
        let list = self.list(member, min, max)?;
        let mut out = Vec::new();
        for (i, value) in list.iter().enumerate() {
            let at = format!("{member}.{}.member", i + 1);
            if let Some(found) = self.inside(&at, value, &mut read) {
                out.push(found);
            }
        }
        Some(out)
    }

    /// An optional structure, read by `read`.
    pub fn structure<R>(&mut self, member: &str, read: impl FnOnce(&mut Self) -> R) -> Option<R> {
        let value = self.get(member)?;
        self.inside(member, value, read)
    }

    /// A required structure.
    pub fn required_structure<R>(&mut self, member: &str, read: impl FnOnce(&mut Self) -> R) -> Option<R> {
        if self.get(member).is_none() {
            self.missing(member);
        }
        self.structure(member, read)
    }

    fn inside<R>(&mut self, at: &str, value: &'a Value, read: impl FnOnce(&mut Self) -> R) -> Option<R> {
        let Some(members) = value.as_object() else {
            self.mistyped(at, value, "a structure");
            return None;
        };
        let prefix = format!("{}.", self.path(at));
        let mut inner = Input { members, prefix, violations: std::mem::take(&mut self.violations) };
        let out = read(&mut inner);
        self.violations = inner.violations;
        Some(out)
    }

    /// Any JSON value (document types).
    pub fn document(&self, member: &str) -> Option<&'a Value> {
        self.get(member)
    }

    /// Refuses the request if anything was wrong. Call it once all members have been read.
    pub fn check(&self) -> Result<(), ApiError> {
        match self.violations.len() {
            0 => Ok(()),
            1 => Err(ApiError::validation(format!(
                "1 validation error detected: {}",
                self.violations.join("")
            ))),
            n => Err(ApiError::validation(format!(
                "{n} validation errors detected: {}",
                self.violations.join("; ")
            ))),
        }
    }
}

fn brief(text: &str) -> String {
    if text.chars().count() <= 200 {
        text.to_owned()
    } else {
        format!("{}...", text.chars().take(200).collect::<String>())
    }
}

/// Anything at all.
pub(crate) fn any(_: &str) -> bool {
    true
}

/// `[\w+=,.@-]+`
pub(crate) fn name(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c))
}

/// `\d{12}`
pub(crate) fn digits(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_digit())
}

/// A UUID: 8-4-4-4-12 hexadecimal digits.
pub(crate) fn uuid(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    parts.len() == 5
        && parts
            .iter()
            .zip([8, 4, 4, 4, 12])
            .all(|(p, n)| p.len() == n && p.chars().all(|c| c.is_ascii_hexdigit()))
}

/// A principal or resource id: a UUID, in newer stores after ten hexadecimal digits and a hyphen.
pub(crate) fn principal(text: &str) -> bool {
    uuid(text)
        || text.split_once('-').is_some_and(|(head, tail)| {
            head.len() == 10 && head.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')) && uuid(tail)
        })
}

/// Strips `arn:aws` with any partition suffix and the colon.
pub(crate) fn after_partition(arn: &str) -> Option<&str> {
    let (partition, rest) = arn.strip_prefix("arn:")?.split_once(':')?;
    let suffix = partition.strip_prefix("aws")?;
    let fits = suffix.is_empty()
        || suffix.strip_prefix('-').is_some_and(|s| {
            s.split('-').count() <= 3
                && s.split('-')
                    .all(|p| (1..=5).contains(&p.len()) && p.chars().all(|c| c.is_ascii_lowercase()))
        });
    fits.then_some(rest)
}

fn instance_id(text: &str) -> bool {
    text.strip_prefix("ssoins-").or_else(|| text.strip_prefix("ins-")).is_some_and(|id| {
        id.len() == 16 && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.')
    })
}

fn instance_arn(text: &str) -> bool {
    after_partition(text).and_then(|r| r.strip_prefix("sso:::instance/")).is_some_and(instance_id)
}

fn set_arn(text: &str) -> bool {
    after_partition(text)
        .and_then(|r| r.strip_prefix("sso:::permissionSet/"))
        .and_then(|r| r.split_once('/'))
        .is_some_and(|(instance, set)| {
            instance_id(instance)
                && set.strip_prefix("ps-").is_some_and(|id| {
                    id.len() == 16 && id.chars().all(|c| c.is_ascii_alphanumeric() || "-./".contains(c))
                })
        })
}

fn taggable_arn(text: &str) -> bool {
    instance_arn(text)
        || set_arn(text)
        || after_partition(text).is_some_and(|r| r.starts_with("sso::") && r.contains(":application/"))
}

fn token(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "-+=/_".contains(c))
}

fn store_token(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "-+=/:_".contains(c))
}

/// Tag keys and values: letters, separators, numbers and a few signs.
pub(crate) fn tag(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_alphanumeric() || (c.is_whitespace() && !c.is_control()) || "_.:/=+-@".contains(c))
}

/// `[\p{L}\p{M}\p{S}\p{N}\p{P}]+`: no separators, no control and no format characters.
pub(crate) fn printable(text: &str) -> bool {
    text.chars().all(|c| !c.is_control() && !c.is_whitespace() && !is_format(c))
}

/// The same with tab, line feed, carriage return and three kinds of space.
pub(crate) fn printable_or_space(text: &str) -> bool {
    text.chars().all(|c| {
        matches!(c, '\t' | '\n' | '\r' | ' ' | '\u{a0}' | '\u{3000}')
            || (!c.is_control() && !c.is_whitespace() && !is_format(c))
    })
}

fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

fn policy_path(text: &str) -> bool {
    text == "/"
        || (text.starts_with('/')
            && text.ends_with('/')
            && text.trim_matches('/').split('/').all(|p| {
                !p.is_empty() && p.chars().all(|c| c.is_ascii_alphanumeric() || ".,+@=_-".contains(c))
            }))
}

fn managed_policy_arn(text: &str) -> bool {
    after_partition(text).and_then(|r| r.strip_prefix("iam::aws:policy/")).is_some_and(|path| {
        path.split('/')
            .all(|p| !p.is_empty() && p.chars().all(|c| c.is_ascii_alphanumeric() || ".,+=@_-".contains(c)))
    })
}

fn description(text: &str) -> bool {
    text.chars().all(|c| matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{a1}'..='\u{ff}'))
}

fn relay_state(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "&$@#\\/%?=~-_'\"|!:,.;*+[] (){}".contains(c))
}

fn policy_document(text: &str) -> bool {
    text.chars().all(|c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{ff}'))
}

fn duration(text: &str) -> bool {
    text.trim_start_matches('-').starts_with('P') && text.parse::<jiff::Span>().is_ok()
}

fn region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    (3..=4).contains(&parts.len())
        && parts.iter().enumerate().all(|(i, p)| {
            if i + 1 == parts.len() {
                p.len() == 1 && digits(p)
            } else {
                !p.is_empty() && p.chars().all(|c| c.is_ascii_lowercase())
            }
        })
}

fn store_id(text: &str) -> bool {
    let bare = text.rsplit_once(":identitystore/").map_or(text, |(_, id)| id);
    uuid(bare)
        || bare
            .strip_prefix("d-")
            .is_some_and(|h| h.len() == 10 && h.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')))
}

fn resource_id(text: &str) -> bool {
    principal(text.rsplit_once('/').map_or(text, |(_, id)| id))
}

const fn shape(min: usize, max: usize, pattern: &'static str, fits: fn(&str) -> bool) -> Text {
    Text { min, max, pattern, fits }
}

const NAME_PATTERN: &str = r"[\w+=,.@-]+";
const TAG_PATTERN: &str = r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)";
const PRINTABLE: &str = r"[\p{L}\p{M}\p{S}\p{N}\p{P}]+";
const PRINTABLE_OR_SPACE: &str = "[\\p{L}\\p{M}\\p{S}\\p{N}\\p{P}\\t\\n\\r \u{a0}\u{3000}]+";

// The shapes of contract aws 1.1, 1.2, 1.3, 1.6 and 2.
pub(crate) const INSTANCE_ARN: Text =
    shape(10, 1224, "arn:aws(-[a-z]{1,5}){0,3}:sso:::instance/(sso)?ins-[a-zA-Z0-9-.]{16}", instance_arn);
pub(crate) const SET_ARN: Text = shape(
    10,
    1224,
    "arn:aws(-[a-z]{1,5}){0,3}:sso:::permissionSet/(sso)?ins-[a-zA-Z0-9-.]{16}/ps-[a-zA-Z0-9-./]{16}",
    set_arn,
);
pub(crate) const TAGGABLE_ARN: Text = shape(
    10,
    2048,
    "arn:aws(-[a-z]{1,5}){0,3}:sso::((:instance/(sso)?ins-[a-zA-Z0-9-.]{16})|(:permissionSet/(sso)?ins-[a-zA-Z0-9-.]{16}/ps-[a-zA-Z0-9-./]{16}))",
    taggable_arn,
);
pub(crate) const SET_NAME: Text = shape(1, 32, NAME_PATTERN, name);
pub(crate) const DESCRIPTION: Text =
    shape(1, 700, r"[\u0009\u000A\u000D\u0020-\u007E\u00A1-\u00FF]*", description);
pub(crate) const DURATION: Text = shape(
    1,
    100,
    r"(-?)P(?=\d|T\d)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)([DW]))?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?",
    duration,
);
pub(crate) const RELAY_STATE: Text =
    shape(1, 240, r#"[a-zA-Z0-9&$@#\\\/%?=~\-_'"|!:,.;*+\[\]\ \(\)\{\}]+"#, relay_state);
pub(crate) const TAG_KEY: Text = shape(1, 128, TAG_PATTERN, tag);
pub(crate) const TAG_VALUE: Text = shape(0, 256, TAG_PATTERN, tag);
pub(crate) const TOKEN: Text = shape(0, 2048, "[-a-zA-Z0-9+=/_]*", token);
pub(crate) const STORE_TOKEN: Text = shape(1, 65_535, "[-a-zA-Z0-9+=/:_]*", store_token);
pub(crate) const ANY_TOKEN: Text = shape(0, 100_000, r"[\s\S]*", any);
pub(crate) const MANAGED_POLICY_ARN: Text = shape(
    20,
    2048,
    r"arn:aws(-[a-z]{1,5}){0,3}:iam::aws:policy((/[A-Za-z0-9\.,\+@=_-]+)*)/([A-Za-z0-9\.,\+=@_-]+)",
    managed_policy_arn,
);
pub(crate) const POLICY_NAME: Text = shape(1, 128, NAME_PATTERN, name);
pub(crate) const POLICY_PATH: Text = shape(1, 512, r"((/[A-Za-z0-9\.,\+@=_-]+)*)/", policy_path);
pub(crate) const INLINE_POLICY: Text =
    shape(1, 32_768, r"[\u0009\u000A\u000D\u0020-\u00FF]+", policy_document);
pub(crate) const ACCOUNT_ID: Text = shape(12, 12, r"\d{12}", digits);
pub(crate) const PRINCIPAL_ID: Text = shape(
    1,
    47,
    "([0-9a-f]{10}-|)[A-Fa-f0-9]{8}-[A-Fa-f0-9]{4}-[A-Fa-f0-9]{4}-[A-Fa-f0-9]{4}-[A-Fa-f0-9]{12}",
    principal,
);
pub(crate) const REQUEST_ID: Text =
    shape(36, 36, r"\b[0-9a-f]{8}\b-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-\b[0-9a-f]{12}\b", uuid);
pub(crate) const REGION: Text = shape(1, 32, r"([a-z]+-){2,3}\d", region);
pub(crate) const STORE_ID: Text = shape(
    1,
    93,
    r"(arn:aws[a-z-]*:identitystore::\d{12}:identitystore/)?(d-[0-9a-f]{10}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})",
    store_id,
);
pub(crate) const RESOURCE_ID: Text = shape(
    1,
    100,
    "(arn:aws[a-z-]*:identitystore:::(user|group|membership)/)?([0-9a-f]{10}-|)[A-Fa-f0-9]{8}-[A-Fa-f0-9]{4}-[A-Fa-f0-9]{4}-[A-Fa-f0-9]{4}-[A-Fa-f0-9]{12}",
    resource_id,
);
pub(crate) const USER_NAME: Text = shape(1, 128, PRINTABLE, printable);
pub(crate) const SENSITIVE: Text = shape(1, 1024, PRINTABLE_OR_SPACE, printable_or_space);
pub(crate) const EXTERNAL_ID: Text = shape(1, 256, PRINTABLE, printable);
pub(crate) const ATTRIBUTE_PATH: Text = shape(1, 255, r"\p{L}+(?:\.\p{L}+){0,2}", any);
pub(crate) const REVISION: Text = shape(1, 64, "[0-9]+", digits);
