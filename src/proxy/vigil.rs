//! Watching a connection for silence, where that is asked for.
//!
//! A silent client keeps the target awake no longer, or is cut off. What is heard after that is passed
//! on only once the core has said that the target stays awake for it: a client that is cut off instead
//! knows that nothing of what it has sent was taken. Without `--silent-after` and `--activity traffic`
//! no connection has any of this.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Sleep, sleep};

use super::Stream;
use crate::activation::Moment;
use crate::clock;
use crate::config::rules::{Doze, Silence, WindowFrom};
use crate::driver::Held;

/// What a watched connection has beside its flows.
pub(super) struct Vigil {
    held: Held,
    terms: Silence,
    /// When the last byte passed.
    last: Moment,
    timer: Option<Pin<Box<Sleep>>>,
    /// The target is put to sleep under the client.
    cut_off: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// The connection is to be closed.
pub(super) struct Over;

/// The lease of a connection, and who watches it: on the heap, and only where somebody does.
pub(super) enum Guard {
    /// Nobody does.
    Alone(#[expect(dead_code, reason = "it is held, and given back with its drop")] Held),
    /// A vigil.
    Watched(Box<Vigil>),
}

impl Guard {
    /// For a connection that has this lease.
    pub(super) fn new(held: Held, terms: Silence) -> Self {
        let watched = terms.doze.is_some() || terms.close.is_some() || !held.counts();
        if watched { Self::Watched(Box::new(Vigil::new(held, terms))) } else { Self::Alone(held) }
    }
}

impl Vigil {
    fn new(held: Held, terms: Silence) -> Self {
        let mut vigil = Self { last: held.now(), held, terms, timer: None, cut_off: None };
        if !vigil.held.counts() {
            vigil.fall_silent();
        }
        vigil.set_timer();
        vigil
    }

    /// Before anything is passed on. Whoever is silent and has something to say is asked for first.
    pub(super) fn admit(
        &mut self,
        cx: &mut Context<'_>,
        client: &Stream,
        upstream: &Stream,
    ) -> Result<(), Over> {
        let Some(cut_off) = &mut self.cut_off else { return Ok(()) };
        if cut_off.as_mut().poll(cx).is_ready() {
            return Err(Over);
        }
        let news = |stream: &Stream, cx: &mut Context<'_>| stream.poll_read_ready(cx).is_ready();
        if news(client, cx) || news(upstream, cx) { self.stirs() } else { Ok(()) }
    }

    /// After something was passed on, or nothing.
    pub(super) fn after(&mut self, cx: &mut Context<'_>, moved: Moved) -> Result<(), Over> {
        match moved {
            Moved::Nothing => {}
            Moved::Bytes => {
                self.last = self.held.now();
                // What a full peer takes at last was not announced by anything to read.
                self.stirs()?;
            }
        }
        while let Some(timer) = &mut self.timer {
            match timer.as_mut().poll(cx) {
                Poll::Pending => break,
                Poll::Ready(()) => self.silent()?,
            }
        }
        let Some(cut_off) = &mut self.cut_off else { return Ok(()) };
        if cut_off.as_mut().poll(cx).is_ready() { Err(Over) } else { Ok(()) }
    }

    fn stirs(&mut self) -> Result<(), Over> {
        if self.cut_off.is_none() {
            return Ok(());
        }
        if !self.held.stirs() {
            return Err(Over);
        }
        if self.held.counts() {
            self.cut_off = None;
            self.set_timer();
        }
        Ok(())
    }

    /// The timer has come: how long has it been silent?
    fn silent(&mut self) -> Result<(), Over> {
        let now = self.held.now();
        let silence = now.since(self.last);
        if self.terms.close.is_some_and(|limit| silence >= limit) {
            return Err(Over);
        }
        if let Some(Doze { after, window }) = self.terms.doze
            && self.held.counts()
            && silence >= after
        {
            self.held.doze(match window {
                WindowFrom::LastByte => self.last,
                WindowFrom::Then => now,
            });
            self.fall_silent();
        }
        self.set_timer();
        Ok(())
    }

    fn fall_silent(&mut self) {
        self.cut_off = Some(Box::pin(self.held.put_to_sleep()));
    }

    /// For the next thing that its silence may mean.
    fn set_timer(&mut self) {
        let doze = self.terms.doze.filter(|_| self.held.counts()).map(|doze| doze.after);
        let next = doze.into_iter().chain(self.terms.close).min();
        let left = next.map(|next| (self.last + next).since(self.held.now()));
        self.timer = left.map(|left| match self.timer.take() {
            Some(mut timer) => {
                timer.as_mut().reset(clock::instant() + left);
                timer
            }
            None => Box::pin(sleep(left)),
        });
    }
}

/// Whether bytes were passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moved {
    /// Some were.
    Bytes,
    /// None.
    Nothing,
}
