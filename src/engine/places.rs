//! Where accounts are in the organization. Asked only by rules that name organizational units.

use std::collections::{BTreeMap, BTreeSet};

use super::instance::{Instance, Kept};
use crate::clients::CloudError;

/// Where accounts are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// What each account lies in, by id: the root first, its parent last. An account that is not here is not in the
    /// organization.
    pub above: BTreeMap<String, Vec<String>>,
    /// The ids of the units that were asked for by path; none: there is no such unit.
    pub units: BTreeMap<String, Option<String>>,
}

/// Units: id and name.
type Units = Vec<(String, String)>;

/// What was read about places.
#[derive(Debug, Default)]
pub(super) struct PlaceReads {
    walked: Kept<BTreeMap<String, Vec<String>>>,
    /// Children by parent. The root is the child of nothing, and has no name.
    children: tokio::sync::Mutex<BTreeMap<String, Kept<Units>>>,
}

impl PlaceReads {
    pub(super) async fn forget(&self) {
        self.walked.forget().await;
        self.children.lock().await.clear();
    }
}

impl Instance {
    /// Where these accounts are, and which units are at these paths. The accounts' list says the first, so that it
    /// takes no call of its own; a path takes one call for each name in it.
    ///
    /// # Errors
    /// The classified failure.
    pub async fn places(
        &self,
        accounts: &BTreeSet<String>,
        paths: &BTreeSet<String>,
    ) -> Result<Places, CloudError> {
        let all = self.accounts().await?;
        let known: Vec<(&String, &Option<Vec<String>>)> =
            accounts.iter().filter_map(|id| Some((id, &all.get(id)?.above))).collect();
        let mut places = Places::default();
        if known.iter().any(|(_, above)| above.is_none()) {
            let (clock, keep) = (&self.shared.clock, self.shared.keep());
            let walked = self.reads.places.walked.get(clock, keep, self.organization.walk()).await?;
            let found = |id: &String| Some((id.clone(), walked.get(id)?.clone()));
            places.above = accounts.iter().filter_map(found).collect();
        } else {
            let found = |(id, above): (&String, &Option<Vec<String>>)| Some((id.clone(), above.clone()?));
            places.above = known.into_iter().filter_map(found).collect();
        }
        for path in paths {
            places.units.insert(path.clone(), self.unit_at(path).await?);
        }
        Ok(places)
    }

    /// The id of the unit at a path such as `/Workloads/Prod`; `/` is the root.
    async fn unit_at(&self, path: &str) -> Result<Option<String>, CloudError> {
        // One at a time: the next one finds what this one reads.
        let mut children = self.reads.places.children.lock().await;
        let (clock, keep) = (&self.shared.clock, self.shared.keep());
        let roots = async {
            let roots = self.organization.roots().await?;
            Ok::<Units, CloudError>(roots.into_iter().map(|id| (id, String::new())).collect())
        };
        let roots = children.entry(String::new()).or_default().get(clock, keep, roots).await?;
        let Some((root, _)) = roots.first() else { return Ok(None) };
        let mut at = root.clone();
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let reading = self.organization.units_in(&at);
            let below = children.entry(at.clone()).or_default().get(clock, keep, reading).await?;
            let Some((id, _)) = below.iter().find(|(_, n)| n == name) else { return Ok(None) };
            at.clone_from(id);
        }
        Ok(Some(at))
    }
}
