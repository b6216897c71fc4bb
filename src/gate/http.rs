//! The head that a connection of HTTP begins with: that of a request of HTTP/1.0 or 1.1 (RFC 9112), or
//! the preface of HTTP/2 without TLS (RFC 9113, 3.4).

use httparse::{EMPTY_HEADER, Header, Request, Status};

use super::{LONGEST, Parsed};

/// A request has so many headers at most, as with the servers that count them.
const HEADERS: usize = 100;

/// The longest method that is registered has 17 letters (RFC 9110, 18.2).
const METHOD: usize = 24;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

const NO_HTTP: &str = "no HTTP";

/// What the connection begins with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head<'b> {
    /// A request.
    One(Asked<'b>),
    /// What follows is HTTP/2, of which nothing is read.
    Two,
}

/// A request, as far as its head tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked<'b> {
    /// What is to be done: GET, HEAD …
    pub method: &'b str,
    /// With what, without the query: the path, or `*`, or the host and port of CONNECT.
    pub path: &'b str,
    /// Names and values, in their order.
    pub headers: Vec<(&'b str, &'b [u8])>,
}

/// Reads the bytes that a connection begins with.
pub fn head(bytes: &[u8]) -> Parsed<Head<'_>> {
    let bytes = &bytes[..bytes.len().min(LONGEST)];
    if bytes.starts_with(PREFACE) {
        return Parsed::Whole(Head::Two);
    }
    // Three bytes may be those of PROPFIND, too.
    if bytes.len() > 3 && PREFACE.starts_with(bytes) {
        return Parsed::Incomplete;
    }
    if !may_begin(bytes) {
        return Parsed::Broken(NO_HTTP);
    }
    let mut headers = [EMPTY_HEADER; HEADERS];
    let mut request = Request::new(&mut headers);
    match request.parse(bytes) {
        Ok(Status::Complete(_)) => match asked(&request) {
            Ok(asked) => Parsed::Whole(Head::One(asked)),
            Err(why) => Parsed::Broken(why),
        },
        Ok(Status::Partial) if bytes.len() == LONGEST => Parsed::Broken("its head is too long"),
        Ok(Status::Partial) => Parsed::Incomplete,
        Err(httparse::Error::TooManyHeaders) => Parsed::Broken("it has too many headers"),
        Err(_) => Parsed::Broken(NO_HTTP),
    }
}

/// Whether a method may begin there: in capitals and with an end, after empty lines at most
/// (RFC 9112, 2.2). A word of a hundred letters is legal, too, and nobody's.
fn may_begin(bytes: &[u8]) -> bool {
    let lines = bytes.iter().take_while(|byte| b"\r\n".contains(byte)).count();
    let of_a_method = |byte: &&u8| byte.is_ascii_uppercase() || b"-_".contains(byte);
    let method = bytes[lines..].iter().take_while(of_a_method).count();
    method <= METHOD && bytes.get(lines + method).is_none_or(|next| *next == b' ' && method > 0)
}

fn asked<'b>(request: &Request<'_, 'b>) -> Result<Asked<'b>, &'static str> {
    let (Some(method), Some(target), Some(version)) =
        (request.method, request.path, request.version)
    else {
        return Err(NO_HTTP);
    };
    let path = path(method, target).ok_or("it asks for no path")?;
    let headers: Vec<_> =
        request.headers.iter().map(|Header { name, value }| (*name, *value)).collect();
    let hosts = headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case("host")).count();
    // RFC 9112, 3.2.
    if hosts > 1 || (version == 1 && hosts == 0) {
        return Err("it does not say for which host");
    }
    Ok(Asked { method, path, headers })
}

/// What a target means, in each of its four forms (RFC 9112, 3.2).
fn path<'b>(method: &str, target: &'b str) -> Option<&'b str> {
    let path = match target {
        "*" => target,
        _ if method == "CONNECT" => target,
        _ if target.starts_with('/') => target,
        _ => {
            // What a proxy is asked for; no path is the root.
            let (scheme, rest) = target.split_once("://")?;
            if !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return None;
            }
            let end = rest.find(['/', '?']).unwrap_or(rest.len());
            if rest[end..].starts_with('/') { &rest[end..] } else { "/" }
        }
    };
    Some(path.split_once('?').map_or(path, |(path, _)| path))
}
