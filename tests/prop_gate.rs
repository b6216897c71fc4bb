//! What is looked at before a wake under arbitrary bytes: the beginnings of TLS and HTTP, and rates.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fmt::Write;
use std::time::Duration;

use ondemand_container::activation::Moment;
use ondemand_container::config::rules::Rate;
use ondemand_container::gate::http::{Head, head};
use ondemand_container::gate::rate::{Rates, Whose};
use ondemand_container::gate::tls::{Hello, hello};
use ondemand_container::gate::{HttpRule, LONGEST, Parsed};
use proptest::prelude::*;

/// A list with its length before it, in so many bytes.
fn listed(width: usize, bytes: &[u8]) -> Vec<u8> {
    [&bytes.len().to_be_bytes()[size_of::<usize>() - width..], bytes].concat()
}

/// A message of a client, written from the specification, that names that host among other extensions.
fn message(host: Option<&str>, session: &[u8], padding: usize, minor: u8) -> Vec<u8> {
    let extension = |kind: u16, bytes: &[u8]| [&kind.to_be_bytes(), &listed(2, bytes)[..]].concat();
    let named = host.map(|host| {
        let name = [&[0][..], &listed(2, host.as_bytes())].concat();
        extension(0, &listed(2, &name))
    });
    let extensions = [
        extension(0xff01, &[0]),
        named.unwrap_or_default(),
        extension(21, &vec![0; padding]),
        extension(16, b"\x00\x0c\x02h2\x08http/1.1"),
    ];
    let fields = [
        vec![3, minor],
        vec![0x5a; 32],
        listed(1, session),
        listed(2, &[0x13, 1, 0xc0, 0x2f]),
        vec![1, 0],
        listed(2, &extensions.concat()),
    ];
    [&[1][..], &listed(3, &fields.concat())].concat()
}

/// The message in records of so many bytes each, the last ones over again.
fn records(message: &[u8], lengths: &[usize]) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), message);
    let mut lengths = lengths.iter().cycle();
    while !rest.is_empty() {
        let (now, later) = rest.split_at((*lengths.next().unwrap()).min(rest.len()));
        bytes.extend([&[22, 3, 1][..], &listed(2, now)].concat());
        rest = later;
    }
    bytes
}

prop_compose! {
    fn hellos()(
        host in prop::option::of("[a-z0-9]{1,20}(\\.[a-zA-Z0-9_-]{1,20}){0,3}"),
        session in prop::collection::vec(any::<u8>(), 0..=32),
        padding in prop_oneof![Just(0), 0..1700_usize],
        minor in 0..=4_u8,
        lengths in prop_oneof![
            3 => Just(vec![1 << 14]),
            1 => prop::collection::vec(1..400_usize, 1..5),
        ],
    ) -> (Vec<u8>, Option<String>) {
        let bytes = records(&message(host.as_deref(), &session, padding, minor), &lengths);
        (bytes, host.map(|host| host.to_ascii_lowercase()))
    }
}

/// A request with its method and its path.
fn requests() -> impl Strategy<Value = (Vec<u8>, String, String)> {
    let methods = prop::sample::select(vec!["GET", "HEAD", "POST", "PROPFIND", "M-SEARCH"]);
    let parts = (methods, "(/[a-z0-9._%-]{0,12}){1,4}", "(\\?[a-z=&]{0,20})?", 0..2_u8);
    let headers = prop::collection::vec(("X-[A-Za-z-]{1,20}", "[ -~]{0,60}"), 0..20);
    (parts, headers, "(\r\n){0,2}").prop_map(|((method, path, query, minor), headers, lines)| {
        let mut text = format!("{lines}{method} {path}{query} HTTP/1.{minor}\r\nhOst: a\r\n");
        for (name, value) in headers {
            write!(text, "{name}: {value}\r\n").unwrap();
        }
        ((text + "\r\n").into_bytes(), method.to_owned(), path)
    })
}

/// Bytes that get past the first checks now and then.
fn nearly() -> impl Strategy<Value = Vec<u8>> {
    let noise = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..400),
        "[A-Z /.:0-9a-z\r\n]{0,200}".prop_map(String::into_bytes),
    ];
    let begins: Vec<&[u8]> =
        vec![b"", b"\x16\x03\x01\x00", b"\x16\x03\x01\x00\x80\x01\x00\x00\x7c\x03\x03", b"GET / "];
    let damaged = |whole: Vec<u8>, at: prop::sample::Index, byte: u8| {
        let mut whole = whole;
        let at = at.index(whole.len());
        whole[at] = byte;
        whole
    };
    prop_oneof![
        (prop::sample::select(begins), noise).prop_map(|(begin, rest)| [begin, &rest].concat()),
        (hellos(), any::<prop::sample::Index>(), any::<u8>())
            .prop_map(move |((whole, _), at, byte)| damaged(whole, at, byte)),
        (requests(), any::<prop::sample::Index>(), any::<u8>())
            .prop_map(move |((whole, ..), at, byte)| damaged(whole, at, byte)),
    ]
}

fn told<T: std::fmt::Debug>(parsed: Parsed<T>) -> Parsed<String> {
    match parsed {
        Parsed::Whole(whole) => Parsed::Whole(format!("{whole:?}")),
        Parsed::Incomplete => Parsed::Incomplete,
        Parsed::Broken(why) => Parsed::Broken(why),
    }
}

/// What was decided stays decided, and what is not decided is short.
fn is_decided_once(
    parse: impl Fn(&[u8]) -> Parsed<String>,
    bytes: &[u8],
    more: &[u8],
) -> Result<(), TestCaseError> {
    let longer = [bytes, more].concat();
    match (parse(bytes), parse(&longer)) {
        (Parsed::Incomplete, _) => prop_assert!(bytes.len() < LONGEST),
        (Parsed::Broken(_), later) => prop_assert!(matches!(later, Parsed::Broken(_)), "{later:?}"),
        (whole @ Parsed::Whole(_), later) => prop_assert_eq!(whole, later),
    }
    Ok(())
}

/// As OpenSSL 3 writes it, whole and in fragments.
#[test]
fn a_real_hello_is_understood() {
    let whole = include_bytes!("../fuzz/corpus/hello/0-openssl");
    let fragments = include_bytes!("../fuzz/corpus/hello/3-fragments");
    for bytes in [&whole[..], fragments] {
        let Parsed::Whole(hello) = hello(bytes) else { panic!("{:?}", hello(bytes)) };
        assert_eq!(hello.server_name.as_deref(), Some("git.example.org"));
    }
    let nameless = include_bytes!("../fuzz/corpus/hello/0-openssl-no-name");
    assert_eq!(hello(nameless), Parsed::Whole(Hello { server_name: None }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_hello_names_its_host_and_no_beginning_of_it_does(
        (bytes, host) in hellos(),
        more in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        for cut in 0..bytes.len() {
            prop_assert_eq!(hello(&bytes[..cut]), Parsed::Incomplete, "of {}", cut);
        }
        let Parsed::Whole(named) = hello(&bytes) else {
            return Err(TestCaseError::fail(format!("{:?}", hello(&bytes))));
        };
        prop_assert_eq!(named.server_name, host);
        is_decided_once(|bytes| told(hello(bytes)), &bytes, &more)?;
    }

    #[test]
    fn a_head_tells_its_path_and_no_beginning_of_it_does((bytes, method, path) in requests()) {
        for cut in 0..bytes.len() {
            prop_assert_eq!(head(&bytes[..cut]), Parsed::Incomplete, "of {}", cut);
        }
        let Parsed::Whole(Head::One(asked)) = head(&bytes) else {
            return Err(TestCaseError::fail(format!("{:?}", head(&bytes))));
        };
        prop_assert_eq!((asked.method, asked.path), (&method[..], &path[..]));
        let rule = HttpRule::parse(&format!("method={method} path={path} header=host:*")).unwrap();
        prop_assert!(rule.fits(&asked));
    }

    #[test]
    fn arbitrary_bytes_are_decided_once(
        bytes in nearly(),
        more in prop::collection::vec(any::<u8>(), 0..600),
    ) {
        is_decided_once(|bytes| told(hello(bytes)), &bytes, &more)?;
        is_decided_once(|bytes| told(head(bytes)), &bytes, &more)?;
    }

    #[test]
    fn what_never_ends_is_broken_in_time(byte: u8, records in 1..200_usize) {
        let endless = [[22, 3, 1, 0, 1, byte].repeat(records), vec![byte; LONGEST]].concat();
        prop_assert!(matches!(hello(&endless), Parsed::Broken(_)));
        let endless = [&b"GET / HTTP/1.1\r\nX: "[..], &[byte; LONGEST]].concat();
        prop_assert!(matches!(head(&endless), Parsed::Broken(_)));
        prop_assert!(matches!(head(&[byte; LONGEST]), Parsed::Broken(_)));
    }

    #[test]
    fn arbitrary_rules_are_understood_or_refused(text in "([a-z]{0,8}=?[ -~]{0,20} ?){0,6}") {
        if let Ok(rule) = HttpRule::parse(&text) {
            let answer = rule.answer("GET", "asleep");
            let headers = &mut [httparse::EMPTY_HEADER; 16];
            let mut response = httparse::Response::new(headers);
            prop_assert!(response.parse(&answer).unwrap().is_complete());
        }
    }

    /// In any stretch of time no more than the rate lets through, and one more bucket.
    #[test]
    fn no_rate_is_exceeded(
        count in 1..20_u32,
        seconds in 1..100_u64,
        pauses in prop::collection::vec(0..20_000_u64, 1..200),
    ) {
        let rate = Rate { count, per: Duration::from_secs(seconds) };
        let mut rates = Rates::new(Some(rate), None);
        let (mut now, mut admitted) = (Duration::from_secs(1000), Vec::new());
        for pause in pauses {
            now += Duration::from_millis(pause);
            if rates.admit(Whose::Local, Moment::new(now)) {
                admitted.push(now);
            }
        }
        prop_assert!(!admitted.is_empty());
        for (first, from) in admitted.iter().enumerate() {
            for (last, to) in admitted.iter().enumerate().skip(first) {
                let let_in = to.abs_diff(*from).as_secs_f64() / rate.per.as_secs_f64() * f64::from(count);
                let most = f64::from(count) + let_in + 0.001;
                let there = u32::try_from(last - first + 1).unwrap();
                prop_assert!(f64::from(there) <= most, "{} of {}", there, most);
            }
        }
    }
}
