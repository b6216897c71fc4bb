//! Datagrams by the batch: recvmmsg(2) and sendmmsg(2), and the kernel's joining and splitting of
//! equal datagrams (udp(7), `UDP_GRO` and `UDP_SEGMENT`).

use std::cell::RefCell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd};

use nix::cmsg_space;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage,
    recvmmsg, sendmmsg, sendmsg, setsockopt, sockopt,
};

/// How many messages one call brings at most.
pub(super) const BATCH: usize = 16;

/// The longest message: the largest UDP payload, and the most that the kernel joins.
const LONGEST: usize = 65_535;

/// The most datagrams that the kernel splits one message into (`UDP_MAX_SEGMENTS` of all kernels).
const MOST_SEGMENTS: usize = 64;

/// Room for what else an inherited socket may have been told to tell: times, credentials, a label
/// (`Timestamping=`, `PassCredentials=`, `PassSecurity=`). They come first.
type Others = [u8; 256];

thread_local! {
    /// Not touched, and so no memory, before the first datagram.
    static BUFFERS: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// One datagram, or several that the kernel has joined.
#[derive(Debug, Clone, Copy)]
pub(super) struct Train<'a> {
    bytes: &'a [u8],
    /// The length of each; the last may be shorter.
    segment: usize,
}

impl<'a> Train<'a> {
    /// One datagram.
    pub(super) fn single(bytes: &'a [u8]) -> Self {
        Self { bytes, segment: bytes.len() }
    }

    /// The datagrams, one by one.
    pub(super) fn datagrams(self) -> impl Iterator<Item = &'a [u8]> {
        let empty = self.bytes.is_empty().then_some(self.bytes);
        empty.into_iter().chain(self.bytes.chunks(self.segment.max(1)))
    }

    fn is_single(self) -> bool {
        self.bytes.len() <= self.segment
    }
}

/// Between whom a datagram goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ends {
    /// The client.
    pub(super) client: SocketAddr,
    /// The address of ours that it spoke to, and answers have to come from; on an IPv6 link the
    /// link's number, too. `None` if it was sent to many (multicast).
    pub(super) spoken_to: Option<(IpAddr, u32)>,
}

/// Has the socket tell where datagrams were sent to, and join equal ones where the kernel can.
pub fn prepare(socket: &impl AsFd) -> io::Result<()> {
    let is_v4 = socket2::SockRef::from(socket).local_addr()?.is_ipv4();
    if is_v4 {
        setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?;
    } else {
        setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    }
    // Kernels before 5.0 cannot, and bring them one by one.
    let _or_one_by_one = setsockopt(socket, sockopt::UdpGroSegment, &true);
    Ok(())
}

/// Receives what is there, at most a batch, and hands it on in runs between the same ends; never
/// waits. An error is the socket's, with nothing received.
pub(super) fn receive(
    socket: &impl AsRawFd,
    mut each: impl FnMut(Ends, &[Train<'_>]),
) -> io::Result<()> {
    BUFFERS.with_borrow_mut(|buffers| {
        if buffers.is_empty() {
            *buffers = vec![0; BATCH * LONGEST];
        }
        let mut received: Vec<(Ends, usize, usize)> = Vec::with_capacity(BATCH);
        {
            let space = cmsg_space!(libc::in6_pktinfo, libc::c_int, Others);
            // Made anew for every call, since the kernel writes the lengths it found into it.
            let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(BATCH, Some(space));
            let mut slices: Vec<[IoSliceMut<'_>; 1]> =
                buffers.chunks_mut(LONGEST).map(|buffer| [IoSliceMut::new(buffer)]).collect();
            let flags = MsgFlags::MSG_DONTWAIT;
            for message in
                recvmmsg(socket.as_raw_fd(), &mut headers, slices.iter_mut(), flags, None)?
            {
                let (ends, segment) = told(&message);
                received.push((ends, message.bytes, segment.unwrap_or(message.bytes)));
            }
        }
        let mut chunks = buffers.chunks(LONGEST);
        for run in received.chunk_by(|(before, ..), (next, ..)| before == next) {
            let trains: Vec<Train<'_>> = run
                .iter()
                .zip(&mut chunks)
                .map(|((_, len, segment), buffer)| Train {
                    bytes: &buffer[..*len],
                    segment: *segment,
                })
                .collect();
            each(run[0].0, &trains);
        }
        Ok(())
    })
}

/// Between whom a message went, and the length of the datagrams that were joined in it.
fn told(message: &RecvMsg<'_, '_, SockaddrStorage>) -> (Ends, Option<usize>) {
    let client = message.address.as_ref().and_then(std_address);
    let mut spoken_to = None;
    let mut segment = None;
    for told in message.cmsgs().into_iter().flatten() {
        if let ControlMessageOwned::Ipv4PacketInfo(info) = told {
            // Of a broadcast this is the address to answer from, unlike `ipi_addr`. Of what came before
            // the socket was asked to tell (it has started this daemon, say) nothing is known but that.
            let [answers_from, sent_to] = [info.ipi_spec_dst, info.ipi_addr]
                .map(|address| Ipv4Addr::from(address.s_addr.to_ne_bytes()));
            let ip = if answers_from.is_unspecified() { sent_to } else { answers_from };
            let is_one = !ip.is_multicast() && !ip.is_broadcast();
            spoken_to = is_one.then_some((IpAddr::V4(ip), 0));
        } else if let ControlMessageOwned::Ipv6PacketInfo(info) = told {
            let ip = Ipv6Addr::from(info.ipi6_addr.s6_addr);
            let link = if ip.is_unicast_link_local() { info.ipi6_ifindex } else { 0 };
            spoken_to = (!ip.is_multicast()).then_some((IpAddr::V6(ip), link));
        } else if let ControlMessageOwned::UdpGroSegments(length) = told {
            segment = usize::try_from(length).ok().filter(|length| *length > 0);
        }
    }
    let client = client.unwrap_or_else(|| SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)));
    (Ends { client, spoken_to }, segment)
}

fn std_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddrV4::new(v4.ip(), v4.port()).into());
    }
    let v6 = address.as_sockaddr_in6()?;
    Some(SocketAddrV6::new(v6.ip(), v6.port(), v6.flowinfo(), v6.scope_id()).into())
}

/// What became of datagrams that were to be sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Sent {
    /// So many are longer than the way allows.
    pub(super) oversized: u64,
    /// So many found no room in the socket's buffer, or no way.
    pub(super) unsent: u64,
    /// Nobody was bound to the port when something was sent there before, or the way there has gone.
    pub(super) refused: bool,
}

/// Sends on a connected socket, or as an answer between `ends`; never waits.
pub(super) fn send(socket: &impl AsRawFd, trains: &[Train<'_>], ends: Option<&Ends>) -> Sent {
    let mut sender = Sender { fd: socket.as_raw_fd(), ends: ends.copied(), sent: Sent::default() };
    let mut singles: Vec<&[u8]> = Vec::with_capacity(trains.len());
    for train in trains {
        if train.is_single() {
            singles.push(train.bytes);
            continue;
        }
        sender.singles(&std::mem::take(&mut singles));
        let datagrams: Vec<&[u8]> = train.datagrams().collect();
        let whole = datagrams.len() <= MOST_SEGMENTS && sender.joined(*train);
        if !whole {
            sender.singles(&datagrams);
        }
    }
    sender.singles(&singles);
    sender.sent
}

struct Sender {
    fd: i32,
    ends: Option<Ends>,
    sent: Sent,
}

impl Sender {
    /// Lets the kernel split it; false if it cannot, and nothing was sent: the pieces may be
    /// longer than the device takes, or the device may leave checksums to others.
    fn joined(&mut self, train: Train<'_>) -> bool {
        let Ok(segment) = u16::try_from(train.segment) else { return false };
        let to = self.to();
        let slices = [IoSlice::new(train.bytes)];
        let sent = with_source(self.ends.as_ref(), |source| {
            let mut told = vec![ControlMessage::UdpGsoSegments(&segment)];
            told.extend_from_slice(source);
            sendmsg(self.fd, &slices, &told, FLAGS, to.as_ref())
        });
        sent.is_ok()
    }

    fn singles(&mut self, mut datagrams: &[&[u8]]) {
        // An error that came back for an earlier datagram is told at the next, which is not sent
        // then; more than one in a row cannot be of earlier ones.
        let mut again = true;
        // When only some were sent the kernel keeps the reason to itself (sendmmsg(2), bugs): if it
        // does not come again, it was such an error.
        let mut partial = false;
        while !datagrams.is_empty() {
            let before = std::mem::take(&mut partial);
            match self.some(datagrams) {
                Ok(n) => {
                    self.sent.refused |= before;
                    partial = n < datagrams.len();
                    datagrams = &datagrams[n.max(1)..];
                    again = true;
                    continue;
                }
                Err(Errno::ECONNREFUSED) if again => {
                    self.sent.refused = true;
                    again = false;
                    continue;
                }
                Err(Errno::EMSGSIZE) => self.sent.oversized += 1,
                // Not an address to answer from any more: the kernel chooses one.
                Err(Errno::EINVAL | Errno::EADDRNOTAVAIL | Errno::ENETUNREACH)
                    if self.ends.is_some_and(|ends| ends.spoken_to.is_some()) =>
                {
                    self.ends = self.ends.map(|ends| Ends { spoken_to: None, ..ends });
                    continue;
                }
                Err(Errno::EINTR) => continue,
                // The target's network has gone, and the target with it.
                Err(Errno::ENETUNREACH | Errno::ENODEV) if self.ends.is_none() => {
                    self.sent.refused = true;
                    self.sent.unsent += 1;
                }
                Err(_) => self.sent.unsent += 1,
            }
            datagrams = &datagrams[1..];
        }
    }

    /// Sends some of them, and tells how many; an error is of the first.
    fn some(&self, datagrams: &[&[u8]]) -> Result<usize, Errno> {
        let to = self.to();
        with_source(self.ends.as_ref(), |source| match datagrams {
            [] => Ok(0),
            [one] => sendmsg(self.fd, &[IoSlice::new(one)], source, FLAGS, to.as_ref()).map(|_| 1),
            several => {
                let slices: Vec<[IoSlice<'_>; 1]> =
                    several.iter().map(|datagram| [IoSlice::new(datagram)]).collect();
                // Of exactly the length of what it will hold.
                let space = match self.ends.and_then(|ends| ends.spoken_to) {
                    None => None,
                    Some((IpAddr::V4(_), _)) => Some(cmsg_space!(libc::in_pktinfo)),
                    Some((IpAddr::V6(_), _)) => Some(cmsg_space!(libc::in6_pktinfo)),
                };
                let mut headers = MultiHeaders::preallocate(several.len(), space);
                let to = vec![to; several.len()];
                sendmmsg(self.fd, &mut headers, &slices, to, source, FLAGS).map(Iterator::count)
            }
        })
    }

    fn to(&self) -> Option<SockaddrStorage> {
        self.ends.map(|ends| SockaddrStorage::from(ends.client))
    }
}

const FLAGS: MsgFlags = MsgFlags::MSG_DONTWAIT.union(MsgFlags::MSG_NOSIGNAL);

/// Calls with the control message that sets the source address, if one is to be set.
fn with_source<R>(ends: Option<&Ends>, call: impl FnOnce(&[ControlMessage<'_>]) -> R) -> R {
    match ends.and_then(|ends| ends.spoken_to) {
        None => call(&[]),
        Some((IpAddr::V4(ip), _)) => call(&[ControlMessage::Ipv4PacketInfo(&libc::in_pktinfo {
            ipi_ifindex: 0,
            ipi_spec_dst: libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) },
            ipi_addr: libc::in_addr { s_addr: 0 },
        })]),
        Some((IpAddr::V6(ip), link)) => {
            call(&[ControlMessage::Ipv6PacketInfo(&libc::in6_pktinfo {
                ipi6_ifindex: link,
                ipi6_addr: libc::in6_addr { s6_addr: ip.octets() },
            })])
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    fn pair(listen: &str) -> (UdpSocket, UdpSocket, Ends) {
        let server = UdpSocket::bind(listen).unwrap();
        prepare(&server).unwrap();
        let client = UdpSocket::bind(listen).unwrap();
        client.connect(server.local_addr().unwrap()).unwrap();
        prepare(&client).unwrap();
        let ends = Ends {
            client: client.local_addr().unwrap(),
            spoken_to: Some((server.local_addr().unwrap().ip(), 0)),
        };
        (server, client, ends)
    }

    /// Waits until there is something: on some kernels a thread of theirs delivers it.
    fn wait(socket: &UdpSocket, what: PollFlags) {
        let mut polled = [PollFd::new(socket, what)];
        let limit = Timespec { tv_sec: 20, tv_nsec: 0 };
        assert_eq!(poll(&mut polled, Some(&limit)), Ok(1), "nothing has come");
    }

    fn all_of(socket: &UdpSocket, count: usize) -> Vec<Vec<u8>> {
        all_between(socket, count, None)
    }

    fn all_between(socket: &UdpSocket, count: usize, expected: Option<Ends>) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        while all.len() < count {
            wait(socket, PollFlags::IN);
            receive(socket, |ends, trains| {
                assert!(expected.is_none_or(|expected| expected == ends), "{ends:?}");
                all.extend(trains.iter().flat_map(|train| train.datagrams()).map(<[u8]>::to_vec));
            })
            .unwrap();
        }
        all
    }

    #[test]
    fn both_families_tell_whom_and_where_and_answer_from_there() {
        for listen in ["127.0.0.1:0", "[::1]:0"] {
            let (server, client, expected) = pair(listen);
            for datagram in [&b"one"[..], b"", b"three"] {
                client.send(datagram).unwrap();
            }
            assert_eq!(all_between(&server, 3, Some(expected)), [&b"one"[..], b"", b"three"]);
            let trains = [Train::single(b"first"), Train::single(b""), Train::single(b"last")];
            assert_eq!(send(&server, &trains, Some(&expected)), Sent::default());
            assert_eq!(all_of(&client, 3), [&b"first"[..], b"", b"last"]);
        }
    }

    /// The one that has started the daemon is answered from where it was sent to, too.
    #[test]
    fn what_came_before_anybody_asked_is_answered_from_there() {
        let server = UdpSocket::bind("0.0.0.0:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(("127.0.0.9", server.local_addr().unwrap().port())).unwrap();
        client.send(b"first").unwrap();
        prepare(&server).unwrap();
        let spoken_to = Some(("127.0.0.9".parse().unwrap(), 0));
        let ends = Ends { client: client.local_addr().unwrap(), spoken_to };
        assert_eq!(all_between(&server, 1, Some(ends)), [b"first"]);
        assert_eq!(send(&server, &[Train::single(b"answer")], Some(&ends)), Sent::default());
        assert_eq!(all_of(&client, 1), [b"answer"]);
    }

    #[test]
    fn joined_datagrams_stay_what_they_are() {
        let (server, client, ends) = pair("127.0.0.1:0");
        let bytes: Vec<u8> = (0..2500_u32).map(|n| n.to_le_bytes()[0]).collect();
        let train = Train { bytes: &bytes, segment: 1000 };
        assert_eq!(send(&server, &[train, Train::single(b"end")], Some(&ends)), Sent::default());
        let expected = [&bytes[..1000], &bytes[1000..2000], &bytes[2000..], b"end"];
        assert_eq!(all_of(&client, 4), expected);
    }

    #[test]
    fn what_else_a_socket_tells_hides_nothing() {
        let (server, client, ends) = pair("127.0.0.1:0");
        setsockopt(&server, sockopt::ReceiveTimestampns, &true).unwrap();
        let train = Train { bytes: &[7; 2500], segment: 1000 };
        assert_eq!(send(&client, &[train], None), Sent::default());
        let seen = all_between(&server, 3, Some(ends));
        assert_eq!(seen.iter().map(Vec::len).collect::<Vec<_>>(), [1000, 1000, 500]);
    }

    #[test]
    fn what_is_too_long_is_counted_and_the_rest_is_sent() {
        let (server, client, ends) = pair("127.0.0.1:0");
        let long = vec![0; 65_530];
        let trains = [Train::single(b"a"), Train::single(&long), Train::single(b"b")];
        let sent = send(&server, &trains, Some(&ends));
        assert_eq!(sent, Sent { oversized: 1, ..Sent::default() });
        assert_eq!(all_of(&client, 2), [b"a", b"b"]);
    }

    #[test]
    fn a_port_that_nobody_is_bound_to_refuses() {
        // Connected to somebody else, it takes nothing from us, and its number is nobody else's.
        let gone = UdpSocket::bind("127.0.0.1:0").unwrap();
        gone.connect("127.0.0.1:9").unwrap();
        let there = gone.local_addr().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(there).unwrap();
        assert!(!send(&socket, &[Train::single(b"x")], None).refused);
        wait(&socket, PollFlags::ERR);
        assert!(send(&socket, &[Train::single(b"x")], None).refused);
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(there).unwrap();
        assert!(send(&socket, &[Train::single(b"x"); 3], None).refused);
    }

    #[test]
    fn an_answer_from_an_address_that_is_no_longer_ours_is_sent_from_another() {
        let (server, client, ends) = pair("127.0.0.1:0");
        let gone = Ends { spoken_to: Some(("203.0.113.1".parse().unwrap(), 0)), ..ends };
        assert_eq!(send(&server, &[Train::single(b"x")], Some(&gone)), Sent::default());
        assert_eq!(all_of(&client, 1), [b"x"]);
    }
}
