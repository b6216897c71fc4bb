//! HTTP to the control socket.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1::handshake;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::UnixStream;
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

use super::Following;
use crate::admin::Problem;
use crate::cli::Failure;
use crate::cli::args::ControlArgs;
use crate::config::{NO_CONTROL, usual_control};

/// How often it is looked whether somebody still reads what a follower prints.
const LOOK_FOR_READER: Duration = Duration::from_millis(100);

/// A client of one daemon.
#[derive(Debug)]
pub(super) struct Client {
    socket: PathBuf,
    runtime: Runtime,
}

impl Client {
    /// A client of the socket that is named, or of the usual one.
    pub(super) fn new(args: &ControlArgs) -> Result<Self, Failure> {
        // What turns a daemon's off says nothing of where another's is.
        let said = args.control.clone().filter(|path| path.as_os_str() != NO_CONTROL);
        let socket = said.unwrap_or_else(usual_control);
        let runtime =
            Builder::new_current_thread().enable_all().build().map_err(Failure::runtime)?;
        Ok(Self { socket, runtime })
    }

    /// Runs what asks.
    pub(super) fn run<T>(&self, asking: impl Future<Output = T>) -> T {
        self.runtime.block_on(asking)
    }

    /// The whole answer; one that says no is the failure.
    pub(super) async fn ask(&self, method: Method, path: &str) -> Result<Bytes, Failure> {
        self.exchange(method, path, async |answer| {
            let status = answer.status();
            let body = answer.into_body().collect().await.map_err(|e| self.broken(e))?.to_bytes();
            if status.is_success() { Ok(body) } else { Err(problem(status, &body)) }
        })
        .await
    }

    /// Gives the events to `take`, whole lines, until it has had enough, nobody reads what we
    /// print, or the daemon ends.
    pub(super) async fn follow(
        &self,
        mut take: impl AsyncFnMut(&[u8]) -> Result<Following, Failure>,
    ) -> Result<(), Failure> {
        let following = self.exchange(Method::GET, "/v1/events", async |answer| {
            let status = answer.status();
            let mut body = answer.into_body();
            if !status.is_success() {
                let body = body.collect().await.map_err(|e| self.broken(e))?.to_bytes();
                return Err(problem(status, &body));
            }
            let mut rest = Vec::new();
            while let Some(frame) = body.frame().await {
                rest.extend(frame.map_err(|e| self.broken(e))?.into_data().unwrap_or_default());
                let whole = rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                if whole > 0 && take(&rest[..whole]).await? == Following::Ends {
                    break;
                }
                rest.drain(..whole);
            }
            Ok(())
        });
        tokio::select! {
            end = following => end,
            () = unread() => Ok(()),
        }
    }

    async fn exchange<T>(
        &self,
        method: Method,
        path: &str,
        read: impl AsyncFnOnce(Response<Incoming>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let stream =
            UnixStream::connect(&self.socket).await.map_err(|e| unreachable(&self.socket, e))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "localhost")
            .body(Empty::<Bytes>::new())
            .map_err(Failure::runtime)?;
        let (mut sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|e| self.broken(e))?;
        let mut talk = std::pin::pin!(async {
            let answer = sender.send_request(request).await.map_err(|e| self.broken(e))?;
            read(answer).await
        });
        // The connection is driven beside the exchange and dropped with it.
        tokio::select! {
            biased;
            end = &mut talk => end,
            ended = connection => {
                ended.map_err(|e| self.broken(e))?;
                talk.await
            }
        }
    }

    fn broken(&self, error: hyper::Error) -> Failure {
        let socket = self.socket.display();
        Failure::runtime(
            anyhow::Error::new(error)
                .context(format!("{socket}: the daemon did not answer to the end: has it ended?")),
        )
    }
}

/// Waits until the pipe that we print to has no reader any more; for ever if it is no pipe.
/// Asking again and again is enough for somebody who ended a command.
async fn unread() {
    let nothing = Timespec { tv_sec: 0, tv_nsec: 0 };
    loop {
        sleep(LOOK_FOR_READER).await;
        let stdout = io::stdout();
        // Errors are told whatever is asked for (poll(2)).
        let mut asked = [PollFd::new(&stdout, PollFlags::empty())];
        if poll(&mut asked, Some(&nothing)).is_ok() && asked[0].revents().contains(PollFlags::ERR) {
            return;
        }
    }
}

#[expect(clippy::wildcard_enum_match_arm, reason = "std's enum: all others speak for themselves")]
fn unreachable(socket: &Path, error: io::Error) -> Failure {
    let path = socket.display();
    match error.kind() {
        io::ErrorKind::PermissionDenied => Failure::permission(anyhow::anyhow!(
            "{path}: permission denied: the socket is its owner's and its group's; run this as \
             one of them or as root"
        )),
        io::ErrorKind::NotFound => Failure::runtime(anyhow::anyhow!(
            "{path}: there is no socket: is the daemon running with --control?"
        )),
        io::ErrorKind::ConnectionRefused => Failure::runtime(anyhow::anyhow!(
            "{path}: nobody listens there: is the daemon running with --control?"
        )),
        _ => Failure::runtime(anyhow::Error::new(error).context(path.to_string())),
    }
}

fn problem(status: hyper::StatusCode, body: &[u8]) -> Failure {
    let error = match serde_json::from_slice::<Problem>(body) {
        Ok(Problem { error }) => error,
        Err(_) => format!("the daemon says {status}"),
    };
    Failure::runtime(anyhow::anyhow!(error))
}
