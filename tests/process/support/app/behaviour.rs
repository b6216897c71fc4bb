//! What the application does with one connection.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use super::super::{lock, wait_for};
use super::{App, pattern, reset};

/// What the application does with a connection.
#[derive(Debug, Clone)]
pub(crate) enum Behaviour {
    /// Sends everything back; on the client's EOF closes too.
    Echo,
    /// Speaks first, then echoes.
    Greet(&'static str),
    /// Reads up to the client's EOF, then answers with what it read, in one go.
    AnswerAtEof,
    /// Sends this many pattern bytes, ends its own half, and reads on up to the client's EOF.
    SendThenListen(usize),
    /// Reads one byte, then resets.
    Reset,
    /// Reads up to the client's EOF, then resets.
    ResetAtEof,
    /// Reads up to the client's EOF, then says nothing until the connection fails.
    ThinkAtEof,
    /// Reads two bytes, answers with one, and so on.
    TwoForOne,
    /// Ends its own half at once, and resets after the client's first byte.
    EndThenReset,
    /// Reads one byte at a time with this pause: a slow reader.
    SlowEcho(Duration),
    /// Answers every HTTP request with this status.
    Http(u16),
    /// Accepts and closes at once, as docker-proxy does before the application listens.
    Close,
}

impl App {
    /// Serves one connection to its end, keeping what came.
    pub(super) fn serve(
        &self,
        mut stream: TcpStream,
        behaviour: &Behaviour,
        received: &mut Vec<u8>,
    ) -> io::Result<()> {
        stream.set_nodelay(true)?;
        match behaviour {
            Behaviour::Echo => self.echo(&mut stream, 64 * 1024, Duration::ZERO, received),
            Behaviour::SlowEcho(pause) => self.echo(&mut stream, 1, *pause, received),
            Behaviour::Greet(greeting) => {
                stream.write_all(greeting.as_bytes())?;
                self.echo(&mut stream, 64 * 1024, Duration::ZERO, received)
            }
            Behaviour::AnswerAtEof => {
                stream.read_to_end(received)?;
                stream.write_all(received)?;
                stream.shutdown(Shutdown::Write)
            }
            Behaviour::SendThenListen(count) => {
                stream.write_all(&pattern(*count))?;
                stream.shutdown(Shutdown::Write)?;
                stream.read_to_end(received).map(drop)
            }
            Behaviour::Reset => {
                received.resize(1, 0);
                stream.read_exact(received)?;
                reset(&stream)
            }
            Behaviour::ResetAtEof => {
                stream.read_to_end(received)?;
                reset(&stream)
            }
            Behaviour::ThinkAtEof => {
                stream.read_to_end(received)?;
                wait_for("the connection to fail", || stream.take_error().transpose()).map(drop)?;
                Err(io::ErrorKind::ConnectionReset.into())
            }
            Behaviour::TwoForOne => loop {
                let mut byte = [0];
                for _ in 0..2 {
                    stream.read_exact(&mut byte)?;
                    lock(&self.0.state).read += 1;
                }
                stream.write_all(&byte)?;
            },
            Behaviour::EndThenReset => {
                stream.shutdown(Shutdown::Write)?;
                received.resize(1, 0);
                stream.read_exact(received)?;
                reset(&stream)
            }
            Behaviour::Http(status) => answer_http(&mut stream, *status, received),
            Behaviour::Close => Ok(()),
        }
    }

    fn echo(
        &self,
        stream: &mut TcpStream,
        at_once: usize,
        pause: Duration,
        received: &mut Vec<u8>,
    ) -> io::Result<()> {
        let mut buffer = vec![0; at_once];
        loop {
            let count = stream.read(&mut buffer)?;
            if count == 0 {
                return stream.shutdown(Shutdown::Write);
            }
            received.extend_from_slice(&buffer[..count]);
            if !pause.is_zero() {
                thread::sleep(pause);
            }
            drop(self.awake());
            stream.write_all(&buffer[..count])?;
        }
    }
}

fn answer_http(stream: &mut TcpStream, status: u16, received: &mut Vec<u8>) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        let count = stream.read(&mut buffer)?;
        if count == 0 {
            return Ok(());
        }
        received.extend_from_slice(&buffer[..count]);
        if received.ends_with(b"\r\n\r\n") {
            let head = format!("HTTP/1.1 {status} Scripted\r\nContent-Length: 2\r\n\r\nok");
            stream.write_all(head.as_bytes())?;
        }
    }
}
