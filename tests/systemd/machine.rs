//! A machine of its own: a container whose process 1 is systemd and whose /usr is the host's.

use std::fs;
use std::ops::Deref;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::live::built;
use crate::live::engine::Engine;
use crate::live::scratch::{self, Dir};
use crate::systemd::node::Node;

pub(crate) const REPOSITORY: &str = env!("CARGO_MANIFEST_DIR");
const BINARY: &str = env!("CARGO_BIN_EXE_ondemand-container");

/// What systemd and the daemon's libraries live in; /usr/local stays the machine's own.
const USR: &[&str] = &["bin", "sbin", "lib", "lib32", "lib64", "libx32", "libexec", "share"];

pub(crate) const UNITS: &[&str] = &[
    "ondemand-container.service",
    "ondemand-container@.service",
    "ondemand-container@.socket",
    "ondemand-container-closed@.target",
    "ondemand-unit@.service",
    "ondemand-unit@.socket",
    "ondemand-unit-closed@.target",
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
    // Before the image that it is made of.
    node: Node<'e>,
    _image: Image<'e>,
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

    /// With a system bus and polkit, and the fixture, which a unit can run.
    pub(crate) fn with_bus() -> Self {
        let root = Root::new();
        fs::remove_file(root.0.join("etc/systemd/system/dbus.socket")).unwrap();
        symlink("/run", root.0.join("var/run")).unwrap();
        for file in ["passwd", "group"] {
            let here = fs::read_to_string(Path::new("/etc").join(file)).unwrap();
            for name in ["messagebus", "polkitd", "systemd-journal"] {
                let line = here.lines().find(|line| line.starts_with(&format!("{name}:")));
                if let Some(line) = line {
                    root.append(&format!("etc/{file}"), &format!("{line}\n"));
                }
            }
        }
        fs::create_dir_all(root.0.join("etc/polkit-1/rules.d")).unwrap();
        let fixture = built::binary("fixture");
        fs::copy(fixture, root.0.join("usr/local/bin/fixture")).unwrap();
        root
    }

    /// As [`Root::with_bus`], with a user, whose manager `user@1000.service` is.
    pub(crate) fn with_user() -> Self {
        let root = Root::with_bus();
        root.append("etc/passwd", "odt:x:1000:1000::/home/odt:/bin/sh\n");
        root.append("etc/group", "odt:x:1000:\n");
        // There is no PAM, and no logind that would make the runtime directory.
        root.write(
            "etc/systemd/system/user@1000.service.d/test.conf",
            "[Unit]\nRequires=\nAfter=\n[Service]\nPAMName=\n\
             Environment=XDG_RUNTIME_DIR=/run/user/1000\n\
             ExecStartPre=+/bin/sh -c 'mkdir -p /run/user/1000; chown 1000:1000 /run/user/1000; \
             chown -R 1000:1000 /home/odt'\n",
        );
        root
    }

    /// A unit that runs `fixture serve` with these words, and has these lines more.
    pub(crate) fn app(&self, unit: &str, words: &str, service: &str) {
        let text =
            format!("[Service]\nExecStart=/usr/local/bin/fixture serve {words}\n{service}\n");
        self.write(&format!("etc/systemd/system/{unit}"), &text);
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
        let image = Image::import(engine, &name, root);
        let socket = "/var/run/docker.sock:/var/run/docker.sock";
        let mut words = vec!["--tmpfs", "/run", "--tmpfs", "/run/lock", "--volume", socket];
        let mounts: Vec<String> = USR
            .iter()
            .map(|dir| format!("/usr/{dir}"))
            .filter(|dir| Path::new(dir).exists())
            .map(|dir| format!("{dir}:{dir}:ro"))
            .collect();
        words.extend(mounts.iter().flat_map(|mount| ["--volume", mount]));
        let mut node = Node::create(engine, &name, &name, &words);
        node.boot();
        Machine { node, _image: image }
    }

    /// Runs a command as the user of [`Root::with_user`]; it has to succeed.
    #[track_caller]
    pub(crate) fn run_as_user(&self, command: &str) -> String {
        self.run(&format!(
            "setpriv --reuid 1000 --regid 1000 --clear-groups env HOME=/home/odt \
             XDG_RUNTIME_DIR=/run/user/1000 PATH=$PATH {command}"
        ))
    }
}

impl<'e> Deref for Machine<'e> {
    type Target = Node<'e>;

    fn deref(&self) -> &Node<'e> {
        &self.node
    }
}

/// The files as an image.
struct Image<'e> {
    name: String,
    engine: &'e Engine,
}

impl<'e> Image<'e> {
    fn import(engine: &'e Engine, name: &str, root: &Root) -> Self {
        let mut tar = Command::new("tar")
            .arg("-C")
            .arg(root.0.path())
            .args(["--owner=0", "--group=0", "-c", "."])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let imported = Command::new("docker")
            .args(["-H", &engine.url(), "import", "-", name])
            .stdin(tar.stdout.take().unwrap())
            .output()
            .unwrap();
        assert!(tar.wait().unwrap().success());
        assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
        Image { name: name.to_owned(), engine }
    }
}

impl Drop for Image<'_> {
    fn drop(&mut self) {
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
