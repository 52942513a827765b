//! A set of objects to look at again: bounded by the number of objects, however often they are named.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use futures::Stream;
use kube::runtime::reflector::ObjectRef;
use kube::{Resource, core::DeserializeGuard};
use tokio::sync::Notify;

use super::Managed;

/// Names of one namespace scope that wait to be looked at.
#[derive(Clone, Debug, Default)]
pub(super) struct WakeSet(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    names: Mutex<HashSet<(String, String)>>,
    filled: Notify,
}

impl WakeSet {
    /// Adds one.
    pub fn add(&self, namespace: &str, name: &str) {
        let mut names = self.0.names.lock().unwrap_or_else(PoisonError::into_inner);
        names.insert((namespace.to_owned(), name.to_owned()));
        drop(names);
        self.0.filled.notify_one();
    }

    fn take(&self) -> Option<(String, String)> {
        let mut names = self.0.names.lock().unwrap_or_else(PoisonError::into_inner);
        let one = names.iter().next().cloned()?;
        names.take(&one)
    }

    /// Everything that is added, for ever. For one consumer.
    pub fn stream<K: Managed>(&self) -> impl Stream<Item = ObjectRef<DeserializeGuard<K>>> + Send + use<K> {
        futures::stream::unfold(self.clone(), |set| async move {
            loop {
                if let Some((namespace, name)) = set.take() {
                    let object = ObjectRef::<DeserializeGuard<K>>::new(&name).within(&namespace);
                    return Some((object, set));
                }
                // An addition in between has left a permit.
                set.0.filled.notified().await;
            }
        })
    }
}

/// Namespace and name of an object.
pub(super) fn key<K: Resource>(object: &K) -> (String, String) {
    (object.meta().namespace.clone().unwrap_or_default(), object.meta().name.clone().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use futures::StreamExt as _;

    use super::*;
    use crate::api::v1alpha1::ScimConnection;

    #[tokio::test]
    async fn what_is_added_twice_comes_once_and_nothing_is_lost() {
        let set = WakeSet::default();
        let mut stream = Box::pin(set.stream::<ScimConnection>());
        set.add("a", "x");
        set.add("a", "x");
        set.add("b", "x");
        let mut seen: Vec<_> =
            vec![stream.next().await.unwrap().to_string(), stream.next().await.unwrap().to_string()];
        seen.sort();
        assert!(seen[0].contains("x.a") && seen[1].contains("x.b"), "{seen:?}");
        let waiting = tokio::spawn(async move { stream.next().await.unwrap().name });
        tokio::task::yield_now().await;
        set.add("c", "late");
        assert_eq!(waiting.await.unwrap(), "late");
    }
}
