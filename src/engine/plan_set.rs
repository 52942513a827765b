//! What is to be done about a permission set. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde_json::Value;

use super::policy;
use crate::clients::aws::permission_sets::{Boundary, PermissionSet, PolicyReference, SetEdit, SetSettings};

/// The tag that carries the owner mark.
pub const OWNER_TAG: &str = "causeway.dev/owner";

/// A permission set as it should be.
#[derive(Clone, Debug, PartialEq)]
pub struct DesiredSet {
    /// Its name.
    pub name: String,
    /// The owner mark of the binding.
    pub owner: String,
    /// Take over a set that nobody's mark is on.
    pub adopt: bool,
    /// Description, session duration (ISO 8601) and relay state.
    pub settings: SetSettings,
    /// AWS managed policies; `None` leaves them alone.
    pub managed: Option<BTreeSet<String>>,
    /// Customer managed policies; `None` leaves them alone.
    pub references: Option<BTreeSet<PolicyReference>>,
    /// The inline policy.
    pub inline: Option<Value>,
    /// The permissions boundary.
    pub boundary: Option<Boundary>,
    /// Tags beside the mark; `None` leaves them alone.
    pub tags: Option<BTreeMap<String, String>>,
}

/// A permission set as it is. What the desired one leaves alone is read only for rules, and else empty here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedSet {
    /// The set itself.
    pub set: PermissionSet,
    /// All its tags.
    pub tags: BTreeMap<String, String>,
    /// AWS managed policies.
    pub managed: BTreeSet<String>,
    /// Customer managed policies.
    pub references: BTreeSet<PolicyReference>,
    /// The inline policy, as JSON text.
    pub inline: Option<String>,
    /// The permissions boundary.
    pub boundary: Option<Boundary>,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetStep {
    /// Create the set, with its mark.
    Create {
        /// Its name.
        name: String,
        /// Its settings.
        settings: SetSettings,
        /// Its tags, the mark among them.
        tags: BTreeMap<String, String>,
    },
    /// Edit the set.
    Edit(SetEdit),
}

/// Why nothing may be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The mark of somebody else is on it.
    OwnedByOther(String),
    /// Nobody's mark is on it, and adoption was not asked for.
    NotAdopted,
}

impl std::fmt::Display for SetStep {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Create { name, settings, .. } => {
                let duration = settings.session_duration.as_deref().unwrap_or_default();
                write!(f, "create permission set {name} with session duration {duration}")
            }
            Self::Edit(edit) => write!(f, "permission set: {edit}"),
        }
    }
}

impl ObservedSet {
    /// A set that was created this moment.
    #[must_use]
    pub fn fresh(set: PermissionSet, tags: BTreeMap<String, String>) -> Self {
        Self {
            set,
            tags,
            managed: BTreeSet::new(),
            references: BTreeSet::new(),
            inline: None,
            boundary: None,
        }
    }

    /// The set after an edit.
    #[must_use]
    pub fn after(mut self, edit: &SetEdit) -> Self {
        match edit.clone() {
            SetEdit::Settings(settings) => self.set.settings = settings,
            SetEdit::Attach(policy) => _ = self.managed.insert(policy),
            SetEdit::Detach(policy) => _ = self.managed.remove(&policy),
            SetEdit::AttachReference(policy) => _ = self.references.insert(policy),
            SetEdit::DetachReference(policy) => _ = self.references.remove(&policy),
            SetEdit::PutInline(text) => self.inline = Some(text),
            SetEdit::DeleteInline => self.inline = None,
            SetEdit::PutBoundary(boundary) => self.boundary = Some(boundary),
            SetEdit::DeleteBoundary => self.boundary = None,
            SetEdit::Tag(tags) => self.tags.extend(tags),
            SetEdit::Untag(keys) => self.tags.retain(|k, _| !keys.contains(k)),
        }
        self
    }

    /// What a reading means shortly after our own edits: a part that still looks as it did before an edit is read
    /// stale, and is as the edit left it (contract aws 1.11). `edits` are states before and after, oldest first.
    #[must_use]
    pub fn despite_lag<'a>(mut self, edits: impl IntoIterator<Item = (&'a Self, &'a Self)>) -> Self {
        fn part<T: PartialEq + Clone>(read: &mut T, before: &T, after: &T) {
            if before != after && read == before {
                read.clone_from(after);
            }
        }
        for (before, after) in edits {
            part(&mut self.set.settings, &before.set.settings, &after.set.settings);
            part(&mut self.tags, &before.tags, &after.tags);
            part(&mut self.managed, &before.managed, &after.managed);
            part(&mut self.references, &before.references, &after.references);
            part(&mut self.inline, &before.inline, &after.inline);
            part(&mut self.boundary, &before.boundary, &after.boundary);
        }
        self
    }
}

/// The steps that make the set as it should be; none when it is.
///
/// # Errors
/// A set that is not ours is not touched.
pub fn plan_set(desired: &DesiredSet, observed: Option<&ObservedSet>) -> Result<Vec<SetStep>, Refusal> {
    let Some(observed) = observed else {
        let tags = wanted_tags(desired);
        let set = PermissionSet {
            arn: String::new(),
            name: desired.name.clone(),
            settings: desired.settings.clone(),
        };
        let created = ObservedSet::fresh(set, tags.clone());
        let create = SetStep::Create { name: desired.name.clone(), settings: desired.settings.clone(), tags };
        return Ok(std::iter::once(create)
            .chain(edits(desired, &created).into_iter().map(SetStep::Edit))
            .collect());
    };
    match observed.tags.get(OWNER_TAG) {
        Some(owner) if *owner == desired.owner => {}
        Some(owner) => return Err(Refusal::OwnedByOther(owner.clone())),
        None if desired.adopt => {}
        None => return Err(Refusal::NotAdopted),
    }
    Ok(edits(desired, observed).into_iter().map(SetStep::Edit).collect())
}

/// The mark first: from then on the set is ours whatever happens. What narrows comes before what widens.
fn edits(desired: &DesiredSet, observed: &ObservedSet) -> Vec<SetEdit> {
    let mut edits = Vec::new();
    let tags: BTreeMap<_, _> = wanted_tags(desired)
        .into_iter()
        .filter(|(key, value)| observed.tags.get(key) != Some(value))
        .collect();
    if !tags.is_empty() {
        edits.push(SetEdit::Tag(tags));
    }
    if let Some(boundary) = &desired.boundary
        && observed.boundary.as_ref() != Some(boundary)
    {
        edits.push(SetEdit::PutBoundary(boundary.clone()));
    }
    if !same_settings(&desired.settings, &observed.set.settings) {
        edits.push(SetEdit::Settings(desired.settings.clone()));
    }
    if let Some(managed) = &desired.managed {
        edits.extend(observed.managed.difference(managed).cloned().map(SetEdit::Detach));
        edits.extend(managed.difference(&observed.managed).cloned().map(SetEdit::Attach));
    }
    if let Some(references) = &desired.references {
        edits.extend(observed.references.difference(references).cloned().map(SetEdit::DetachReference));
        edits.extend(references.difference(&observed.references).cloned().map(SetEdit::AttachReference));
    }
    match (&desired.inline, &observed.inline) {
        (Some(wanted), found) if !found.as_ref().is_some_and(|f| policy::same(wanted, f)) => {
            edits.push(SetEdit::PutInline(wanted.to_string()));
        }
        (None, Some(_)) => edits.push(SetEdit::DeleteInline),
        _ => {}
    }
    if desired.boundary.is_none() && observed.boundary.is_some() {
        edits.push(SetEdit::DeleteBoundary);
    }
    if let Some(tags) = &desired.tags {
        let foreign =
            |key: &&String| !tags.contains_key(*key) && *key != OWNER_TAG && !key.starts_with("aws:");
        let gone: BTreeSet<String> = observed.tags.keys().filter(foreign).cloned().collect();
        if !gone.is_empty() {
            edits.push(SetEdit::Untag(gone));
        }
    }
    edits
}

fn wanted_tags(desired: &DesiredSet) -> BTreeMap<String, String> {
    let mut tags = desired.tags.clone().unwrap_or_default();
    tags.insert(OWNER_TAG.to_owned(), desired.owner.clone());
    tags
}

/// The service may answer an equivalent form of a duration (contract aws 1.2).
fn same_settings(wanted: &SetSettings, found: &SetSettings) -> bool {
    let duration =
        |s: &SetSettings| s.session_duration.as_deref().and_then(|d| d.parse::<SignedDuration>().ok());
    let durations = wanted.session_duration == found.session_duration
        || (duration(wanted).is_some() && duration(wanted) == duration(found));
    durations && wanted.description == found.description && wanted.relay_state == found.relay_state
}

/// A duration such as `1h30m`, as ISO 8601; none when it cannot be read.
#[must_use]
pub fn iso_duration(go_style: &str) -> Option<String> {
    let minutes = go_style.parse::<SignedDuration>().ok()?.as_mins();
    let (hours, minutes) = (minutes / 60, minutes % 60);
    Some(match (hours, minutes) {
        (hours, 0) => format!("PT{hours}H"),
        (0, minutes) => format!("PT{minutes}M"),
        (hours, minutes) => format!("PT{hours}H{minutes}M"),
    })
}

#[cfg(test)]
#[path = "plan_set_tests.rs"]
mod tests;
