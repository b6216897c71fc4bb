//! Who takes part, and how each is started in front of the same backend.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::cleanup::Scratch;
use crate::fake_engine::FakeEngine;
use crate::process::{Group, User, own_path};

pub(crate) const DIRECT: &str = "direct";
pub(crate) const OURS: &str = "ondemand";
pub(crate) const SOCKET_PROXYD: &str = "socket-proxyd";
pub(crate) const HAPROXY: &str = "haproxy";
pub(crate) const HAPROXY_256K: &str = "haproxy-256k";
pub(crate) const HAPROXY_SPLICE: &str = "haproxy-splice";
pub(crate) const NGINX: &str = "nginx";
pub(crate) const SOCAT: &str = "socat";
pub(crate) const DOCKER_PROXY: &str = "docker-proxy";
pub(crate) const TOKIO: &str = "tokio";

/// All, in the order of the table.
pub(crate) const ALL: [&str; 10] = [
    DIRECT,
    OURS,
    SOCKET_PROXYD,
    HAPROXY,
    HAPROXY_256K,
    HAPROXY_SPLICE,
    NGINX,
    SOCAT,
    DOCKER_PROXY,
    TOKIO,
];

const PROXYD: &str = "/lib/systemd/systemd-socket-proxyd";
const NGINX_STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";

/// How long a contender may take to listen.
const START_LIMIT: Duration = Duration::from_secs(10);

/// A contender that runs.
pub(crate) struct Running {
    pub(crate) port: u16,
    /// None for the direct way.
    pub(crate) group: Option<Group>,
    pub(crate) engine: Option<FakeEngine>,
}

/// What all contenders have in common.
pub(crate) struct Ground<'a> {
    pub(crate) scratch: &'a Scratch,
    /// The daemon's binary, where nobody may read it.
    pub(crate) daemon: PathBuf,
    /// The backend's port.
    pub(crate) backend: u16,
}

/// The files of which one must be there for a contender to be installed.
fn needs(name: &str) -> &'static [&'static str] {
    match name {
        SOCKET_PROXYD => &[PROXYD],
        HAPROXY | HAPROXY_256K | HAPROXY_SPLICE => &["/usr/sbin/haproxy"],
        NGINX => &[NGINX_STREAM],
        SOCAT => &["/usr/bin/socat"],
        DOCKER_PROXY => &["/usr/sbin/docker-proxy", "/usr/bin/docker-proxy"],
        _ => &[],
    }
}

pub(crate) fn installed(name: &str) -> bool {
    let needs = needs(name);
    needs.is_empty() || needs.iter().any(|path| Path::new(path).exists())
}

/// How many idle connections it is asked to hold: a process each makes a thousand too many.
pub(crate) fn holds(name: &str, wanted: usize) -> usize {
    if name == SOCAT { wanted.min(100) } else { wanted }
}

impl Ground<'_> {
    pub(crate) fn start(&self, name: &str) -> io::Result<Running> {
        if name == DIRECT {
            return Ok(Running { port: self.backend, group: None, engine: None });
        }
        let port = free_port()?;
        let engine = match name {
            OURS => {
                let socket = self.scratch.join(format!("engine-{port}.sock"));
                Some(FakeEngine::running(&socket, self.backend)?)
            }
            _ => None,
        };
        let words = self.words(name, port, engine.as_ref())?;
        self.run(name, port, &words, engine)
    }

    /// The same contender for UDP, if it knows it.
    pub(crate) fn start_datagrams(&self, name: &str) -> io::Result<Option<Running>> {
        let port = free_port()?;
        let backend = self.backend;
        let mut engine = None;
        let words = match name {
            DIRECT => return Ok(Some(Running { port: backend, group: None, engine: None })),
            OURS => {
                let socket = self.scratch.join(format!("engine-{port}.sock"));
                let fake = FakeEngine::running(&socket, backend)?;
                let mut words =
                    self.daemon_words(&fake.socket.display().to_string(), "bench", backend, port);
                engine = Some(fake);
                let more = format!("--port {backend}/udp --listen udp:127.0.0.1:{port}");
                words.extend(more.split_whitespace().map(str::to_owned));
                words
            }
            NGINX => self.words(name, port, None)?,
            DOCKER_PROXY => {
                let mut words = self.words(name, port, None)?;
                let datagrams = words[2].replace("exec ", "").replace("-proto tcp", "-proto udp");
                words[2] = format!("{datagrams} & {}", words[2]);
                words
            }
            _ => return Ok(None),
        };
        self.run(name, port, &words, engine).map(Some)
    }

    fn run(
        &self,
        name: &str,
        port: u16,
        words: &[String],
        engine: Option<FakeEngine>,
    ) -> io::Result<Running> {
        let log = self.scratch.join(format!("{name}-{port}.log"));
        let group = Group::start_logged(words, User::Nobody, &log)?;
        let mut running = Running { port, group: Some(group), engine };
        running.wait_listening(&log)?;
        if name == SOCKET_PROXYD {
            // It is started by the first connection, which has to be out of the way.
            drop(crate::process::load(&["connect".into(), port.to_string(), "50".into()], None));
        }
        Ok(running)
    }

    fn words(&self, name: &str, port: u16, engine: Option<&FakeEngine>) -> io::Result<Vec<String>> {
        let backend = self.backend;
        let line = match name {
            OURS => {
                let engine = engine.map(|e| e.socket.display().to_string()).unwrap_or_default();
                return Ok(self.daemon_words(&engine, "bench", backend, port));
            }
            SOCKET_PROXYD => format!(
                "systemd-socket-activate -l 127.0.0.1:{port} {PROXYD} --connections-max=8192 \
                 127.0.0.1:{backend}"
            ),
            HAPROXY | HAPROXY_256K | HAPROXY_SPLICE => {
                let (global, more) = match name {
                    HAPROXY_256K => ("tune.bufsize 262144", ""),
                    HAPROXY_SPLICE => ("tune.pipesize 1048576", "option splice-auto"),
                    _ => ("", ""),
                };
                let config = self.scratch.join(format!("haproxy-{port}.cfg"));
                fs::write(&config, haproxy(port, backend, global, more))?;
                format!("/usr/sbin/haproxy -db -f {}", config.display())
            }
            NGINX => {
                let dir = self.scratch.join(format!("nginx-{port}"));
                fs::create_dir_all(&dir)?;
                let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
                fs::set_permissions(&dir, open)?;
                let config = dir.join("nginx.conf");
                fs::write(&config, nginx(&dir, port, backend))?;
                format!("nginx -e stderr -p {} -c {}", dir.display(), config.display())
            }
            SOCAT => format!(
                "socat TCP-LISTEN:{port},bind=127.0.0.1,fork,backlog=4096,nodelay \
                 TCP:127.0.0.1:{backend},nodelay"
            ),
            DOCKER_PROXY => format!(
                "docker-proxy -proto tcp -host-ip 127.0.0.1 -host-port {port} \
                 -container-ip 127.0.0.1 -container-port {backend}"
            ),
            TOKIO => {
                let own = self.scratch.join("ondemand-bench");
                format!("{} tokio-proxy {port} {backend}", own.display())
            }
            other => return Err(io::Error::other(format!("no such contender: {other}"))),
        };
        if name == DOCKER_PROXY {
            // It tells its parent through descriptor 3 that it listens.
            let script = format!("exec {line} 3>/dev/null");
            return Ok(vec!["sh".into(), "-c".into(), script]);
        }
        Ok(line.split_whitespace().map(str::to_owned).collect())
    }

    /// The daemon's command line.
    pub(crate) fn daemon_words(
        &self,
        engine: &str,
        container: &str,
        port: u16,
        listen: u16,
    ) -> Vec<String> {
        let daemon = self.daemon.display();
        format!(
            "{daemon} --engine unix://{engine} --container {container} --port {port} \
             --listen 127.0.0.1:{listen} --idle-timeout infinity --log-format text"
        )
        .split_whitespace()
        .map(str::to_owned)
        .collect()
    }
}

impl Running {
    fn wait_listening(&mut self, log: &Path) -> io::Result<()> {
        let began = Instant::now();
        while began.elapsed() < START_LIMIT {
            if listens(self.port) {
                return Ok(());
            }
            if self.group.as_mut().is_some_and(Group::has_ended) {
                break;
            }
            thread::sleep(Duration::from_millis(2));
        }
        let said = fs::read_to_string(log).unwrap_or_default();
        Err(io::Error::other(format!("it does not listen: {}", said.trim())))
    }
}

/// The daemon's and the load generator's binaries, where nobody may run them.
pub(crate) fn put_binaries(scratch: &Scratch, daemon: &Path) -> io::Result<PathBuf> {
    let missing = |error| {
        io::Error::other(format!("{}: {error}; build it, or give --daemon", daemon.display()))
    };
    let place = scratch.join("ondemand-container");
    fs::copy(daemon, &place).map_err(missing)?;
    fs::copy(own_path()?, scratch.join("ondemand-bench"))?;
    Ok(place)
}

/// The backend that all share, and its port.
pub(crate) fn start_backend() -> io::Result<(Group, u16)> {
    let port = free_port()?;
    let words = [own_path()?, "backend".into(), port.to_string()];
    let mut group = Group::start(&words, User::Ours, Stdio::piped())?;
    crate::process::first_line(&mut group)?;
    Ok((group, port))
}

/// A port nobody listens on, below the range from which the kernel takes those of clients.
pub(crate) fn free_port() -> io::Result<u16> {
    use std::sync::atomic::{AtomicU16, Ordering};
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let first = 20_000 + (std::process::id() % 40) as u16 * 250;
    for _ in 0..250 {
        let port = first + NEXT.fetch_add(1, Ordering::Relaxed) % 250;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::other("no port is free"))
}

/// Looks at the kernel's table: a connection would be one more that is counted.
pub(crate) fn listens(port: u16) -> bool {
    let wanted = format!("0100007F:{port:04X} 00000000:0000 0A");
    fs::read_to_string("/proc/net/tcp").is_ok_and(|table| table.contains(&wanted))
}

/// One request through it, to see that it works.
pub(crate) fn works(port: u16) -> bool {
    use std::io::{Read, Write};
    let one = || -> io::Result<()> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(&[crate::wire::REQUESTS; crate::wire::FRAME])?;
        stream.read_exact(&mut [0; crate::wire::FRAME])
    };
    one().is_ok()
}

fn haproxy(port: u16, backend: u16, global: &str, more: &str) -> String {
    format!(
        "global\n  maxconn 4000\n  {global}\ndefaults\n  mode tcp\n  {more}\n  timeout connect 5s\n  \
         timeout client 60s\n  timeout server 60s\nlisten bench\n  bind 127.0.0.1:{port}\n  \
         server backend 127.0.0.1:{backend}\n"
    )
}

fn nginx(dir: &Path, port: u16, backend: u16) -> String {
    let dir = dir.display();
    format!(
        "load_module {NGINX_STREAM};\ndaemon off;\npid {dir}/pid;\nworker_processes auto;\n\
         events {{ worker_connections 8192; }}\nstream {{\n  server {{\n    \
         listen 127.0.0.1:{port} backlog=4096;\n    proxy_pass 127.0.0.1:{backend};\n  }}\n  server {{\n    listen 127.0.0.1:{port} udp;\n    \
         proxy_pass 127.0.0.1:{backend};\n  }}\n}}\n"
    )
}
