//! The `ClientHello` that a connection of TLS begins with (RFC 8446, 4.1.2 and 5.1; RFC 6066, 3).
//!
//! It is checked as far as its form goes: nothing is decrypted, and no cipher is judged. It may be cut
//! into several records, as some clients do to get past middleboxes. The code is our own: tls-parser
//! 0.12 leaves it to its user to join records, and to parse what is within an extension.

use super::{LONGEST, Parsed};

/// What a client wants of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// Which host it names, in lower case.
    pub server_name: Option<String>,
}

/// Reads the bytes that a connection begins with.
pub fn hello(bytes: &[u8]) -> Parsed<Hello> {
    let bytes = &bytes[..bytes.len().min(LONGEST)];
    match joined(bytes).and_then(|message| body(&message)) {
        Ok(hello) => Parsed::Whole(hello),
        Err(Stop::Broken(why)) => Parsed::Broken(why),
        Err(Stop::Short) if bytes.len() == LONGEST => Parsed::Broken(TOO_LONG),
        Err(Stop::Short) => Parsed::Incomplete,
    }
}

/// Why it is not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    Short,
    Broken(&'static str),
}

const TOO_LONG: &str = "its ClientHello is too long";
const NO_TLS: &str = "no TLS";
const NO_HELLO: &str = "no ClientHello";

/// Type and length of a handshake message.
const MESSAGE_HEAD: usize = 4;

/// A record's type, version and length.
const RECORD_HEAD: usize = 5;

/// The longest fragment (RFC 8446, 5.1).
const FRAGMENT: usize = 1 << 14;

/// The message as far as it has come, out of its records. It ends with one of them, as nothing else
/// follows before the server has answered.
fn joined(mut rest: &[u8]) -> Result<Message, Stop> {
    let mut message = Message { bytes: Vec::new() };
    while !message.is_whole()? {
        let Some(length) = fragment_length(rest)? else { break };
        let (now, later) = (rest.len() - RECORD_HEAD, message.bytes.len() + length);
        let fragment = &rest[RECORD_HEAD..][..length.min(now)];
        message.bytes.extend_from_slice(fragment);
        if message.length()?.is_some_and(|whole| later > whole) {
            return Err(Stop::Broken("something follows its ClientHello"));
        }
        rest = &rest[RECORD_HEAD + fragment.len()..];
    }
    Ok(message)
}

/// How long the fragment of the record is that begins there; `None` if too little of it has come.
fn fragment_length(record: &[u8]) -> Result<Option<usize>, Stop> {
    // A handshake, of 3.0 to 3.4: the version that is meant stands elsewhere.
    let begins = [22..=22, 3..=3, 0..=4];
    if record.iter().zip(begins).any(|(byte, possible)| !possible.contains(byte)) {
        return Err(Stop::Broken(NO_TLS));
    }
    let &[_, _, _, high, low, ..] = record else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length == 0 || length > FRAGMENT {
        return Err(Stop::Broken(NO_TLS));
    }
    Ok(Some(length))
}

/// A handshake message, or its beginning.
struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// How long it is with its head, once that is there.
    fn length(&self) -> Result<Option<usize>, Stop> {
        if self.bytes.first().is_some_and(|kind| *kind != 1) {
            return Err(Stop::Broken(NO_HELLO));
        }
        let &[_, high, middle, low, ..] = &self.bytes[..] else { return Ok(None) };
        let length = MESSAGE_HEAD + u32::from_be_bytes([0, high, middle, low]) as usize;
        if RECORD_HEAD + length > LONGEST { Err(Stop::Broken(TOO_LONG)) } else { Ok(Some(length)) }
    }

    fn is_whole(&self) -> Result<bool, Stop> {
        Ok(self.length()?.is_some_and(|length| self.bytes.len() >= length))
    }
}

/// The message's fields.
fn body(message: &Message) -> Result<Hello, Stop> {
    let length = message.length()?.ok_or(Stop::Short)?;
    let mut fields = Fields { there: &message.bytes[MESSAGE_HEAD..], left: length - MESSAGE_HEAD };
    if fields.byte()? != 3 {
        return Err(Stop::Broken(NO_HELLO));
    }
    let (_minor_version, _random) = (fields.byte()?, fields.take(32)?);
    let session = fields.short_list()?;
    if session.left > 32 {
        return Err(Stop::Broken(NO_HELLO));
    }
    session.skip()?;
    let ciphers = fields.list()?;
    if ciphers.left == 0 || ciphers.left % 2 != 0 {
        return Err(Stop::Broken("it offers no ciphers"));
    }
    ciphers.skip()?;
    let compressions = fields.short_list()?;
    if compressions.left == 0 {
        return Err(Stop::Broken(NO_HELLO));
    }
    compressions.skip()?;
    let mut server_name = None;
    // Clients of before 2003 have no extensions.
    if fields.left > 0 {
        let mut extensions = fields.list()?;
        if fields.left > 0 {
            return Err(Stop::Broken(NO_HELLO));
        }
        while extensions.left > 0 {
            let (kind, extension) = (extensions.pair()?, extensions.list()?);
            if kind != SERVER_NAME {
                extension.skip()?;
            } else if server_name.replace(host(extension)?).is_some() {
                return Err(Stop::Broken("it names its host twice"));
            }
        }
    }
    Ok(Hello { server_name })
}

/// The extension that names the host.
const SERVER_NAME: u16 = 0;

/// The one name in it, as there may be one of each kind and there is but one kind.
fn host(mut extension: Fields<'_>) -> Result<String, Stop> {
    const WRONG: Stop = Stop::Broken("it names no host");
    let mut names = extension.list()?;
    let kind = names.byte()?;
    let name = names.list()?;
    if extension.left > 0 || names.left > 0 || kind != 0 || name.left == 0 || name.left > 255 {
        return Err(WRONG);
    }
    let name = name.skip()?;
    let of_a_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    if !name.iter().all(of_a_name) {
        return Err(WRONG);
    }
    let name: String = name.iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect();
    // A dot at the end is none of the name, and some clients send it nevertheless.
    Ok(name.strip_suffix('.').map(str::to_owned).unwrap_or(name))
}

/// What is left of a list of bytes.
#[derive(Debug)]
struct Fields<'a> {
    /// Of them, those that have come.
    there: &'a [u8],
    /// How many there are.
    left: usize,
}

impl<'a> Fields<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Stop> {
        let taken = self.cut(count)?;
        if taken.there.len() < count { Err(Stop::Short) } else { Ok(taken.there) }
    }

    /// All that is left.
    fn skip(mut self) -> Result<&'a [u8], Stop> {
        self.take(self.left)
    }

    /// So many of them, whether they have come or not.
    fn cut(&mut self, count: usize) -> Result<Self, Stop> {
        if count > self.left {
            return Err(Stop::Broken(NO_HELLO));
        }
        let (first, rest) = self.there.split_at(count.min(self.there.len()));
        self.left -= count;
        self.there = rest;
        Ok(Self { there: first, left: count })
    }

    fn byte(&mut self) -> Result<u8, Stop> {
        Ok(self.take(1)?[0])
    }

    fn pair(&mut self) -> Result<u16, Stop> {
        let pair = self.take(2)?;
        Ok(u16::from_be_bytes([pair[0], pair[1]]))
    }

    /// A list with a length of two bytes before it.
    fn list(&mut self) -> Result<Self, Stop> {
        let length = self.pair()?;
        self.cut(length.into())
    }

    /// A list with a length of one byte before it.
    fn short_list(&mut self) -> Result<Self, Stop> {
        let length = self.byte()?;
        self.cut(length.into())
    }
}
