//! What must never happen, as properties with names.

use stateright::Property;

use super::Setup;
use super::world::{Guest, World};

macro_rules! rules {
    ($($(#[$doc:meta])* $rule:ident: $name:literal,)*) => {
        /// A sentence that holds in every state; the numbers are those of the invariants in
        /// `ARCHITECTURE.md`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum Rule {
            $($(#[$doc])* $rule,)*
        }

        pub(super) fn properties() -> Vec<Property<Setup>> {
            vec![
                $(Property::always($name, |_, world: &World| {
                    !world.broken.contains(&Rule::$rule)
                }),)*
                Property::eventually("every client comes and is answered in the end", |_, world: &World| {
                    let away = |client: &Guest| matches!(client, Guest::Away);
                    let all_came = world.left.arrivals == 0 || world.retired;
                    let answered = all_came && world.clients.iter().all(away);
                    answered || !world.broken.is_empty()
                }),
            ]
        }
    };
}

rules! {
    /// 1. Neither asked for nor carried out.
    Unused: "1: no stop while a lease is held or somebody waits",
    /// 1.
    Window: "1: no sleep before the idle window has passed",
    /// 2.
    OneOperation: "2: one engine operation at a time",
    /// 3.
    OnTheWay: "3: whoever waits has an operation, a probe or a look on the way",
    /// 3. As time never passes a deadline unnoticed, this bounds every wait.
    InTime: "3: whoever waits is owed a deadline no later than its time",
    /// 3.
    Remembered: "3: nobody who waits is forgotten, and nobody is answered twice",
    /// 4.
    LostWake: "4: an acquire during a stop leads to a start",
    /// 5.
    Proven: "5: nobody is granted before this life was seen ready",
    /// 6.
    Forgotten: "6: a running target is never forgotten",
    /// 7.
    BackOff: "7: no start before the back-off has passed",
    /// 7.
    Reason: "7: nobody is refused for a back-off that is over",
    /// The end of an earlier life is not taken for the end of this one.
    OldEnd: "nobody is refused because an earlier life has ended",
    /// Nothing is started that nobody waits for.
    ForNobody: "nothing is started for nobody",
    /// A sleep that is asked for and that nobody is in the way of begins.
    Heeded: "a sleep that is asked for begins unless the target is used",
    /// Leases are counted as they are held.
    Leases: "the leases held are the leases counted",
    /// A deadline that comes too early changes nothing, one that was handled is not owed again.
    Deadline: "a deadline is handled once, and not before its time",
    /// Clients are kept out while it is kept asleep.
    Curfew: "nobody is admitted in the hours in which it is kept asleep",
    /// A sleep of its own accord is one that was permitted.
    Permitted: "no sleep without the permission that is asked for",
    /// A kill is for somebody, and once.
    Killed: "it is killed once a stop, and only where somebody waits",
    /// Nothing sleeps in a dry run but what was told to.
    Dry: "in a dry run nothing is put to sleep",
    /// `Service::broken_invariant`.
    Inner: "what the core checks by itself holds",
}
