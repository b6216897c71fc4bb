use std::fs;
use std::future::Future;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

use super::*;
use crate::clock;
use crate::config::rules::{Busy, MaySleep, Switch};
use crate::config::{GivenUpstream, Ports, Ready};
use crate::engine::fake::{Delays, FakeEngine};
use crate::engine::{Networking, TargetName, Usage};
use crate::port::Port;
use crate::proxy::header::Version;

const SECOND: Duration = Duration::from_secs(1);
const CPU: Busy = Busy { cpu: Some(Duration::from_millis(50)), net: None };
const NET: Busy = Busy { cpu: None, net: Some(1024) };

fn question(may_sleep: MaySleep) -> Question<FakeEngine> {
    let target = Target {
        service: "shop".to_owned(),
        name: TargetName::container("web").unwrap(),
        ports: Ports::one(Port::tcp(80)),
        upstream: None,
        network: None,
        ready: Ready::Tcp,
        stop_timeout: None,
        keepalive: 60 * SECOND,
        announce: None,
        own_addresses: Vec::new(),
        may_sleep,
        reclaim: Switch::No,
        bonds: Arc::default(),
    };
    let engine = FakeEngine::new(1, Delays::default());
    engine.start_behind_our_back();
    Question {
        engine: Arc::new(engine),
        target: Arc::new(target),
        observed: None,
        upstream: None,
        lead: Duration::ZERO,
        said: Arc::default(),
    }
}

fn if_not(busy: Busy) -> Question<FakeEngine> {
    question(MaySleep { condition: None, busy })
}

fn asking(condition: Condition) -> Question<FakeEngine> {
    question(MaySleep { condition: Some(condition), busy: Busy::default() })
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn script(text: &str) -> Vec<String> {
    words(&["/bin/sh", "-c", text])
}

fn denied(answer: &Permission) -> &str {
    match answer {
        Permission::Given => panic!("it may sleep"),
        Permission::Denied(why) => why,
    }
}

/// A place for what a command writes, removed with its test.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("odt-ask-{}-{number}", std::process::id())))
    }

    fn path(&self) -> String {
        self.0.display().to_string()
    }

    /// What was written, if it ends with a line feed.
    fn written(&self) -> Option<String> {
        let text = fs::read_to_string(&self.0).ok()?;
        text.ends_with('\n').then(|| text.trim().to_owned())
    }

    /// What was written, as soon as it is.
    async fn line(&self) -> String {
        until("the command writes a line", || self.written().is_some()).await;
        self.written().unwrap()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

/// What `/proc` calls the process's state; `None` if there is none any more.
fn state(pid: &str) -> Option<char> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ")?.1.chars().next()
}

async fn until(what: &str, is: impl Fn() -> bool) {
    let wait = async {
        while !is() {
            sleep(Duration::from_millis(2)).await;
        }
    };
    timeout(20 * SECOND, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
}

#[tokio::test]
async fn a_command_says_yes_with_status_0() {
    let ask_it = async |text: &str| ask(asking(Condition::Command(script(text)))).await;
    assert_eq!(ask_it("exit 0").await, Permission::Given);
    assert_eq!(denied(&ask_it("exit 3").await), "/bin/sh says no (status 3)");
    assert_eq!(denied(&ask_it("kill -9 $$").await), "/bin/sh was ended by signal 9");
    // It reads nothing, and is told who is asked about.
    let told = r#"! read line && test "$ONDEMAND_SERVICE $ONDEMAND_CONTAINER" = "shop web""#;
    assert_eq!(ask_it(told).await, Permission::Given);
    assert_eq!(ask_it("test -z \"$NOTIFY_SOCKET\"").await, Permission::Given);
}

#[tokio::test]
async fn a_command_that_vanishes_is_a_no() {
    let scratch = Scratch::new();
    let question = || asking(Condition::Command(words(&[&scratch.path()])));
    let why = ask(question()).await;
    assert!(denied(&why).starts_with(&format!("{} cannot be run: ", scratch.path())), "{why:?}");
    fs::write(&scratch.0, "#!/bin/sh\n").unwrap();
    let why = ask(question()).await;
    assert!(denied(&why).contains("ermission denied"), "{why:?}");
}

#[tokio::test]
async fn a_command_that_floods_its_output_is_answered() {
    let flood = script("yes | head -c 3000000; yes | head -c 3000000 >&2");
    assert_eq!(ask(asking(Condition::Command(flood))).await, Permission::Given);
}

#[tokio::test]
async fn a_command_that_hangs_is_killed_with_its_children() {
    let scratch = Scratch::new();
    let text = format!("sleep 1000 & echo $$ $! >{}; wait", scratch.path());
    let mut limit = SECOND / 2;
    let pids = loop {
        let began = clock::instant();
        let why = command::run(&script(&text), &[], limit).await.unwrap_err();
        assert_eq!(why, format!("/bin/sh has not ended within {} s", limit.as_secs_f32()));
        assert!(began.elapsed() >= limit);
        // On a machine that stands still it may be killed before it has said who it is.
        if let Some(pids) = scratch.written() {
            break pids;
        }
        assert!(limit < 8 * SECOND, "the command never writes");
        limit *= 2;
    };
    let (parent, child) = pids.split_once(' ').unwrap();
    until("it is reaped", || state(parent).is_none()).await;
    // Whose child that is now reaps it, or does not.
    until("its child is dead", || state(child).is_none_or(|state| state == 'Z')).await;
}

#[tokio::test]
async fn a_question_that_is_dropped_ends_its_command_at_once() {
    let scratch = Scratch::new();
    let text = format!("sleep 1000 & echo $$ $! >{}; wait", scratch.path());
    let asked = tokio::spawn(ask(asking(Condition::Command(script(&text)))));
    let pids = scratch.line().await;
    let (parent, child) = pids.split_once(' ').unwrap();
    assert!(state(parent).is_some() && state(child).is_some());
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
    until("its child is dead", || state(child).is_none_or(|state| state == 'Z')).await;
    until("it is reaped", || state(parent).is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn a_command_in_the_container_says_yes_with_status_0() {
    let ask_it = async |code: i64| {
        let question = asking(Condition::Exec(words(&["in-use"])));
        question.engine.script_execs([code]);
        ask(question).await
    };
    assert_eq!(ask_it(0).await, Permission::Given);
    assert_eq!(denied(&ask_it(1).await), "in-use in the container says no (status 1)");
    assert_eq!(denied(&ask_it(NOT_RUN).await), "in-use cannot be run in the container");
    let question = asking(Condition::Exec(words(&["in-use"])));
    question.engine.go_away();
    assert_eq!(denied(&ask(question).await), "in-use in the container: the engine is away");
}

/// An application: what it answers is up to `serve`.
async fn application<F: Future<Output = ()> + Send>(
    serve: impl Fn(TcpStream) -> F + Send + 'static,
) -> (GivenUpstream, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            serve(stream).await;
        }
    });
    (GivenUpstream::Host("127.0.0.1".to_owned(), Some(port)), task)
}

fn at(upstream: GivenUpstream, announce: Option<Version>) -> Question<FakeEngine> {
    let question = asking(Condition::Http("/status/x".to_owned()));
    let target = Target { upstream: Some(upstream), announce, ..(*question.target).clone() };
    Question { target: Arc::new(target), ..question }
}

async fn head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        bytes.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(bytes).unwrap()
}

async fn answer(stream: &mut TcpStream, status: &str) {
    let text = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(text.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn the_application_says_yes_with_2xx() {
    let (upstream, task) = application(|mut stream: TcpStream| async move {
        let head = head(&mut stream).await;
        assert!(head.starts_with("GET /status/x HTTP/1.1\r\n"), "{head}");
        answer(&mut stream, "204 No Content").await;
    })
    .await;
    assert_eq!(ask(at(upstream, None)).await, Permission::Given);
    task.abort();
    for status in ["503 Busy", "302 Found"] {
        let (upstream, task) = application(move |mut stream: TcpStream| async move {
            head(&mut stream).await;
            answer(&mut stream, status).await;
        })
        .await;
        let why = ask(at(upstream, None)).await;
        assert_eq!(denied(&why), format!("GET /status/x answers {}", &status[..3]));
        task.abort();
    }
}

#[tokio::test]
async fn an_application_that_expects_a_proxy_header_gets_one() {
    let (upstream, task) = application(|mut stream: TcpStream| async move {
        let mut first = [0; 13];
        stream.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"PROXY UNKNOWN");
        answer(&mut stream, "200 OK").await;
    })
    .await;
    assert_eq!(ask(at(upstream, Some(Version::V1))).await, Permission::Given);
    task.abort();
}

#[tokio::test]
async fn an_application_that_is_away_or_closes_is_a_no() {
    let (upstream, task) = application(|stream: TcpStream| async move { drop(stream) }).await;
    let why = ask(at(upstream.clone(), None)).await;
    assert!(denied(&why).starts_with("GET /status/x: "), "{why:?}");
    task.abort();
    // Bound and not listening, it refuses, and its number is nobody else's.
    let closed = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    closed.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    let port = closed.local_addr().unwrap().as_socket().unwrap().port();
    let upstream = GivenUpstream::Host("127.0.0.1".to_owned(), Some(port));
    let why = ask(at(upstream, None)).await;
    let refused = io::Error::from(io::ErrorKind::ConnectionRefused).to_string();
    assert!(denied(&why).to_lowercase().contains(&refused), "{why:?}");
}

#[tokio::test]
async fn a_question_that_is_dropped_leaves_no_connection() {
    let (told, mut tell) = tokio::sync::mpsc::unbounded_channel();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let application = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        told.send(head(&mut stream).await.len()).unwrap();
        told.send(stream.read(&mut [0; 1]).await.unwrap_or(0)).unwrap();
    });
    let upstream = GivenUpstream::Host("127.0.0.1".to_owned(), Some(port));
    let asked = tokio::spawn(ask(at(upstream, None)));
    assert!(tell.recv().await.unwrap() > 0, "it was asked");
    asked.abort();
    assert_eq!(timeout(20 * SECOND, tell.recv()).await.unwrap(), Some(0), "and left");
    application.await.unwrap();
}

/// Asks for the last minute of the window, in which the container uses `cpu`; how long it took.
async fn measured(cpu: Duration) -> (Permission, Duration) {
    let used = |cpu| Usage { cpu: Some(cpu), ..Usage::default() };
    let question = Question { lead: 60 * SECOND, ..if_not(CPU) };
    let engine = Arc::clone(&question.engine);
    engine.use_so_much(used(7 * SECOND));
    let began: Instant = clock::instant();
    let work = async {
        sleep(30 * SECOND).await;
        engine.use_so_much(used(7 * SECOND + cpu));
    };
    let (answer, ()) = tokio::join!(ask(question), work);
    (answer, began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn the_last_of_the_window_is_measured() {
    let (answer, took) = measured(2 * SECOND).await;
    assert_eq!(answer, Permission::Given);
    assert!(took >= 60 * SECOND && took < 61 * SECOND, "{took:?}");
    let (answer, _) = measured(12 * SECOND).await;
    assert!(denied(&answer).starts_with("busy: cpu 20.0% > 5%"), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn without_a_lead_a_second_is_measured() {
    let question = if_not(CPU);
    question.engine.use_so_much(Usage { cpu: Some(SECOND), ..Usage::default() });
    let began = clock::instant();
    assert_eq!(ask(question).await, Permission::Given);
    assert!(began.elapsed() >= SECOND && began.elapsed() < 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_condition_alone_is_asked_at_the_end_of_the_lead() {
    let question = asking(Condition::Exec(words(&["in-use"])));
    let began = clock::instant();
    let answer = ask(Question { lead: 60 * SECOND, ..question }).await;
    assert_eq!(answer, Permission::Given);
    assert!(began.elapsed() >= 60 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_busy_one_is_not_asked_further() {
    let exec = Some(Condition::Exec(words(&["in-use"])));
    let question = question(MaySleep { condition: exec, busy: CPU });
    let engine = Arc::clone(&question.engine);
    engine.script_execs([5]);
    let answer = ask(question).await;
    assert_eq!(denied(&answer), "busy: its processor time cannot be read");
    let name = TargetName::container("web").unwrap();
    assert_eq!(engine.exec(&name, &[], SECOND).await, Ok(5), "nobody has asked before");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_busy_and_told_once() {
    for busy in [CPU, NET] {
        let question = if_not(busy);
        let said = Arc::clone(&question.said);
        assert!(!said.load(Ordering::Relaxed));
        assert!(denied(&ask(question).await).ends_with("cannot be read"));
        assert!(said.load(Ordering::Relaxed));
    }
    let question = if_not(CPU);
    question.engine.remove();
    assert_eq!(denied(&ask(question).await), "web");
}

/// Who uses the host's network has none that could be measured, whatever an engine may say.
#[tokio::test(start_paused = true)]
async fn only_a_network_of_its_own_is_measured() {
    let question = if_not(NET);
    question.engine.use_so_much(Usage { net: Some(5), ..Usage::default() });
    let seen = question.engine.inspect(&question.target.name).await.unwrap();
    assert_eq!(seen.networking, Networking::Host);
    let own = Observed { networking: Networking::Own([].into()), ..seen };
    let same = |observed| Question {
        engine: Arc::clone(&question.engine),
        target: Arc::clone(&question.target),
        observed,
        upstream: None,
        lead: Duration::ZERO,
        said: Arc::default(),
    };
    assert_eq!(ask(same(Some(Arc::new(own)))).await, Permission::Given);
    let why = ask(same(None)).await;
    assert_eq!(denied(&why), "busy: its network traffic cannot be read");
}
