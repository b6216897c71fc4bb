use std::sync::atomic::{AtomicU32, Ordering};

use proptest::prelude::*;

use super::*;

const ID: &str = "0123456789abcdef0123456789abcdef";

/// A made-up `/proc` and `/sys/fs/cgroup`, removed with its test.
struct Tree(PathBuf);

impl Tree {
    fn new(files: &[(&str, &str)]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root = std::env::temp_dir().join(format!("odt-cgroup-{}-{number}", std::process::id()));
        let tree = Self(root);
        for (path, text) in files {
            tree.write(path, text);
        }
        tree
    }

    /// `@` in a text is where the tree is.
    fn write(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text.replace('@', &self.0.display().to_string())).unwrap();
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.join(path)).unwrap()
    }

    fn proc(&self) -> PathBuf {
        self.0.join("proc")
    }

    fn container(&self) -> Option<Cgroup> {
        Cgroup::of_container(&self.proc(), 7, ID)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

const UNIFIED: &str = "31 23 0:28 / @/cg rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";

const SPLIT: &str = "\
22 1 0:20 / /proc rw - proc proc rw
33 31 0:30 / @/cg/cpu,cpuacct rw,relatime shared:10 master:1 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / @/cg/mem\\040ory rw,relatime - cgroup cgroup rw,memory
";

fn of_both(rest: &str) -> String {
    format!("{SPLIT}{rest}")
}

#[test]
fn of_the_second_version() {
    let tree = Tree::new(&[
        ("proc/self/mountinfo", UNIFIED),
        ("proc/7/cgroup", &format!("0::/system.slice/docker-{ID}.scope/init.scope\n")),
        (
            &format!("cg/system.slice/docker-{ID}.scope/cpu.stat"),
            "usage_usec 2500000\nuser_usec 1\n",
        ),
        (&format!("cg/system.slice/docker-{ID}.scope/memory.current"), "4096\n"),
    ]);
    let group = tree.container().unwrap();
    assert_eq!((group.cpu(), group.memory()), (Some(Duration::from_millis(2500)), Some(4096)));
}

#[test]
fn of_the_first_version() {
    let tree = Tree::new(&[
        ("proc/self/mountinfo", SPLIT),
        ("proc/7/cgroup", &format!("4:memory:/docker/{ID}\n2:cpu,cpuacct:/docker/{ID}\n")),
        (&format!("cg/cpu,cpuacct/docker/{ID}/cpuacct.usage"), "1500000000\n"),
        (&format!("cg/mem ory/docker/{ID}/memory.usage_in_bytes"), "8192\n"),
    ]);
    let group = tree.container().unwrap();
    assert_eq!((group.cpu(), group.memory()), (Some(Duration::from_millis(1500)), Some(8192)));
}

/// The second version beside the first counts processor time alone, and only where the first does not.
#[test]
fn of_both_versions() {
    let mounts = of_both("41 31 0:38 / @/cg/unified rw - cgroup2 cgroup2 rw\n");
    let tree = Tree::new(&[
        ("proc/self/mountinfo", &mounts),
        ("proc/7/cgroup", &format!("4:memory:/docker/{ID}\n0::/docker/{ID}\n")),
        (&format!("cg/mem ory/docker/{ID}/memory.usage_in_bytes"), "8192\n"),
        (&format!("cg/unified/docker/{ID}/cpu.stat"), "usage_usec 7\n"),
    ]);
    let group = tree.container().unwrap();
    assert_eq!((group.cpu(), group.memory()), (Some(Duration::from_micros(7)), Some(8192)));
    let lines = format!("4:memory:/docker/{ID}\n2:cpu,cpuacct:/docker/{ID}\n0::/docker/{ID}\n");
    tree.write("proc/7/cgroup", &lines);
    tree.write(&format!("cg/cpu,cpuacct/docker/{ID}/cpuacct.usage"), "9000\n");
    assert_eq!(tree.container().unwrap().cpu(), Some(Duration::from_micros(9)));
}

/// A part of the hierarchy is mounted, as in a container that has the host's.
#[test]
fn below_the_root_of_a_mount() {
    let mounts = "31 23 0:28 /machine @/cg rw - cgroup2 cgroup2 rw\n";
    let tree = Tree::new(&[
        ("proc/self/mountinfo", mounts),
        ("proc/7/cgroup", &format!("0::/machine/{ID}\n")),
        (&format!("cg/{ID}/memory.current"), "1"),
    ]);
    assert_eq!(tree.container().unwrap().memory(), Some(1));
    tree.write("proc/7/cgroup", &format!("0::/machinery/{ID}\n"));
    assert_eq!(tree.container(), None);
}

#[test]
fn a_process_of_somebody_else_leads_nowhere() {
    let tree = Tree::new(&[
        ("proc/self/mountinfo", UNIFIED),
        ("proc/7/cgroup", "0::/system.slice/ssh.service\n"),
        ("proc/7/net/dev", "eth0: 1 0 0 0 0 0 0 0 2 0 0 0 0 0 0 0\n"),
        ("cg/system.slice/ssh.service/cpu.stat", "usage_usec 1\n"),
    ]);
    assert_eq!((tree.container(), net_bytes(&tree.proc(), 7, ID)), (None, None));
    for no_id in ["", "/", "system.slice", "ssh.service"] {
        assert_eq!(Cgroup::of_container(&tree.proc(), 7, no_id), None, "{no_id}");
        assert!(!is_of(&tree.proc(), 7, no_id), "{no_id}");
    }
    assert_eq!(Cgroup::of_container(&tree.proc(), 8, ID), None, "no such process");
    // Another cgroup namespace: its paths are not of this mount.
    tree.write("proc/7/cgroup", &format!("0::/../{ID}\n"));
    tree.write(&format!("cg/{ID}/cpu.stat"), "usage_usec 1\n");
    tree.write(&format!("{ID}/cpu.stat"), "usage_usec 1\n");
    assert_eq!(tree.container(), None);
}

#[test]
fn units_are_found_by_their_path() {
    let tree = Tree::new(&[
        ("proc/self/mountinfo", UNIFIED),
        ("cg/system.slice/web.service/cpu.stat", "nr_periods 1\nusage_usec 3\n"),
    ]);
    let of_unit = |path: &str| Cgroup::of_unit(&tree.proc(), path);
    let group = of_unit("/system.slice/web.service").unwrap();
    assert_eq!((group.cpu(), group.memory()), (Some(Duration::from_micros(3)), None));
    for nowhere in ["", "/", "system.slice/web.service", "/../cg/system.slice/web.service", "/x"] {
        assert_eq!(of_unit(nowhere), None, "{nowhere}");
    }
}

#[test]
fn all_interfaces_but_loopback_are_counted() {
    let tree = Tree::new(&[
        ("proc/7/cgroup", &format!("0::/docker/{ID}\n")),
        (
            "proc/7/net/dev",
            "Inter-|   Receive                       |  Transmit\n \
             face |bytes    packets errs drop fifo frame compressed multicast|bytes packets\n    \
             lo:     500       5    0    0    0     0          0         0      500    5 0 0 0 0 0 0\n  \
             eth0:    1086      13    0    0    0     0          0         0       14    1 0 0 0 0 0 0\n  \
             eth1:1000 13 0 0 0 0 0 0 900 1 0 0 0 0 0 0\n",
        ),
    ]);
    assert_eq!(net_bytes(&tree.proc(), 7, ID), Some(3000));
}

#[test]
fn memory_is_taken_back_in_steps() {
    let dir = format!("cg/docker/{ID}");
    let tree = Tree::new(&[
        ("proc/self/mountinfo", UNIFIED),
        ("proc/7/cgroup", &format!("0::/docker/{ID}\n")),
        (&format!("{dir}/memory.current"), "104857600"),
    ]);
    let group = tree.container().unwrap();
    let missing = group.reclaim(|| true).unwrap_err();
    assert_eq!(missing.kind(), std::io::ErrorKind::NotFound);
    tree.write(&format!("{dir}/memory.reclaim"), "");
    let done = group.reclaim(|| true).unwrap();
    assert_eq!(done, Reclaimed { before: 104_857_600, after: 104_857_600 });
    // 64 MiB, then the rest; a plain file keeps what was written over.
    assert_eq!(tree.read(&format!("{dir}/memory.reclaim")), "37748736");
    tree.write(&format!("{dir}/memory.reclaim"), "");
    group.reclaim(|| false).unwrap();
    assert_eq!(tree.read(&format!("{dir}/memory.reclaim")), "", "it was given up before");
}

#[test]
fn the_first_version_empties() {
    let tree = Tree::new(&[
        ("proc/self/mountinfo", SPLIT),
        ("proc/7/cgroup", &format!("4:memory:/docker/{ID}\n")),
        (&format!("cg/mem ory/docker/{ID}/memory.usage_in_bytes"), "8192\n"),
        (&format!("cg/mem ory/docker/{ID}/memory.force_empty"), ""),
    ]);
    tree.container().unwrap().reclaim(|| true).unwrap();
    assert_eq!(tree.read(&format!("cg/mem ory/docker/{ID}/memory.force_empty")), "0");
}

/// The kernel's own files: this process has used some time, and none of it is in a made-up container.
#[test]
fn of_this_process() {
    let proc = Path::new(PROC);
    assert!(groups_of(proc, std::process::id()).is_some_and(|groups| !groups.is_empty()));
    assert!(!is_of(proc, std::process::id(), ID));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever such files say, it is read or passed over.
    #[test]
    fn odd_files_are_harmless(
        mountinfo in ".{0,80}( - cgroup2? )?.{0,40}",
        cgroup in "([0-9]{0,3}:[a-z,]{0,9}:)?[^@]{0,60}",
        dev in "([a-z0-9]{0,5}:)?[ 0-9a-z-]{0,80}",
        number in "[^@]{0,40}",
    ) {
        let lines = format!("{cgroup}{ID}");
        let tree = Tree::new(&[
            ("proc/self/mountinfo", &mountinfo.replace('@', "")),
            ("proc/7/cgroup", &lines),
            ("proc/7/net/dev", &dev),
        ]);
        drop(tree.container());
        _ = net_bytes(&tree.proc(), 7, ID);
        let group = Cgroup {
            cpu: Some((Version::Two, tree.0.clone())),
            memory: Some((Version::One, tree.0.clone())),
        };
        tree.write("cpu.stat", &number);
        tree.write("memory.usage_in_bytes", &number);
        _ = (group.cpu(), group.memory());
    }
}
