//! Long random histories of the core under random policies, judged after every step by the
//! observer of `tests/model/`; and parsers, which meet whatever an operator or an environment says.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[path = "model/mod.rs"]
mod model;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use ondemand_container::activation::{self, Asking, Depth, Phase, Policy, Practice, Tiers, Window};
use ondemand_container::config::duration::{
    IdleTimeout, parse_duration, parse_keepalive, parse_positive, parse_window,
};
use ondemand_container::config::{GivenUpstream, ListenAddress, Ports, Ready, Socket};
use ondemand_container::engine::{Endpoint, Found, TargetName, select};
use ondemand_container::port::{Port, Protocol};
use proptest::prelude::*;

use self::model::{Budget, State, Step, World};

/// Enough for many lives of the target in one history.
const PLENTY: Budget = Budget {
    arrivals: 60,
    leaves: 30,
    ends: 20,
    helps: 20,
    failures: 20,
    ticks: 60,
    sleeps: 20,
    pins: 20,
    retires: 0,
    silences: 30,
    denials: 20,
    curfews: 10,
};

fn policies() -> impl Strategy<Value = Policy> {
    let seconds = |range: std::ops::Range<u64>| range.prop_map(Duration::from_secs);
    let idle = prop_oneof![
        1 => Just(Window::After(Duration::ZERO)),
        1 => Just(Window::Never),
        4 => seconds(1..40).prop_map(Window::After),
    ];
    let maybe = |range: std::ops::Range<u64>| proptest::option::of(seconds(range));
    let asking = proptest::option::of((0..3_u64, 2..9_u64)).prop_map(|asking| {
        asking.map(|(lead, interval)| Asking {
            lead: Duration::from_secs(lead),
            interval: Duration::from_secs(interval),
        })
    });
    let tiers = prop_oneof![
        2 => Just(Tiers::STOP),
        1 => maybe(1..40).prop_map(|deeper| Tiers { first: Depth::Pause, deeper }),
    ];
    let practice = prop_oneof![9 => Just(Practice::Real), 1 => Just(Practice::Dry)];
    let least = prop_oneof![3 => Just(Duration::ZERO), 1 => seconds(1..30)];
    (idle, seconds(1..30), least, tiers, asking, maybe(0..9), practice).prop_map(
        |(idle, start_timeout, min_awake, tiers, asking, kill_after, practice)| Policy {
            min_awake,
            tiers,
            asking,
            kill_after,
            practice,
            ..Policy::new(idle, start_timeout)
        },
    )
}

fn states() -> impl Strategy<Value = State> {
    prop::sample::select(vec![State::Running, State::Paused, State::Stopped, State::Missing])
}

/// A world after a history in which each choice has picked one of the steps that were possible.
fn after(mut world: World, choices: &[u16]) -> Result<World, TestCaseError> {
    for choice in choices {
        let mut steps = Vec::new();
        world.possible(&mut steps);
        if steps.is_empty() {
            break;
        }
        take(&mut world, steps[usize::from(*choice) % steps.len()])?;
    }
    Ok(world)
}

/// Lets happen what can until nothing of `wanted` can any more.
fn drain(world: &mut World, wanted: impl Fn(&Step) -> bool) -> Result<(), TestCaseError> {
    for _ in 0..2000 {
        let mut steps = Vec::new();
        world.possible(&mut steps);
        let Some(step) = steps.into_iter().find(&wanted) else { return Ok(()) };
        take(world, step)?;
    }
    Err(TestCaseError::fail(format!("it does not come to rest: {world:#?}")))
}

fn take(world: &mut World, step: Step) -> Result<(), TestCaseError> {
    let before = world.clone();
    world.take(step);
    world.judge();
    prop_assert!(world.broken.is_empty(), "{step:?} breaks {:?}, in {before:#?}", world.broken);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn no_long_history_breaks_an_invariant(
        policy in policies(),
        seats in 1..12_usize,
        begin in states(),
        retires in 0..2_u16,
        choices in prop::collection::vec(any::<u16>(), 0..500),
    ) {
        let world = World::new(policy, Budget { retires, ..PLENTY }, seats, begin);
        after(world, &choices)?;
    }

    /// Invariant 3, to its end: with an engine that never answers again.
    #[test]
    fn when_the_engine_hangs_whoever_waits_is_refused_in_time(
        policy in policies(),
        seats in 1..12_usize,
        begin in states(),
        choices in prop::collection::vec(any::<u16>(), 0..300),
    ) {
        let mut world = after(World::new(policy, PLENTY, seats, begin), &choices)?;
        let time = |step: &Step| {
            matches!(step, Step::Deadline | Step::PassTime | Step::CurfewEnds)
        };
        drain(&mut world, time)?;
        prop_assert_eq!(world.core.waiting(), 0);
    }

    /// Invariant 6, to its end: with nobody there any more and an engine that works.
    #[test]
    fn left_alone_the_target_comes_to_rest_unless_it_never_may(
        policy in policies(),
        seats in 1..12_usize,
        begin in states(),
        choices in prop::collection::vec(any::<u16>(), 0..300),
    ) {
        let mut world = after(World::new(policy, PLENTY, seats, begin), &choices)?;
        drain(&mut world, |step| match step {
            Step::Act(outcome) => *outcome == model::Outcome::Works,
            Step::TellLeave(_) | Step::Release(_) | Step::Unpin | Step::AnswerOperation | Step::AnswerProbe(_)
            | Step::Look | Step::AnswerLook | Step::StrayStart | Step::Deadline
            | Step::CurfewEnds | Step::TellPermission
            | Step::PassTime => true,
            Step::Permit(permission) => *permission == activation::Permission::Given,
            Step::Doze(_) | Step::Stir(_) | Step::CurfewBegins(_) | Step::Arrive(_) | Step::Leave(_) | Step::ProbeSeesReady | Step::ProbeGivesUp
            | Step::Exit | Step::Remove | Step::PausedByOthers | Step::RestartedByOthers
            | Step::HelpedByOthers | Step::Tick | Step::Sleep | Step::Pin | Step::Retire => false,
        })?;
        prop_assert_eq!((world.core.leases(), world.core.waiting()), (0, 0));
        if world.policy.idle == Window::Never || world.policy.practice == Practice::Dry {
            let knows = matches!(world.core.phase(), Phase::Awake { .. } | Phase::Found { .. });
            prop_assert_eq!(knows, world.target.state == State::Running);
        } else {
            prop_assert_ne!(world.target.state, State::Running);
            let deeper = world.policy.tiers.deeper.is_some();
            prop_assert!(!(deeper && world.target.state == State::Paused));
        }
    }
}

/// Text that looks like an address, a duration or a name, and text that looks like nothing.
fn texts() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[0-9a-z:./\\[\\] -]{0,24}",
        "(unix|tcp|http|ssh|localhost)?:?/{0,3}[a-z0-9.:\\[\\]]{0,12}(:[0-9]{1,6})?/?",
        "[0-9]{0,20}(ms|s|m|h|d| ){0,3}",
        "http:[ -~]{0,20}",
    ]
}

/// Parses again what was understood and written in the parser's own words.
fn round_trip<T, E>(parse: impl Fn(&str) -> Result<T, E>, text: &str, written: &str, value: &T)
where
    T: PartialEq + Debug,
    E: Debug,
{
    assert_eq!(&parse(written).unwrap(), value, "{text:?} was written as {written:?}");
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 2000, failure_persistence: None, ..ProptestConfig::default()
    })]

    #[test]
    fn durations_that_are_understood_are_understood_again_as_they_are_written(text in texts()) {
        if let Ok(duration) = parse_duration(&text) {
            let written = humantime::format_duration(duration).to_string();
            round_trip(parse_duration, &text, &written, &duration);
            prop_assert_eq!(parse_positive(&text).is_ok(), !duration.is_zero());
            let window = IdleTimeout::Fixed(Window::After(duration));
            prop_assert_eq!(parse_window(&text), Ok(window));
        }
        if let Ok(keepalive) = parse_keepalive(&text) {
            prop_assert!((1..=32767).contains(&keepalive.as_secs()));
        }
        drop(parse_window(&text));
    }

    #[test]
    fn addresses_to_listen_at_are_understood_again_and_never_have_port_0(text in texts()) {
        if let Ok(address) = ListenAddress::parse(&text) {
            let written = match &address {
                ListenAddress::Everywhere(Port { number, protocol: Protocol::Tcp }) => {
                    number.to_string()
                }
                ListenAddress::Everywhere(port) => format!("udp:{}", port.number),
                ListenAddress::At(Protocol::Tcp, address) => address.to_string(),
                ListenAddress::At(Protocol::Udp, address) => format!("udp:{address}"),
                ListenAddress::Unix(path) => format!("unix:{}", path.display()),
            };
            prop_assert!(!matches!(&address, ListenAddress::Everywhere(port) if port.number == 0));
            prop_assert!(!matches!(&address, ListenAddress::At(_, at) if at.port() == 0));
            round_trip(ListenAddress::parse, &text, &written, &address);
        }
    }

    #[test]
    fn a_readiness_path_can_end_no_request_line(text in texts()) {
        if let Ok(Ready::Http(path)) = Ready::parse(&text) {
            prop_assert!(path.starts_with('/') && !path.contains([' ', '\r', '\n']));
            prop_assert_eq!(Ready::parse(&format!("http:{path}")), Ok(Ready::Http(path)));
        }
    }

    #[test]
    fn a_container_name_needs_no_escape_in_a_url(text in texts()) {
        if let Ok(name) = TargetName::container(&text) {
            prop_assert_eq!(name.as_str(), &text);
            prop_assert!(!text.contains(['/', '?', '#', '%', ' ', '\n']) && !text.starts_with('.'));
        }
    }

    #[test]
    fn a_unit_name_has_a_type_and_stays_what_it_is(text in texts()) {
        if let Ok(name) = TargetName::unit(&text) {
            prop_assert!(name.as_str().starts_with(&text));
            prop_assert!(name.as_str().ends_with(".service") || name.as_str().ends_with(".target"));
            prop_assert!(!name.as_str().contains(['/', ' ', '\n']) && name.as_str().len() < 256);
            prop_assert_eq!(TargetName::unit(name.as_str()), Ok(name.clone()));
        }
    }

    #[test]
    fn names_of_the_engines_grammar_are_taken(name in "[a-zA-Z0-9][a-zA-Z0-9_.-]{0,40}") {
        prop_assert!(TargetName::container(&name).is_ok());
    }

    #[test]
    fn upstreams_are_understood_again(text in texts()) {
        let parse = |text: &str| GivenUpstream::parse(text, None);
        if let Ok(upstream) = parse(&text) {
            prop_assert!(!matches!(&upstream, GivenUpstream::Host(_, Some(0))));
            round_trip(parse, &text, &upstream.to_string(), &upstream);
        }
    }

    #[test]
    fn every_socket_address_is_an_upstream(address in any::<std::net::SocketAddr>()) {
        let upstream = GivenUpstream::parse(&address.to_string(), None);
        prop_assert_eq!(upstream.is_ok(), address.port() != 0, "{}", address);
    }

    #[test]
    fn ports_are_understood_again(text in texts()) {
        if let Ok(port) = text.parse::<Port>() {
            prop_assert!(port.number != 0);
            prop_assert_eq!(port.to_string().parse(), Ok(port));
        }
    }

    #[test]
    fn sockets_lead_to_ports_of_their_protocol_and_every_port_has_one(
        ports in prop::collection::btree_set((1_u16..5, any::<bool>()), 1..5),
        sockets in prop::collection::vec((any::<bool>(), prop::option::of(1_u16..5)), 0..6),
    ) {
        let protocol = |udp| if udp { Protocol::Udp } else { Protocol::Tcp };
        let ports: Vec<Port> = ports
            .into_iter()
            .map(|(number, udp)| Port { number, protocol: protocol(udp) })
            .collect();
        let sockets: Vec<Socket<'_>> = sockets
            .into_iter()
            .map(|(udp, wished)| Socket { protocol: protocol(udp), name: None, wished })
            .collect();
        if let Ok(places) = Ports::of(ports.clone()).assign(&sockets) {
            prop_assert_eq!(places.len(), sockets.len());
            for (socket, place) in sockets.iter().zip(&places) {
                prop_assert_eq!(place.protocol, socket.protocol);
                prop_assert!(socket.wished.is_none_or(|wished| wished == place.number));
            }
            prop_assert!(ports.iter().all(|port| places.contains(port)));
        }
    }

    #[test]
    fn an_endpoint_that_is_chosen_is_chosen_again_by_its_name(
        wish in prop_oneof![texts(), "auto|docker|podman"],
        variables in prop::collection::btree_map(
            "DOCKER_HOST|CONTAINER_HOST|XDG_RUNTIME_DIR", texts(), 0..3,
        ),
        found in prop::sample::select(vec![Found::Nothing, Found::Forbidden, Found::Usable]),
    ) {
        let choose = |wish: &str, variables: &BTreeMap<String, String>| {
            select(wish, |name| variables.get(name).cloned(), |_: &Path| found)
        };
        if let Ok((endpoint, _)) = choose(&wish, &variables) {
            if let Endpoint::Unix(path) = &endpoint && !path.is_absolute() {
                // A runtime directory is taken as the environment says it.
                return Ok(());
            }
            let again = choose(&endpoint.to_string(), &BTreeMap::new());
            prop_assert_eq!(again.map(|(endpoint, _)| endpoint), Ok(endpoint));
        }
    }
}
