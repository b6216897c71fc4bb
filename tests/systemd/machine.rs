//! A machine of its own: a container whose process 1 is systemd and whose /usr is the host's.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::live::client::{self, Answer};
use crate::live::clock::{poll, secs, wait_for};
use crate::live::engine::Engine;
use crate::live::scratch::{self, Dir};

pub(crate) const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");
const BINARY: &str = env!("CARGO_BIN_EXE_ondemand-container");

/// What systemd and the daemon's libraries live in; /usr/local stays the machine's own.
const USR: &[&str] = &["bin", "sbin", "lib", "lib32", "lib64", "libx32", "libexec", "share"];

/// systemd wants the cgroup tree of its namespace writable.
const INIT: &str = "umount -R /sys/fs/cgroup; \
    mount -t cgroup2 -o nsdelegate cgroup2 /sys/fs/cgroup && exec /sbin/init";

pub(crate) const UNITS: &[&str] = &[
    "ondemand-container.service",
    "ondemand-container@.service",
    "ondemand-container@.socket",
    "ondemand-container-closed@.target",
];

/// What a boot does without: it would only cost time.
const MASKED: &[&str] = &[
    "dbus.socket",
    "systemd-sysusers.service",
    "systemd-tmpfiles-setup.service",
    "systemd-tmpfiles-setup-dev.service",
    "systemd-update-utmp.service",
];

pub(crate) struct Machine<'e> {
    name: String,
    engine: &'e Engine,
    address: IpAddr,
}

/// The files of a machine before it boots.
pub(crate) struct Root(Dir);

impl Root {
    /// The least that systemd boots with, the units of deploy/ and the daemon, as the README says.
    pub(crate) fn new() -> Self {
        assert!(
            Path::new("/usr/lib/systemd/systemd").exists(),
            "this machine has no systemd to test with: install the package systemd"
        );
        let root = Root(Dir::new());
        for dir in ["usr/local/bin", "var/log", "var/lib", "proc", "sys", "dev", "run", "tmp"] {
            fs::create_dir_all(root.0.join(dir)).unwrap();
        }
        for link in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
            if let Ok(to) = fs::read_link(Path::new("/").join(link)) {
                symlink(to, root.0.join(link)).unwrap();
            }
        }
        // Plain names of some commands of /usr lead here.
        let alternatives = root.0.join("etc/alternatives");
        fs::create_dir_all(&alternatives).unwrap();
        for link in fs::read_dir("/etc/alternatives").into_iter().flatten().flatten() {
            if let Ok(to) = fs::read_link(link.path()) {
                symlink(to, alternatives.join(link.file_name())).unwrap();
            }
        }
        let units = root.0.join("etc/systemd/system");
        fs::create_dir_all(&units).unwrap();
        symlink("/usr/lib/systemd/system/basic.target", units.join("default.target")).unwrap();
        for unit in MASKED {
            symlink("/dev/null", units.join(unit)).unwrap();
        }
        let group = fs::metadata("/var/run/docker.sock").unwrap().gid();
        root.write("etc/machine-id", "");
        root.write("etc/passwd", "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n");
        root.write("etc/group", &format!("root:x:0:\ndocker:x:{group}:\nnogroup:x:65534:\n"));
        root.write("etc/nsswitch.conf", "passwd: files systemd\ngroup: files systemd\n");
        fs::copy("/etc/ld.so.cache", root.0.join("etc/ld.so.cache")).unwrap();
        fs::copy(BINARY, root.0.join("usr/local/bin/ondemand-container")).unwrap();
        for unit in UNITS {
            root.install(&format!("deploy/systemd/{unit}"), "etc/systemd/system");
        }
        root
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Adds to a file that is there.
    pub(crate) fn append(&self, path: &str, text: &str) {
        self.write(path, &format!("{}{text}", fs::read_to_string(self.0.join(path)).unwrap()));
    }

    /// Copies a file of the repository into a directory.
    pub(crate) fn install(&self, file: &str, dir: &str) {
        let from = Path::new(REPOSITORY).join(file);
        let text = fs::read_to_string(&from).unwrap();
        self.write(&format!("{dir}/{}", from.file_name().unwrap().to_str().unwrap()), &text);
    }

    /// Copies an `etc` directory of the repository; the files of the instance `from` become those
    /// of `to`.
    pub(crate) fn install_etc(&self, etc: &str, from: &str, to: &str) {
        let here = Path::new(REPOSITORY).join(etc);
        for (target, drop_in) in [
            (format!("etc/ondemand-container/{to}.env"), format!("ondemand-container/{from}.env")),
            (
                format!("etc/systemd/system/ondemand-container@{to}.socket.d/port.conf"),
                format!("systemd/system/ondemand-container@{from}.socket.d/port.conf"),
            ),
        ] {
            self.write(&target, &fs::read_to_string(here.join(drop_in)).unwrap());
        }
    }

    /// An instance for the container, on port 3000 here and there, with options of its own.
    pub(crate) fn instance(&self, container: &str, options: &[&str]) {
        self.install_etc("examples/gitea/etc", "gitea", container);
        let env = format!("etc/ondemand-container/{container}.env");
        self.append(&env, &format!("{}\n", options.join("\n")));
    }

    /// A drop-in of the instance's service.
    pub(crate) fn service_drop_in(&self, container: &str, lines: &str) {
        let dir = format!("etc/systemd/system/ondemand-container@{container}.service.d");
        self.write(&format!("{dir}/test.conf"), &format!("[Service]\n{lines}\n"));
    }
}

impl<'e> Machine<'e> {
    pub(crate) fn boot(engine: &'e Engine, root: &Root) -> Self {
        let name = format!("odt-{}-{}", std::process::id(), scratch::number());
        let mut machine = Machine { name, engine, address: [0, 0, 0, 0].into() };
        machine.import(root);
        let label = format!("ondemand-test={}", machine.name);
        let socket = "/var/run/docker.sock:/var/run/docker.sock";
        let mut words = vec!["run", "-d", "--name", &machine.name, "--label", &label];
        words.extend(["--cgroupns", "private", "--cap-add", "SYS_ADMIN"]);
        // To look at the daemon's process from outside of it.
        words.extend(["--cap-add", "SYS_PTRACE"]);
        words.extend(["--security-opt", "apparmor=unconfined", "--stop-signal", "SIGRTMIN+3"]);
        words.extend(["--tmpfs", "/run", "--tmpfs", "/run/lock", "--volume", socket]);
        let mounts: Vec<String> = USR
            .iter()
            .map(|dir| format!("/usr/{dir}"))
            .filter(|dir| Path::new(dir).exists())
            .map(|dir| format!("{dir}:{dir}:ro"))
            .collect();
        words.extend(mounts.iter().flat_map(|mount| ["--volume", mount]));
        words.extend([machine.name.as_str(), "/bin/sh", "-c", INIT]);
        engine.cli(&words);
        let template = "{{.NetworkSettings.IPAddress}}";
        let address = engine.cli(&["inspect", "-f", template, &machine.name]);
        machine.address = address.parse().unwrap();
        let booted = poll(secs(40), || {
            let state = machine.try_run("systemctl is-system-running");
            // Something of no concern here may fail on one machine or another.
            state.is_ok_and(|state| matches!(state.as_str(), "running" | "degraded")).then_some(())
        });
        if booted.is_none() {
            let state = machine.try_run("systemctl is-system-running; systemctl list-jobs");
            let log = engine.try_cli(&["logs", &machine.name]);
            panic!("systemd does not come up in a container: {state:?} {log:?}");
        }
        machine
    }

    /// The files become an image of the machine's own name.
    fn import(&self, root: &Root) {
        let mut tar = Command::new("tar")
            .arg("-C")
            .arg(root.0.path())
            .args(["--owner=0", "--group=0", "-c", "."])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let imported = Command::new("docker")
            .args(["-H", &self.engine.url(), "import", "-", &self.name])
            .stdin(tar.stdout.take().unwrap())
            .output()
            .unwrap();
        assert!(tar.wait().unwrap().success());
        assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
    }

    /// Runs a shell script as root; it has to succeed.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> String {
        match self.try_run(script) {
            Ok(output) => output,
            Err(error) => panic!("{script}: {error}"),
        }
    }

    /// Runs a shell script as root: what it writes to either output.
    pub(crate) fn try_run(&self, script: &str) -> Result<String, String> {
        let script = format!("exec 2>&1; {script}");
        let run = Command::new("docker")
            .args(["-H", &self.engine.url(), "exec", &self.name, "/bin/sh", "-c", &script])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&run.stdout).trim().to_owned();
        if run.status.success() { Ok(text) } else { Err(text) }
    }

    /// One property of a unit.
    pub(crate) fn show(&self, unit: &str, property: &str) -> String {
        self.run(&format!("systemctl show -P {property} '{unit}'"))
    }

    #[track_caller]
    pub(crate) fn wait_show(&self, unit: &str, property: &str, value: &str, limit: Duration) {
        let what = format!("{property} of {unit} is {value}");
        wait_for(&what, limit, || self.show(unit, property) == value);
    }

    /// What the journal has about the units that match.
    pub(crate) fn journal(&self, units: &str) -> String {
        self.run(&format!("journalctl --no-pager -o cat -u '{units}'"))
    }

    pub(crate) fn enable(&self, unit: &str) {
        self.run(&format!("systemctl enable --now '{unit}'"));
    }

    /// Gets an interface on another network, as a host has one on each.
    pub(crate) fn join(&self, network: &str) {
        self.engine.cli(&["network", "connect", network, &self.name]);
    }

    /// One of its TCP ports.
    pub(crate) fn at(&self, port: u16) -> SocketAddr {
        (self.address, port).into()
    }

    /// One HTTP request to port 3000; it has to be answered.
    #[track_caller]
    pub(crate) fn get(&self) -> Answer {
        match client::get(self.at(3000), "/") {
            Ok(answer) => answer,
            Err(error) => panic!("{error}"),
        }
    }
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let journal = self.try_run("journalctl --no-pager -o short-precise -n 200");
            eprintln!("--- journal ---\n{}", journal.unwrap_or_else(|error| error));
        }
        // Either may not have come into being.
        _ = self.engine.try_cli(&["rm", "-f", "-v", &self.name]);
        _ = self.engine.try_cli(&["rmi", "-f", &self.name]);
    }
}

/// The units of an instance.
pub(crate) fn socket(container: &str) -> String {
    format!("ondemand-container@{container}.socket")
}

pub(crate) fn service(container: &str) -> String {
    format!("ondemand-container@{container}.service")
}
