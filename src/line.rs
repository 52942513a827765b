//! Who is served next when more wait than can be served at once: passes of the controllers, and calls that share a
//! budget. Who has not been told anything goes first, and nobody is passed over for ever.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// How much it matters that something is served soon. Set for a whole pass, all its calls included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// It was as it should be when it was looked at last.
    #[default]
    Settled,
    /// Something is under way, or is tried again.
    Moving,
    /// Nobody has been told anything yet about what is asked for now.
    New,
}

/// So many that came later may be served before somebody; then it is the turn of whoever has waited longest.
const OVERTAKEN: u32 = 3;

tokio::task_local! {
    static URGENCY: Urgency;
}

impl Urgency {
    /// That of what runs here.
    #[must_use]
    pub fn here() -> Self {
        URGENCY.try_with(|urgency| *urgency).unwrap_or_default()
    }

    /// Runs something with this urgency.
    pub fn scope<F: Future>(self, what: F) -> impl Future<Output = F::Output> {
        URGENCY.scope(self, what)
    }
}

/// Whom somebody in the line waits for: namespace and name of a resource.
type Name = (String, String);

#[derive(Debug)]
struct Waiting {
    urgency: Urgency,
    name: Option<Name>,
    call: oneshot::Sender<()>,
}

/// A number of places, and those who wait for one. Clones are the same line.
#[derive(Clone, Debug)]
pub struct Line(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    free: usize,
    next: u64,
    /// By the order in which they came.
    waiting: BTreeMap<u64, Waiting>,
    overtaken: u32,
}

/// A place; it is free again when this is dropped.
#[derive(Debug)]
pub struct Place(Line);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

/// Somebody who waits, and may give up.
struct InLine {
    line: Line,
    number: u64,
    served: bool,
}

impl Drop for InLine {
    fn drop(&mut self) {
        // One that was called and did not come leaves the place to the next.
        if !self.served && self.line.lock().waiting.remove(&self.number).is_none() {
            self.line.give_back();
        }
    }
}

impl State {
    fn pick(&mut self) -> Option<u64> {
        let oldest = *self.waiting.keys().next()?;
        let number = match self.overtaken {
            OVERTAKEN.. => oldest,
            _ => *self.waiting.iter().rev().max_by_key(|(_, w)| w.urgency)?.0,
        };
        self.overtaken = if number == oldest { 0 } else { self.overtaken + 1 };
        Some(number)
    }

    fn serve(&mut self) {
        while self.free > 0
            && let Some(number) = self.pick()
            && let Some(waiting) = self.waiting.remove(&number)
        {
            if waiting.call.send(()).is_ok() {
                self.free -= 1;
            }
        }
    }
}

impl Line {
    /// A line for so many places.
    #[must_use]
    pub fn new(places: usize) -> Self {
        Self(Arc::new(Mutex::new(State { free: places, next: 0, waiting: BTreeMap::new(), overtaken: 0 })))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self) {
        let mut state = self.lock();
        state.free += 1;
        state.serve();
    }

    /// A place, if nobody has to wait for one.
    #[must_use]
    pub fn try_enter(&self) -> Option<Place> {
        let mut state = self.lock();
        state.free = state.free.checked_sub(1)?;
        Some(Place(self.clone()))
    }

    /// Waits for a place. `name`: whom [`Line::hurry`] may mean.
    pub async fn enter(&self, urgency: Urgency, name: Option<Name>) -> Place {
        let (call, called) = oneshot::channel();
        let mut in_line = {
            let mut state = self.lock();
            let number = state.next;
            state.next += 1;
            state.waiting.insert(number, Waiting { urgency, name, call });
            state.serve();
            InLine { line: self.clone(), number, served: false }
        };
        // The sender is in the line until it calls.
        let _ = called.await;
        in_line.served = true;
        Place(self.clone())
    }

    /// What one of those who wait asks for has become more urgent.
    pub fn hurry(&self, namespace: &str, name: &str, urgency: Urgency) {
        let mut state = self.lock();
        let meant = state
            .waiting
            .values_mut()
            .filter(|w| w.name.as_ref().is_some_and(|(ns, n)| ns == namespace && n == name));
        for waiting in meant {
            waiting.urgency = waiting.urgency.max(urgency);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::Urgency::{Moving, New, Settled};
    use super::*;

    /// Serves all that wait on one place, and says in which order.
    struct Desk {
        line: Line,
        place: Option<Place>,
        waiting: Vec<(String, futures::future::BoxFuture<'static, Place>)>,
    }

    impl Desk {
        fn new() -> Self {
            let line = Line::new(1);
            Self { place: line.try_enter(), line, waiting: Vec::new() }
        }

        fn comes(&mut self, name: &str, urgency: Urgency) {
            let (line, waits) = (self.line.clone(), ("n".to_owned(), name.to_owned()));
            let mut turn = async move { line.enter(urgency, Some(waits)).await }.boxed();
            assert!((&mut turn).now_or_never().is_none(), "the place is taken");
            self.waiting.push((name.to_owned(), turn));
        }

        fn next(&mut self) -> Option<String> {
            drop(self.place.take());
            for at in 0..self.waiting.len() {
                if let Some(place) = (&mut self.waiting[at].1).now_or_never() {
                    self.place = Some(place);
                    return Some(self.waiting.remove(at).0);
                }
            }
            None
        }
    }

    #[test]
    fn a_newcomer_among_many_at_rest_is_served_next() {
        let mut desk = Desk::new();
        for n in 0..100 {
            desk.comes(&format!("settled-{n}"), Settled);
        }
        assert_eq!(desk.next().as_deref(), Some("settled-0"));
        desk.comes("moving", Moving);
        desk.comes("new", New);
        let order: Vec<_> = (0..3).filter_map(|_| desk.next()).collect();
        assert_eq!(order, ["new", "moving", "settled-1"]);
    }

    #[test]
    fn whoever_waits_longest_is_passed_over_a_bounded_number_of_times() {
        let mut desk = Desk::new();
        desk.comes("old", Settled);
        desk.comes("older news", Moving);
        for n in 0..20 {
            desk.comes(&format!("new-{n}"), New);
        }
        let mut order = Vec::new();
        for n in 0..8 {
            desk.comes(&format!("newer-{n}"), New);
            order.extend(desk.next());
        }
        let expected = ["new-0", "new-1", "new-2", "old", "new-3", "new-4", "new-5", "older news"];
        assert_eq!(order, expected, "however many come");
        let rest: Vec<_> = std::iter::from_fn(|| desk.next()).collect();
        assert_eq!(rest.len(), 22);
        assert!(rest.is_sorted_by_key(|n| (
            n.starts_with("newer"),
            n.rsplit('-').next().map(str::len),
            n.clone()
        )));
    }

    #[test]
    fn what_became_urgent_while_it_waited_goes_first() {
        let mut desk = Desk::new();
        for name in ["a", "b", "c"] {
            desk.comes(name, Settled);
        }
        desk.line.hurry("n", "c", New);
        desk.line.hurry("other", "b", New);
        let order: Vec<_> = std::iter::from_fn(|| desk.next()).collect();
        assert_eq!(order, ["c", "a", "b"]);
    }

    #[test]
    fn who_gives_up_holds_up_nobody() {
        let line = Line::new(1);
        let place = line.try_enter();
        let mut gives_up = Box::pin(line.enter(New, None));
        assert!((&mut gives_up).now_or_never().is_none());
        let mut called = Box::pin(line.enter(New, None));
        assert!((&mut called).now_or_never().is_none());
        let mut waits = Box::pin(line.enter(Settled, None));
        assert!((&mut waits).now_or_never().is_none());
        drop(gives_up);
        drop(place);
        // It was called, and is cut off before it hears of it.
        drop(called);
        assert!(waits.now_or_never().is_some());
        assert!(line.try_enter().is_some(), "free again");
    }

    #[tokio::test]
    async fn a_pass_has_one_urgency_for_all_that_it_does() {
        assert_eq!(Urgency::here(), Settled);
        assert_eq!(New.scope(async { Urgency::here() }).await, New);
    }
}
