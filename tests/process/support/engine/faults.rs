//! The calls of the API and how they can go wrong.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// A kind of call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Call {
    Version,
    Ping,
    Info,
    List,
    Inspect,
    Start,
    Stop,
    Pause,
    Unpause,
    Kill,
    ExecCreate,
    ExecStart,
    ExecInspect,
    Logs,
    Events,
    /// Anything this engine does not know.
    Unknown,
}

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fault {
    /// Nothing, only later: the call takes this long before it has its effect.
    Slow(Duration),
    /// Nothing, only later: the call waits for [`Engine::proceed`](super::Engine::proceed) before
    /// it has its effect.
    Gated,
    /// An error, and no effect.
    Error(u16, &'static str),
    /// An error, although it had its effect.
    ErrorYetDone(u16, &'static str),
    /// No answer, no effect.
    Hang,
    /// No answer, although it had its effect.
    HangYetDone,
    /// Status 200 and a body that is no JSON.
    Garbage,
    /// A body shorter than announced.
    Truncated,
    /// The connection is closed without an answer.
    Closed,
}

/// Which faults are due.
#[derive(Debug, Default)]
pub(super) struct Script {
    once: HashMap<Call, VecDeque<Fault>>,
    always: HashMap<Call, Fault>,
}

impl Script {
    pub(super) fn once(&mut self, call: Call, fault: Fault) {
        self.once.entry(call).or_default().push_back(fault);
    }

    pub(super) fn always(&mut self, call: Call, fault: Fault) {
        self.always.insert(call, fault);
    }

    /// The fault of this call, if any.
    pub(super) fn next(&mut self, call: Call) -> Option<Fault> {
        let due = self.once.get_mut(&call).and_then(VecDeque::pop_front);
        due.or_else(|| self.always.get(&call).copied())
    }
}
