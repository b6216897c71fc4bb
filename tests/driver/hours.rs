//! By the clock: kept awake, kept asleep, and a clock that is set meanwhile.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use ondemand_container::activation::{Phase, Refused};
use ondemand_container::calendar::Weekly;
use ondemand_container::clock::{Clock, Scripted, instant};
use ondemand_container::config::OnExit;
use ondemand_container::config::rules::{AsleepClients, Hours};
use ondemand_container::driver::{Clients, Lease, Slept, Timekeeper};
use ondemand_container::engine::State;
use ondemand_container::engine::fake::{Delays, Outcome};
use ondemand_container::port::Port;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::support::{Rig, START_TIMEOUT, WINDOW, rig_with};

/// A Monday.
const MIDNIGHT: &str = "2026-11-23T00:00:00Z";

const HOUR: Duration = Duration::from_secs(3600);

/// A service that keeps its hours.
struct Kept {
    rig: Rig,
    wall: Scripted,
    hours: watch::Sender<Hours>,
    keeper: JoinHandle<()>,
}

impl Kept {
    fn at(time: &str, hours: Hours) -> Self {
        let rig = rig_with(WINDOW, 1, Delays::default(), OnExit::Leave);
        let wall = Scripted::new(moment(time));
        let (hours, told) = watch::channel(hours);
        let (service, clock) = (rig.service.clone(), Clock::new());
        let keeper = Timekeeper::new("web".to_owned(), service, told, wall.clone(), clock);
        let keeper = tokio::spawn(keeper.run());
        Self { rig, wall, hours, keeper }
    }

    fn set(&self, time: &str) {
        self.wall.set(moment(time));
    }

    /// Gives a clock that was set the time to be heard.
    async fn told(&self) {
        sleep(Duration::from_millis(1)).await;
    }

    /// However long that takes; two days are too long for all of these.
    async fn until(&self, what: &str, is: impl Fn(Phase) -> bool) {
        let mut changes = self.rig.service.changes();
        let reached = async {
            while !is(self.rig.service.status().phase) {
                changes.changed().await.unwrap();
            }
        };
        let reached = timeout(HOUR * 48, reached).await;
        assert!(reached.is_ok(), "not {what}, but {:?}", self.rig.service.status());
    }

    async fn until_awake(&self) {
        self.until("awake", |phase| matches!(phase, Phase::Awake { .. })).await;
    }

    async fn until_asleep(&self) {
        self.until("asleep", |phase| matches!(phase, Phase::Asleep { .. })).await;
    }

    fn starts(&self) -> u64 {
        self.rig.engine.counts().starts
    }
}

/// That time of the Monday, or of a later day: `+1 08:00`.
fn moment(time: &str) -> Timestamp {
    let (days, time) = time.split_once(' ').unwrap_or(("0", time));
    let (hours, minutes) = time.split_once(':').unwrap();
    let hours = days.parse::<i64>().unwrap() * 24 + hours.parse::<i64>().unwrap();
    let minutes = hours * 60 + minutes.parse::<i64>().unwrap();
    MIDNIGHT.parse::<Timestamp>().unwrap() + SignedDuration::from_mins(minutes)
}

fn list(text: &str) -> Vec<Weekly> {
    text.split(';').map(|text| Weekly::parse(text).unwrap()).collect()
}

fn awake(text: &str) -> Hours {
    Hours { awake: list(text), ..Hours::default() }
}

#[tokio::test(start_paused = true)]
async fn it_is_awake_from_the_beginning_of_its_hours_and_one_window_longer() {
    let kept = Kept::at("07:59", awake("08:00-18:00 UTC"));
    let begin = instant();
    sleep(Duration::from_secs(59)).await;
    assert_eq!(kept.starts(), 0);
    kept.until_awake().await;
    assert!(begin.elapsed() < Duration::from_secs(62));
    let details = kept.rig.service.details();
    assert!(details.by_the_clock && details.kept == 1 && details.sleeps_in.is_none());
    sleep(HOUR * 9).await;
    assert_eq!(kept.rig.engine.counts().stops, 0);
    kept.until_asleep().await;
    let over = Duration::from_secs(60) + HOUR * 10 + WINDOW;
    let took = begin.elapsed();
    assert!(took >= over && took < over + Duration::from_secs(2), "{took:?}");
    assert!(!kept.rig.service.details().by_the_clock);
    kept.until_awake().await;
    assert_eq!(begin.elapsed().as_secs() / 3600, 24, "the next day");
    kept.rig.assert_no_faults();
}

#[tokio::test(start_paused = true)]
async fn a_wake_that_fails_is_tried_again_until_the_hours_are_over() {
    let kept = Kept::at("08:00", awake("08:00-09:00 UTC"));
    let refused = || Outcome::Refused("no".to_owned());
    kept.rig.engine.script_starts(std::iter::repeat_with(refused).take(7));
    kept.until_awake().await;
    assert_eq!(kept.starts(), 8);
    kept.until_asleep().await;
    // With pauses of five minutes at the end, an hour is not full of tries.
    kept.rig.engine.script_starts(std::iter::repeat_with(refused).take(100));
    kept.set("+1 08:00");
    sleep(HOUR * 3).await;
    let tries = kept.starts() - 8;
    assert!((12..=24).contains(&tries), "{tries}");
}

#[tokio::test(start_paused = true)]
async fn whoever_stops_it_by_hand_has_the_last_word_until_somebody_comes() {
    let kept = Kept::at("08:00", awake("08:00-18:00 UTC"));
    kept.until_awake().await;
    kept.rig.engine.kill_behind_our_back();
    kept.until_asleep().await;
    sleep(HOUR).await;
    assert_eq!(kept.starts(), 1);
    drop(kept.rig.service.acquire(None).await.unwrap());
    sleep(HOUR).await;
    assert_eq!(kept.rig.engine.state(), State::Running, "the hours go on");
    assert_eq!(kept.rig.service.sleep(Clients::ComeFirst), Slept::Used);
    kept.rig.service.sleep(Clients::AreCutOff);
    kept.until_asleep().await;
    sleep(HOUR * 9).await;
    assert_eq!(kept.starts(), 2);
    kept.until_awake().await;
    assert_eq!(kept.starts(), 3, "with the next hours");
    kept.rig.assert_no_faults();
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_is_believed_at_once() {
    let kept = Kept::at("03:00", awake("08:00-18:00 UTC"));
    sleep(HOUR).await;
    assert_eq!(kept.starts(), 0);
    kept.set("08:00");
    kept.until_awake().await;
    // Within the same hours it changes nothing.
    kept.set("12:00");
    sleep(WINDOW * 2).await;
    kept.set("09:00");
    sleep(HOUR * 8).await;
    assert_eq!(kept.rig.engine.counts().stops, 0);
    kept.set("07:00");
    kept.until_asleep().await;
    assert_eq!(kept.starts(), 1);
    // A night in suspension: these are other hours, which are owed a wake.
    kept.set("10:00");
    kept.until_awake().await;
    kept.rig.engine.kill_behind_our_back();
    kept.until_asleep().await;
    kept.set("+1 10:00");
    kept.until_awake().await;
    assert_eq!(kept.starts(), 3);
}

#[tokio::test(start_paused = true)]
async fn other_hours_take_over_without_a_gap() {
    let kept = Kept::at("08:00", awake("08:00-18:00 UTC"));
    kept.until_awake().await;
    let begin = instant();
    kept.hours.send_replace(awake("08:00-20:00 UTC"));
    sleep(HOUR * 11).await;
    assert_eq!((kept.starts(), kept.rig.engine.counts().stops), (1, 0));
    kept.hours.send_replace(awake("06:00-07:00 UTC"));
    kept.until_asleep().await;
    assert!(begin.elapsed() < HOUR * 11 + WINDOW * 2);
    kept.hours.send_replace(awake("00:00-24:00 UTC"));
    kept.until_awake().await;
    sleep(HOUR * 24 * 30).await;
    assert_eq!((kept.starts(), kept.rig.engine.counts().stops), (2, 1));
    let Kept { rig, hours, keeper, .. } = kept;
    drop(hours);
    keeper.await.unwrap();
    rig.until_asleep().await;
}

#[tokio::test(start_paused = true)]
async fn hours_of_sleep_come_before_hours_of_waking() {
    let asleep = list("07:00-09:00 UTC");
    let kept = Kept::at(
        "07:30",
        Hours { asleep, clients: AsleepClients::Refuse, ..awake("08:00-18:00 UTC") },
    );
    sleep(HOUR).await;
    assert_eq!(kept.starts(), 0);
    let begin = instant();
    kept.until_awake().await;
    assert!(begin.elapsed() + Duration::from_secs(1) > HOUR / 2);
}

fn asleep(text: &str, clients: AsleepClients) -> Hours {
    Hours { asleep: list(text), clients, ..Hours::default() }
}

/// A client of its port.
async fn client(kept: &Kept) -> Result<Lease, Refused> {
    kept.rig.service.acquire(Some(Port::tcp(80))).await
}

#[tokio::test(start_paused = true)]
async fn nobody_is_cut_off_and_nobody_else_let_in() {
    let kept = Kept::at("21:59", asleep("22:00-06:00 UTC", AsleepClients::Refuse));
    let stays = client(&kept).await.unwrap();
    sleep(HOUR).await;
    assert_eq!(kept.rig.engine.state(), State::Running, "its client stays");
    assert!(matches!(client(&kept).await, Err(Refused::Curfew(_))));
    drop(stays);
    let begin = instant();
    kept.until_asleep().await;
    assert!(begin.elapsed() < Duration::from_secs(1), "there is no idle window");
    let Err(Refused::Curfew(left)) = client(&kept).await else { panic!("it was let in") };
    let wanted = HOUR * 7 + Duration::from_secs(60);
    assert!(left <= wanted && left + Duration::from_secs(2) > wanted, "{left:?}");
    assert_eq!(kept.rig.service.details().kept_asleep, Some(left));
    // Who is no client may.
    drop(kept.rig.service.wake().await.unwrap());
    let begin = instant();
    kept.until_asleep().await;
    assert!(begin.elapsed() < Duration::from_secs(1));
    sleep(wanted).await;
    drop(client(&kept).await.unwrap());
    assert_eq!(kept.rig.service.details().kept_asleep, None);
    kept.rig.assert_no_faults();
}

#[tokio::test(start_paused = true)]
async fn who_is_held_is_served_with_the_end_of_the_hours() {
    let kept = Kept::at("05:00", asleep("22:00-06:00 UTC", AsleepClients::Hold));
    let begin = instant();
    let (one, other) = tokio::join!(client(&kept), client(&kept));
    let took = begin.elapsed();
    assert!(took >= HOUR && took < HOUR + Duration::from_secs(2), "{took:?}");
    drop((one.unwrap(), other.unwrap()));
    assert_eq!(kept.starts(), 1);
    // From the end on they have one start timeout.
    kept.until_asleep().await;
    let begin = instant();
    kept.set("+1 05:00");
    kept.told().await;
    kept.rig.engine.go_away();
    assert!(client(&kept).await.is_err());
    let took = begin.elapsed();
    assert!(took >= HOUR + START_TIMEOUT && took < HOUR + START_TIMEOUT * 2, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn who_is_held_goes_by_the_clock_that_is_set() {
    let kept = Kept::at("23:00", asleep("22:00-06:00 UTC", AsleepClients::Hold));
    let waits = async { client(&kept).await.map(drop) };
    let sets = async {
        sleep(HOUR).await;
        // Farther from the end, nearer to it, past it.
        kept.set("22:30");
        sleep(HOUR * 7).await;
        assert_eq!(kept.starts(), 0);
        kept.set("+1 04:00");
        sleep(HOUR).await;
        assert_eq!(kept.starts(), 0);
        kept.set("+1 07:00");
    };
    let begin = instant();
    let (served, ()) = tokio::join!(waits, sets);
    served.unwrap();
    let took = begin.elapsed();
    assert!(took >= HOUR * 9 && took < HOUR * 9 + Duration::from_secs(2), "{took:?}");
    // Who is held when nobody may any more is told at once.
    kept.set("+1 23:00");
    kept.told().await;
    let waits = async { client(&kept).await };
    let refuses = async {
        sleep(HOUR).await;
        kept.hours.send_replace(asleep("22:00-06:00 UTC", AsleepClients::Refuse));
    };
    let (refused, ()) = tokio::join!(waits, refuses);
    assert!(matches!(refused, Err(Refused::Curfew(_))));
}

#[tokio::test(start_paused = true)]
async fn a_hold_outranks_hours_of_sleep_for_clients_too() {
    for clients in [AsleepClients::Refuse, AsleepClients::Hold] {
        let kept = Kept::at("23:00", asleep("22:00-06:00 UTC", clients));
        let hold = kept.rig.service.wake().await.unwrap().keep();
        sleep(HOUR).await;
        let user = client(&kept).await.unwrap();
        sleep(HOUR).await;
        assert_eq!(kept.rig.engine.counts().stops, 0);
        drop(hold);
        sleep(HOUR).await;
        assert_eq!(kept.rig.engine.counts().stops, 0, "who is there is not cut off");
        drop(user);
        let begin = instant();
        kept.until_asleep().await;
        assert!(begin.elapsed() < Duration::from_secs(1));
        let waits = timeout(HOUR, client(&kept)).await;
        match clients {
            AsleepClients::Hold => assert!(waits.is_err(), "it is held again"),
            AsleepClients::Refuse | AsleepClients::Wake => {
                assert!(matches!(waits, Ok(Err(Refused::Curfew(_)))));
            }
        }
        assert_eq!(kept.starts(), 1);
        kept.rig.assert_no_faults();
    }
}

#[tokio::test(start_paused = true)]
async fn clients_that_wake_it_in_hours_of_sleep_leave_no_idle_window() {
    let kept = Kept::at("23:00", asleep("22:00-06:00 UTC", AsleepClients::Wake));
    for round in 1..=3 {
        let lease = client(&kept).await.unwrap();
        sleep(HOUR).await;
        drop(lease);
        let begin = instant();
        kept.until_asleep().await;
        assert!(begin.elapsed() < Duration::from_secs(1));
        assert_eq!(kept.starts(), round);
    }
}

#[tokio::test(start_paused = true)]
async fn it_sleeps_when_hours_of_sleep_begin_in_hours_of_waking_and_is_awake_after_them() {
    let kept =
        Kept::at("08:00", Hours { asleep: list("12:00-13:00 UTC"), ..awake("08:00-18:00 UTC") });
    let begin = instant();
    kept.until_awake().await;
    kept.until_asleep().await;
    let took = begin.elapsed();
    assert!(took >= HOUR * 4 && took < HOUR * 4 + Duration::from_secs(1), "{took:?}");
    kept.until_awake().await;
    let took = begin.elapsed();
    assert!(took >= HOUR * 5 && took < HOUR * 5 + Duration::from_secs(2), "{took:?}");
    kept.until_asleep().await;
    assert!(begin.elapsed() >= HOUR * 10 + WINDOW, "an idle window, as after any use");
}
