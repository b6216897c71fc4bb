//! Discovery against an engine whose every answer is the test's.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a panic is how a test fails")]

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ondemand_container::discover::Discovery;
use ondemand_container::engine::{Api, Endpoint, Snapshot};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// Far more than anything here takes.
const LIMIT: Duration = Duration::from_secs(30);

/// Answers of the list call, the last one for ever; what happens on the event stream is sent there.
struct FakeEngine {
    socket: PathBuf,
    script: Mutex<Vec<(u16, String)>>,
    /// How many lists were answered.
    lists: watch::Sender<usize>,
    events: Mutex<Option<mpsc::UnboundedReceiver<String>>>,
    /// Whether somebody follows the event stream.
    followed: watch::Sender<bool>,
}

impl FakeEngine {
    fn begin(name: &str, script: &[(u16, &str)]) -> (Arc<Self>, mpsc::UnboundedSender<String>) {
        let socket =
            std::env::temp_dir().join(format!("odt-discover-{name}-{}", std::process::id()));
        drop(std::fs::remove_file(&socket));
        let (events, receiver) = mpsc::unbounded_channel();
        let engine = Arc::new(Self {
            script: Mutex::new(script.iter().map(|(s, text)| (*s, (*text).to_owned())).collect()),
            lists: watch::channel(0).0,
            events: Mutex::new(Some(receiver)),
            followed: watch::channel(false).0,
            socket,
        });
        let listener = UnixListener::bind(&engine.socket).unwrap();
        let served = Arc::clone(&engine);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = Arc::clone(&served);
                tokio::spawn(async move { served.speak(stream).await });
            }
        });
        (engine, events)
    }

    async fn speak(&self, mut stream: UnixStream) {
        let mut head = String::new();
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = stream.read(&mut bytes).await {
            head += &String::from_utf8_lossy(&bytes[..length]);
            if !head.ends_with("\r\n\r\n") {
                continue;
            }
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            head.clear();
            if path.contains("/events") {
                return self.tell_events(stream).await;
            }
            let (status, body) = if path.contains("/containers/json") {
                self.next()
            } else {
                (200, "OK".to_owned())
            };
            let answer = format!(
                "HTTP/1.1 {status} X\r\nApi-Version: 1.41\r\nServer: Docker/20.10\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            );
            if stream.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
            if path.contains("/containers/json") {
                self.lists.send_modify(|lists| *lists += 1);
            }
        }
    }

    fn next(&self) -> (u16, String) {
        let mut script = self.script.lock().unwrap();
        if script.len() > 1 { script.remove(0) } else { script[0].clone() }
    }

    /// Passes events on until the other side has gone.
    async fn tell_events(&self, mut stream: UnixStream) {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut events = self.events.lock().unwrap().take().expect("one stream");
        self.followed.send_replace(true);
        let mut end = [0];
        loop {
            tokio::select! {
                Some(event) = events.recv() => {
                    let chunk = format!("{:x}\r\n{event}\r\n", event.len());
                    stream.write_all(chunk.as_bytes()).await.unwrap();
                }
                _ = stream.read(&mut end) => break,
            }
        }
        self.followed.send_replace(false);
    }

    fn discovery(&self) -> Discovery {
        Discovery::begin(Arc::new(Api::new(Endpoint::Unix(self.socket.clone()))))
    }

    async fn lists(&self, count: usize) {
        let mut lists = self.lists.subscribe();
        timeout(LIMIT, lists.wait_for(|lists| *lists >= count)).await.expect("a list").unwrap();
    }

    async fn followed(&self, wished: bool) {
        let mut followed = self.followed.subscribe();
        let waited = followed.wait_for(|followed| *followed == wished);
        timeout(LIMIT, waited).await.expect("the stream's beginning or end").unwrap();
    }
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.socket));
    }
}

async fn snapshot(discovery: &Discovery, names: &[&str]) {
    let mut latest = discovery.latest();
    let is = |all: &Snapshot| all.containers.iter().map(|of| of.name.as_str()).eq(names.to_vec());
    let seen = latest.wait_for(|latest| latest.as_deref().is_some_and(is));
    timeout(LIMIT, seen).await.expect("the snapshot").unwrap();
}

const CREATED: &str = "{\"Type\":\"container\",\"Action\":\"create\",\"Actor\":{\"ID\":\"f00\"}}\n";

#[tokio::test]
async fn an_engine_that_refuses_or_babbles_is_asked_again() {
    let long = " ".repeat(17 * 1024 * 1024);
    let (engine, _events) = FakeEngine::begin(
        "again",
        &[(500, "busy"), (200, "<html>"), (200, &long), (200, r#"[{"Id":"1","Names":["/a"]}]"#)],
    );
    let discovery = engine.discovery();
    assert!(discovery.latest().borrow().is_none());
    snapshot(&discovery, &["a"]).await;
}

/// A snapshot is published when it is another one, and fifty events are one reason to list.
#[tokio::test]
async fn many_events_are_few_lists_and_equal_lists_are_no_news() {
    let one = r#"[{"Id":"1","Names":["/a"],"State":"created"}]"#;
    let same = r#"[{"Id":"1","Names":["/a"],"State":"running"}]"#;
    let (engine, events) = FakeEngine::begin("few", &[(200, one), (200, same)]);
    let discovery = engine.discovery();
    snapshot(&discovery, &["a"]).await;
    engine.followed(true).await;
    let before = *engine.lists.borrow();
    let mut news = discovery.latest();
    news.mark_unchanged();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let counting = tokio::spawn(async move {
        while news.changed().await.is_ok() {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    for _ in 0..50 {
        events.send(CREATED.to_owned()).unwrap();
    }
    engine.lists(before + 1).await;
    *engine.script.lock().unwrap() = vec![(200, r#"[{"Id":"2","Names":["/b"]}]"#.to_owned())];
    events.send(CREATED.to_owned()).unwrap();
    snapshot(&discovery, &["b"]).await;
    let lists = *engine.lists.borrow() - before;
    assert!(lists < 25, "{lists} lists for 51 events");
    drop(discovery);
    timeout(LIMIT, counting).await.expect("the end of the news").unwrap();
    assert_eq!(count.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_dropped_discovery_lets_go_of_the_engine() {
    let (engine, _events) = FakeEngine::begin("drop", &[(200, "[]")]);
    let discovery = engine.discovery();
    engine.followed(true).await;
    drop(discovery);
    engine.followed(false).await;
}
