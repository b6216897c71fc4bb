//! How often clients may wake: so many at once, and then one after the other in the time that the rate
//! leaves to each.
//!
//! A bucket is one moment: when it would be full again (the generic cell rate algorithm). As it fills
//! by itself, an address that has been quiet for long enough need not be remembered.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use crate::activation::Moment;
use crate::config::rules::Rate;

/// So many addresses are remembered at least, and twice as many at most. Where more come than that the
/// earliest begin anew; the rate of all together is what bounds them.
pub const ADDRESSES: usize = 4096;

/// Whose bucket it is: an IPv6 client has a network of 64 bits to itself (RFC 4291, 2.5.1), and the
/// peers of Unix sockets, who have no address, are one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Whose {
    /// An IPv4 address.
    V4([u8; 4]),
    /// The first half of an IPv6 address.
    V6([u16; 4]),
    /// Somebody on this machine.
    Local,
}

impl Whose {
    /// The bucket of a client with that address.
    pub fn of(address: Option<IpAddr>) -> Self {
        match address.map(|address| address.to_canonical()) {
            None => Self::Local,
            Some(IpAddr::V4(v4)) => Self::V4(v4.octets()),
            Some(IpAddr::V6(v6)) => {
                let [first, second, third, fourth, ..] = v6.segments();
                Self::V6([first, second, third, fourth])
            }
        }
    }
}

/// The buckets of one service.
#[derive(Debug)]
pub struct Rates {
    each: Option<Rate>,
    all: Option<Rate>,
    /// Of those that came lately.
    young: HashMap<Whose, Bucket>,
    /// Of those that came before them.
    old: HashMap<Whose, Bucket>,
    together: Bucket,
}

impl Rates {
    /// Full buckets: `each` address has one, and there is one for `all`.
    pub fn new(each: Option<Rate>, all: Option<Rate>) -> Self {
        let (young, old) = (HashMap::new(), HashMap::new());
        Self { each, all, young, old, together: Bucket::default() }
    }

    /// Whether that client may wake now; if it may, that counts. One that may not costs nobody
    /// anything.
    pub fn admit(&mut self, whose: Whose, now: Moment) -> bool {
        let together = match self.all {
            None => self.together,
            Some(all) => match self.together.taken(all, now) {
                Some(together) => together,
                None => return false,
            },
        };
        if let Some(each) = self.each {
            let own = self.young.get(&whose).or_else(|| self.old.get(&whose));
            let Some(own) = own.copied().unwrap_or_default().taken(each, now) else { return false };
            self.remember(whose, own);
        }
        self.together = together;
        true
    }

    /// How many addresses are remembered.
    pub fn remembered(&self) -> usize {
        self.young.len() + self.old.len()
    }

    fn remember(&mut self, whose: Whose, bucket: Bucket) {
        if self.young.len() == ADDRESSES && !self.young.contains_key(&whose) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(whose, bucket);
    }
}

/// How many times somebody may, now and later.
#[derive(Debug, Clone, Copy, Default)]
struct Bucket {
    /// When it is full.
    full: Moment,
}

impl Bucket {
    /// What is left of it, if one can be taken.
    fn taken(self, rate: Rate, now: Moment) -> Option<Self> {
        // Never nothing, so that whatever the rate is, it is one.
        let each = (rate.per / rate.count.max(1)).max(Duration::from_nanos(1));
        let full = self.full.max(now) + each;
        (full.since(now) <= each * rate.count.max(1)).then_some(Self { full })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::new(Duration::from_secs(1_000_000 + seconds))
    }

    fn somebody(number: u32) -> Whose {
        Whose::V4(number.to_be_bytes())
    }

    #[test]
    fn six_at_once_and_then_one_after_the_other() {
        let mut rates = Rates::new(Rate::parse("6/min").ok(), None);
        let whose = Whose::of("192.0.2.1".parse().ok());
        let admitted = (0..10).filter(|_| rates.admit(whose, at(0))).count();
        assert_eq!(admitted, 6);
        assert!(rates.admit(Whose::of("192.0.2.2".parse().ok()), at(0)), "another's own");
        assert!(!rates.admit(whose, at(9)) && rates.admit(whose, at(10)));
        assert!(!rates.admit(whose, at(19)));
        let later = (0..10).filter(|_| rates.admit(whose, at(10_000))).count();
        assert_eq!(later, 6, "no more is saved than there is room for");
    }

    #[test]
    fn all_together_have_one_and_who_is_refused_costs_the_others_nothing() {
        let mut rates = Rates::new(Rate::parse("1/min").ok(), Rate::parse("3/min").ok());
        assert!(rates.admit(somebody(1), at(0)));
        assert!((0..50).all(|_| !rates.admit(somebody(1), at(0))));
        assert!(rates.admit(somebody(2), at(0)) && rates.admit(somebody(3), at(0)));
        assert!(!rates.admit(somebody(4), at(0)));
        assert!(rates.admit(somebody(4), at(20)), "it was not its own that was empty");
    }

    #[test]
    fn a_network_of_64_bits_is_one_client() {
        let whose = |text: &str| Whose::of(text.parse().ok());
        assert_eq!(whose("2001:db8::1"), whose("2001:db8::ffff:2"));
        assert_ne!(whose("2001:db8:0:1::1"), whose("2001:db8:0:2::1"));
        assert_eq!(whose("::ffff:192.0.2.1"), whose("192.0.2.1"));
        assert_ne!(whose("192.0.2.1"), whose("192.0.2.2"));
        assert_eq!(Whose::of(None), Whose::Local);
    }

    #[test]
    fn however_many_come_few_are_remembered() {
        let mut rates = Rates::new(Rate::parse("2/h").ok(), None);
        for number in 0..50_000 {
            assert!(rates.admit(somebody(number), at(0)));
            assert!(rates.remembered() <= 2 * ADDRESSES);
        }
        assert!(rates.admit(somebody(49_999), at(0)) && !rates.admit(somebody(49_999), at(0)));
    }
}
