use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::activation::Window;
use crate::config::{Bonds, Condition, Given, Level, OnExit, Origin, Role, circles, file};
use crate::engine::{Listed, TargetName};
use crate::port::Port;

fn plan(text: &str) -> Plan {
    try_plan(text).unwrap()
}

fn try_plan(text: &str) -> Result<Plan, String> {
    let texts = [("c.toml".into(), text.to_owned())];
    let file = file::parse(&texts).map_err(|problems| format!("{problems:?}"))?;
    Plan::of_file(Given::default(), &file).map_err(|problems| format!("{problems:?}"))
}

/// A container: its name, and its labels as `key=value` with a word each; ours and compose's
/// without what they begin with.
fn listed(line: &str) -> Listed {
    let mut words = line.split(' ');
    let name = words.next().unwrap();
    let mut labels = BTreeMap::new();
    let mut created = 0;
    let mut ports = [].into();
    for word in words {
        let (key, value) = word.split_once('=').unwrap();
        match key {
            "created" => created = value.parse().unwrap(),
            "exposes" => ports = [value.parse::<Port>().unwrap()].into(),
            "of" => {
                let (project, service) = value.split_once('/').unwrap();
                labels.insert("com.docker.compose.project".to_owned(), project.to_owned());
                labels.insert("com.docker.compose.service".to_owned(), service.to_owned());
            }
            "number" => {
                labels.insert("com.docker.compose.container-number".to_owned(), value.to_owned());
            }
            "oneoff" | "depends_on" => {
                labels.insert(format!("com.docker.compose.{key}"), value.to_owned());
            }
            key => {
                labels.insert(format!("ondemand.{key}"), value.to_owned());
            }
        }
    }
    let name = TargetName::container(name).unwrap();
    Listed { id: format!("1d{name}"), name, labels, created, ports }
}

fn snapshots(lines: &[&str]) -> Snapshots {
    snapshots_of(lines.iter().map(|line| listed(line)).collect())
}

fn snapshots_of(mut containers: Vec<Listed>) -> Snapshots {
    containers.sort_by(|a, b| a.name.cmp(&b.name));
    containers.dedup_by(|a, b| a.name == b.name);
    [("docker".to_owned(), Arc::new(Snapshot { containers }))].into()
}

/// Each service with its bonds: `web: db! cache? +worker`, `!` for healthy, `.` for completed.
fn shape(resolved: &Resolved) -> Vec<String> {
    let one = |service: &Service| {
        let mut words = vec![match service.role {
            Role::Clients => format!("{}:", service.name),
            Role::Member => format!("({}):", service.name),
            Role::OneShot => format!("[{}]:", service.name),
        }];
        for bond in &service.bonds.before {
            let until = match bond.until {
                Condition::Started => "",
                Condition::Healthy => "!",
                Condition::Completed => ".",
            };
            let optional = if bond.optional { "?" } else { "" };
            words.push(format!("{}{until}{optional}", bond.to));
        }
        words.extend(service.bonds.beside.iter().map(|bond| format!("+{}", bond.to)));
        words.join(" ")
    };
    resolved.services.iter().map(one).collect()
}

fn told(resolved: &Resolved, level: Level) -> Vec<String> {
    let of = resolved.complaints.iter().filter(|complaint| complaint.level == level);
    of.map(ToString::to_string).collect()
}

fn order(resolved: &Resolved, name: &str) -> String {
    let order = resolved.wake_order(name);
    order.iter().map(|service| service.name.as_str()).collect::<Vec<_>>().join(" ")
}

const DOCKER: &str = "[defaults]\nengine = \"docker\"\n";
const LABELS: &str = "[daemon]\nlabels = [\"docker\"]\n";
const SHOP: &[&str] = &[
    "shop-web-1 of=shop/web number=1 depends_on=db:service_healthy:false,cache:service_started:true",
    "shop-db-1 of=shop/db number=1 depends_on=seed:service_completed_successfully:false",
    "shop-seed-1 of=shop/seed number=1",
    "shop-cache-1 of=shop/cache number=1",
    "shop-worker-1 of=shop/worker number=1 depends_on=web:service_started:false,queue:service_started:false",
    "shop-queue-1 of=shop/queue number=1",
    "shop-run-4f5 of=shop/web number=1 oneoff=True",
];

#[test]
fn names_of_the_file_and_of_containers_become_services() {
    let plan = plan(&format!(
        "{DOCKER}[services.web]\nport = 80\nidle-timeout = \"5m\"\non-exit = \"stop\"\n\
         depends-on = [\"pg\", \"cache:optional\"]\nwith = \"worker\"\n\
         [services.api]\nport = 81\nidle-timeout = \"10m\"\ndepends-on = \"cache:healthy\"\n\
         [services.db]\ncontainer = \"pg\"\ndepends-on = \"seed:completed\"\n"
    ));
    let resolved = resolve(&plan, &Snapshots::new());
    assert_eq!(
        shape(&resolved),
        [
            "api: cache!",
            "(cache):",
            "(db): seed.",
            "[seed]:",
            "web: db cache? +worker",
            "(worker):"
        ]
    );
    let cache = resolved.get("cache").unwrap();
    assert_eq!(cache.settings.policy.idle, Window::After(Duration::from_secs(600)));
    assert_eq!((cache.settings.on_exit, cache.origin), (OnExit::Leave, Origin::Operator));
    assert_eq!(resolved.get("worker").unwrap().settings.on_exit, OnExit::Stop);
    assert_eq!((cache.settings.engine.as_str(), cache.settings.ports.all()), ("docker", &[][..]));
    assert_eq!(order(&resolved, "web"), "seed db cache web worker");
}

#[test]
fn a_container_that_is_not_there_is_told_and_waited_for() {
    let plan = plan(&format!(
        "{DOCKER}[services.web]\nport = 80\ndepends-on = [\"db\", \"x:optional\"]\n"
    ));
    let resolved = resolve(&plan, &snapshots(&["web"]));
    assert_eq!(shape(&resolved), ["(db):", "web: db x?", "(x):"]);
    let warned = told(&resolved, Level::Warn);
    assert!(matches!(&warned[..], [text] if text.starts_with("web: needs db, and there")));
}

#[test]
fn a_compose_service_brings_what_it_needs() {
    let plan = plan(&format!("{DOCKER}[services.shop]\ncompose = \"shop/web\"\nport = 80\n"));
    assert_eq!(plan.discovered(), ["docker"].into());
    let early = resolve(&plan, &Snapshots::new());
    assert_eq!(shape(&early), ["shop:"]);
    assert_eq!(early.services[0].settings.target.as_str(), "shop-web-1");
    assert_eq!(early.complaints, []);

    let resolved = resolve(&plan, &snapshots(SHOP));
    assert_eq!(
        shape(&resolved),
        [
            "shop: shop-db-1! shop-cache-1",
            "(shop-cache-1):",
            "(shop-db-1): shop-seed-1.",
            "[shop-seed-1]:"
        ]
    );
    assert_eq!(order(&resolved, "shop"), "shop-seed-1 shop-db-1 shop-cache-1 shop");
    let missing = resolve(&plan, &snapshots(&["web"]));
    assert!(told(&missing, Level::Warn)[0].contains("docker compose up --no-start"));
    assert_eq!(shape(&missing), ["shop:"]);
}

#[test]
fn dependencies_without_a_container_are_done_without() {
    let plan = plan(&format!("{DOCKER}[services.shop]\ncompose = \"shop/web\"\nport = 80\n"));
    let resolved = resolve(&plan, &snapshots(&SHOP[..1]));
    assert_eq!(shape(&resolved), ["shop:"]);
    assert_eq!(told(&resolved, Level::Debug).len(), 2);
    assert_eq!(told(&resolved, Level::Warn), Vec::<String>::new());
}

#[test]
fn a_project_without_written_dependencies_is_told() {
    let plan = plan(&format!("{DOCKER}[services.shop]\ncompose = \"shop/web\"\nport = 80\n"));
    let resolved = resolve(&plan, &snapshots(&["shop_web_1 of=shop/web", "shop_db_1 of=shop/db"]));
    assert_eq!(shape(&resolved), ["shop:"]);
    assert!(told(&resolved, Level::Info)[0].contains("name them with depends-on"));
    let alone = resolve(&plan, &snapshots(&["shop_web_1 of=shop/web"]));
    assert_eq!(alone.complaints, []);
}

#[test]
fn a_whole_project_is_awake_together() {
    let named = plan(&format!(
        "{DOCKER}[services.s]\ncompose = \"shop\"\ncontainer = \"shop-web-1\"\nport = 80\n"
    ));
    let resolved = resolve(&named, &snapshots(SHOP));
    assert_eq!(
        shape(&resolved),
        [
            "s: shop-db-1! shop-cache-1 +shop-worker-1",
            "(shop-cache-1):",
            "(shop-db-1): shop-seed-1.",
            "(shop-queue-1):",
            "[shop-seed-1]:",
            "(shop-worker-1): s shop-queue-1",
        ]
    );
    assert_eq!(
        order(&resolved, "s"),
        "shop-seed-1 shop-db-1 shop-cache-1 s shop-queue-1 shop-worker-1"
    );
}

#[test]
fn the_entrance_is_the_one_that_nobody_depends_on_and_that_has_the_port() {
    let whole = plan(&format!("{DOCKER}[services.s]\ncompose = \"p\"\nport = 80\n"));
    let reached = |lines: &[&str]| {
        let resolved = resolve(&whole, &snapshots(lines));
        (resolved.get("s").unwrap().settings.target.to_string(), told(&resolved, Level::Warn))
    };
    let guesses = |lines: &[&str]| {
        let informed = told(&resolve(&whole, &snapshots(lines)), Level::Info);
        informed.iter().filter(|text| text.contains("are led to")).count()
    };
    let web = "p-web-1 of=p/web depends_on=db:service_started:false";
    assert_eq!(reached(&[web, "p-db-1 of=p/db"]), ("p-web-1".to_owned(), Vec::new()));
    let (target, warned) = reached(&[web, "p-db-1 of=p/db", "p-admin-1 of=p/admin"]);
    assert_eq!(target, "p.entrance-not-known");
    assert!(warned[0].contains("may mean each of admin, web"), "{warned:?}");
    let shown = format!("{web} exposes=80");
    assert_eq!(reached(&[&shown, "p-admin-1 of=p/admin"]).0, "p-web-1");
    assert_eq!(guesses(&[web, "p-db-1 of=p/db"]), 1);
    assert_eq!(guesses(&[&shown, "p-db-1 of=p/db"]), 0);
    assert_eq!(guesses(&[web]), 0);
    assert_eq!(reached(&[web, "p-admin-1 of=p/admin exposes=81"]).0, "p-web-1");
}

#[test]
fn further_replicas_are_companions_of_the_first() {
    let plan = plan(&format!("{DOCKER}[services.s]\ncompose = \"p/web\"\nport = 80\n"));
    let resolved = resolve(
        &plan,
        &snapshots(&[
            "p-web-10 of=p/web number=10 depends_on=db:service_started:false",
            "p-web-2 of=p/web number=2 depends_on=db:service_started:false",
            "p-db-1 of=p/db number=1",
            "p-db-2 of=p/db number=2",
        ]),
    );
    assert_eq!(
        shape(&resolved),
        ["(p-db-1): +p-db-2", "(p-db-2):", "(p-web-10): p-db-1", "s: p-db-1 +p-web-10"]
    );
    assert_eq!(resolved.get("s").unwrap().settings.target.as_str(), "p-web-2");
}

#[test]
fn labelled_containers_are_services() {
    let resolved = resolve(
        &plan(LABELS),
        &snapshots(&["web enable=true port=80 depends-on=db", "db", "other port=81"]),
    );
    assert_eq!(shape(&resolved), ["(db):", "web: db"]);
    assert_eq!(resolved.get("db").unwrap().origin, Origin::Labels);
    let unheard =
        resolve(&plan("[services.x]\nport = 1\n"), &snapshots(&["web enable=true port=80"]));
    assert_eq!(shape(&unheard), ["x:"]);
}

#[test]
fn labels_in_a_compose_project_name_its_services() {
    let resolved = resolve(
        &plan(LABELS),
        &snapshots(&[
            "p-web-1 of=p/web enable=true port=80 name=web depends-on=cache:healthy",
            "p-api-1 of=p/api enable=true port=81 name=api depends_on=db:service_healthy:false",
            "p-cache-1 of=p/cache depends_on=db:service_started:false",
            "p-db-1 of=p/db",
            "cache",
        ]),
    );
    assert_eq!(
        shape(&resolved),
        ["api: p-db-1!", "(p-cache-1): p-db-1", "(p-db-1):", "web: p-cache-1!"]
    );
}

#[test]
fn the_file_wins_over_labels_and_the_older_container_over_the_newer() {
    let plan = plan(&format!(
        "{LABELS}[services.web]\ncontainer = \"a\"\nengine = \"docker\"\nport = 80\n"
    ));
    let resolved = resolve(
        &plan,
        &snapshots(&[
            "a enable=true port=90",
            "b enable=true port=91 name=web",
            "c enable=true port=80",
            "late enable=true port=92 created=2",
            "soon enable=true port=92 listen=127.0.0.1:92 created=1",
            "other enable=true port=93 name=soon created=3",
        ]),
    );
    assert_eq!(shape(&resolved), ["soon:", "web:"]);
    let informed = told(&resolved, Level::Info);
    for (at, words) in [
        "a: left out: its container",
        "b: left out: the name",
        "c: left out: where it would listen",
    ]
    .iter()
    .enumerate()
    {
        assert!(informed[at].starts_with(words), "{informed:#?}");
    }
    let warned = told(&resolved, Level::Warn);
    assert!(warned[0].starts_with(
        "late: left out: where it would listen, 92, is that of the older container soon"
    ));
    assert!(warned[1].starts_with("other: left out: the name soon"), "{warned:#?}");
}

#[test]
fn bonds_lead_to_the_service_that_stands_for_a_container() {
    let plan = plan(&format!(
        "{LABELS}[services.pg]\ncontainer = \"p-db-1\"\nengine = \"docker\"\nport = 5432\n"
    ));
    let resolved = resolve(
        &plan,
        &snapshots(&[
            "p-web-1 of=p/web enable=true port=80 depends_on=db:service_completed_successfully:false",
            "p-db-1 of=p/db",
        ]),
    );
    assert_eq!(shape(&resolved), ["p-web-1: pg!", "pg:"]);
    assert!(told(&resolved, Level::Warn)[0].contains("never completes"));
}

#[test]
fn a_member_whose_name_is_taken_gets_another() {
    let plan = plan(&format!(
        "{DOCKER}[services.db]\ncontainer = \"x\"\nport = 1\n[services.s]\ncompose = \"p/web\"\nport = 80\n"
    ));
    let resolved = resolve(
        &plan,
        &snapshots(&["web of=p/web depends_on=data:service_started:false", "db of=p/data", "x"]),
    );
    assert_eq!(shape(&resolved), ["db:", "(db-member):", "s: db-member"]);
}

#[test]
fn a_container_is_that_of_its_own_engine() {
    let plan = plan(
        "[services.a]\nengine = \"docker\"\nport = 1\ndepends-on = \"db\"\n\
         [services.b]\nengine = \"podman\"\nport = 2\ndepends-on = \"db:healthy\"\n",
    );
    let resolved = resolve(&plan, &Snapshots::new());
    assert_eq!(shape(&resolved), ["a: db", "b: db-member!", "(db):", "(db-member):"]);
    let engine = |name| resolved.get(name).unwrap().settings.engine.as_str();
    assert_eq!((engine("db"), engine("db-member")), ("docker", "podman"));
}

#[test]
fn a_circle_disables_those_that_need_it() {
    let resolved = resolve(
        &plan(LABELS),
        &snapshots(&[
            "web enable=true port=80 depends-on=api",
            "api enable=true port=81 depends-on=web",
            "top enable=true port=82 depends-on=web",
            "fine enable=true port=83",
            "self enable=true port=84 depends-on=self",
        ]),
    );
    assert_eq!(shape(&resolved), ["fine:"]);
    let warned = told(&resolved, Level::Warn);
    assert_eq!(warned.len(), 4, "{warned:#?}");
    assert!(warned[0].contains("api -> web -> api"), "{warned:#?}");
}

fn label() -> impl Strategy<Value = (String, String)> {
    let name = prop::sample::select(vec!["a", "b", "c", "d", "e"]);
    let names = prop::collection::vec(name.clone(), 0..3);
    let conditions = prop::sample::select(vec![
        ":service_started:false",
        ":service_healthy:true",
        ":service_completed_successfully:false",
        "",
        ":x",
    ]);
    prop_oneof![
        Just(("ondemand.enable".to_owned(), "true".to_owned())),
        Just(("ondemand.enable".to_owned(), "true".to_owned())),
        (80_u16..83).prop_map(|port| ("ondemand.port".to_owned(), port.to_string())),
        (80_u16..83).prop_map(|port| ("ondemand.port".to_owned(), port.to_string())),
        name.clone().prop_map(|name| ("ondemand.name".to_owned(), name.to_owned())),
        names.clone().prop_map(|names| ("ondemand.depends-on".to_owned(), names.join(","))),
        names.clone().prop_map(|names| ("ondemand.with".to_owned(), names.join(","))),
        name.clone().prop_map(|_| ("ondemand.compose".to_owned(), "p".to_owned())),
        Just(("com.docker.compose.project".to_owned(), "p".to_owned())),
        Just(("com.docker.compose.project".to_owned(), "p".to_owned())),
        name.clone().prop_map(|name| ("com.docker.compose.service".to_owned(), name.to_owned())),
        name.prop_map(|name| ("com.docker.compose.service".to_owned(), name.to_owned())),
        (0_u32..3).prop_map(|n| ("com.docker.compose.container-number".to_owned(), n.to_string())),
        (names, conditions).prop_map(|(names, condition)| {
            let all = names.iter().map(|name| format!("{name}{condition}")).collect::<Vec<_>>();
            ("com.docker.compose.depends_on".to_owned(), all.join(","))
        }),
        ("ondemand\\.[a-z-]{0,12}", ".{0,12}"),
        (prop::sample::select(vec!["listen", "listen.x", "ready", "idle-timeout"]), ".{0,12}")
            .prop_map(|(key, value)| (format!("ondemand.{key}"), value)),
    ]
}

fn containers() -> impl Strategy<Value = Vec<Listed>> {
    let labels = prop::collection::btree_map("[a-z.]{0,8}", ".{0,8}", 0..2);
    let ours = prop::collection::vec(label(), 0..9);
    let one = ("[a-h]", labels, ours, 0_i64..3, any::<bool>()).prop_map(
        |(name, mut labels, ours, created, exposes)| {
            labels.extend(ours);
            let ports = if exposes { [Port::tcp(80)].into() } else { [].into() };
            let name = TargetName::container(&name).unwrap();
            Listed { id: format!("1d{name}"), name, labels, created, ports }
        },
    );
    prop::collection::vec(one, 0..9)
}

fn plans() -> impl Strategy<Value = Plan> {
    prop::sample::select(vec![
        LABELS.to_owned(),
        format!("{LABELS}[services.a]\nport = 80\ndepends-on = \"b\"\nengine = \"docker\"\n"),
        format!("{LABELS}[services.a]\ncompose = \"p\"\nport = 81\nengine = \"docker\"\nwith = \"c\"\n"),
        format!(
            "{LABELS}[services.a]\ncompose = \"p/b\"\nport = 81\nengine = \"docker\"\n\
             [services.z]\ncompose = \"p/c\"\nengine = \"docker\"\nport = 85\ndepends-on = [\"y:completed\", \"a\"]\n\
             [services.y]\ncontainer = \"d\"\nengine = \"docker\"\n"
        ),
    ])
    .prop_map(|text| plan(&text))
}

proptest! {
    #[test]
    fn whatever_the_labels_say_bonds_lead_to_services_and_in_no_circle(
        plan in plans(),
        containers in containers(),
    ) {
        let snapshots = snapshots_of(containers);
        let resolved = resolve(&plan, &snapshots);
        prop_assert_eq!(&resolved, &resolve(&plan, &snapshots));
        let names: Vec<&str> = resolved.services.iter().map(|s| s.name.as_str()).collect();
        prop_assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        let mut containers: Vec<_> =
            resolved.services.iter().map(|s| s.settings.target.clone()).collect();
        containers.sort();
        prop_assert!(containers.is_sorted_by(|a, b| a < b), "{containers:?}");
        for service in &resolved.services {
            for bond in service.bonds.all() {
                prop_assert!(names.contains(&bond.to.as_str()), "{} of {}", bond.to, service.name);
            }
            prop_assert_eq!(service.role == Role::Clients, !service.settings.ports.all().is_empty());
        }
        let graph: BTreeMap<&str, &Bonds> =
            resolved.services.iter().map(|s| (s.name.as_str(), &s.bonds)).collect();
        prop_assert_eq!(circles::circles(&graph), Vec::<Vec<String>>::new());
    }

    #[test]
    fn any_labels_are_read_or_complained_of(
        labels in prop::collection::btree_map("(ondemand\\.)?[a-z.-]{0,20}", ".{0,30}", 0..8),
    ) {
        let mut container = listed("web enable=true");
        container.labels.extend(labels);
        let resolved = resolve(&plan(LABELS), &snapshots_of(vec![container]));
        prop_assert!(resolved.services.len() <= 1);
        for complaint in &resolved.complaints {
            prop_assert!(!complaint.to_string().chars().any(char::is_control));
        }
    }
}
