//! An engine that answers anything: the first byte chooses the call, the rest is the answer, head and
//! all. Nothing may panic, and nothing may wait for ever.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use ondemand_container::engine::{Api, Endpoint, Engine, HealthCheck, TargetName};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::time::timeout;

const PING: &[u8] = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nServer: Docker/20.10\r\n\
    Content-Length: 2\r\n\r\nOK";
const PODMAN: &[u8] = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nLibpod-Api-Version: 4.3.1\r\n\
    Server: Libpod/4.3.1\r\nContent-Length: 2\r\n\r\nOK";

/// An answer ends with the connection, so none takes longer.
const LIMIT: Duration = Duration::from_secs(5);

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime"));

static SOCKET: LazyLock<PathBuf> = LazyLock::new(|| {
    std::env::temp_dir().join(format!("ondemand-fuzz-{}.sock", std::process::id()))
});

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, answer)) = bytes.split_first() else { return };
    RUNTIME.block_on(async {
        drop(std::fs::remove_file(&*SOCKET));
        let listener = UnixListener::bind(&*SOCKET).expect("a socket");
        let ping = match choice % 8 {
            0 => answer,
            1..=4 => PING,
            _ => PODMAN,
        };
        let serve = async {
            let mut first = ping;
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                speak(stream, std::mem::replace(&mut first, answer)).await;
            }
        };
        tokio::select! {
            () = serve => {}
            asked = timeout(LIMIT, ask(*choice)) => asked.expect("an end"),
        }
        drop(std::fs::remove_file(&*SOCKET));
    });
});

async fn speak(mut stream: UnixStream, answer: &[u8]) {
    let mut request = [0; 4096];
    if stream.read(&mut request).await.is_ok() {
        drop(stream.write_all(answer).await);
    }
}

async fn ask(choice: u8) {
    let engine = Api::new(Endpoint::Unix(SOCKET.clone()));
    let name = TargetName::container("app").expect("a name");
    let check = HealthCheck { argv: vec!["/check".to_owned()], timeout: Duration::from_secs(1) };
    match choice % 8 {
        0 => drop(engine.connect().await),
        1 | 5 => drop(engine.inspect(&name).await),
        2 | 6 => drop(engine.check_health(&name, &check).await),
        // Those that came later share a number, so that the corpus keeps its meaning.
        3 if choice >= 128 => drop(engine.usage(&name).await),
        4 if choice >= 128 => {
            drop(engine.exec(&name, &check.argv, Duration::from_millis(50)).await);
        }
        3 => drop(engine.last_output(&name, 5).await),
        4 => drop(engine.stop(&name, Duration::ZERO).await),
        _ => {
            // It never ends: a few rounds are enough.
            let look = Notify::new();
            drop(timeout(Duration::from_millis(5), engine.watch(&name, &look)).await);
        }
    }
}
