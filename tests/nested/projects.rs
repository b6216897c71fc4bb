//! Whole projects of compose 2, asleep until somebody comes.

use crate::live::client;
use crate::live::clock::{secs, wait_for};
use crate::live::engine::{Engine, IMAGE, Kind};
use crate::nested::machine::Machine;

/// A database that is healthy late, a migration that needs it, and the application, which needs both.
/// `web` is what the application says more.
fn project(web: &str) -> String {
    format!(
        "name: shop
services:
  db:
    image: {IMAGE}
    command: serve echo:5432 --healthy-after 1500
    healthcheck:
      test: [CMD, /fixture, health]
      interval: 1s
  migrate:
    image: {IMAGE}
    command: serve --exit 0 --say migrated
    depends_on:
      db:
        condition: service_healthy
  web:
    image: {IMAGE}
    command: serve http:8080
    depends_on:
      db:
        condition: service_healthy
      migrate:
        condition: service_completed_successfully
{web}networks:
  default:
    ipam:
      config:
        - subnet: 10.97.0.0/24
"
    )
}

/// The project, made by compose and not started.
struct Shop<'m>(&'m Machine<'m>);

impl<'m> Shop<'m> {
    fn new(machine: &'m Machine<'m>, web: &str) -> Self {
        machine.write("/srv/shop/compose.yaml", &project(web));
        let shop = Shop(machine);
        shop.compose("up --no-start");
        shop
    }

    fn compose(&self, words: &str) {
        self.0.run(&format!("cd /srv/shop && docker compose {words}"));
    }

    fn inspect(&self, service: &str, template: &str) -> String {
        self.0.run(&format!("docker inspect -f '{{{{{template}}}}}' shop-{service}-1"))
    }

    /// Seconds since 1970.
    fn moment(&self, service: &str, which: &str) -> f64 {
        let moment = self.inspect(service, &format!(".State.{which}"));
        self.0.run(&format!("date -d '{moment}' +%s.%N")).parse().unwrap()
    }

    fn address(&self, service: &str) -> String {
        self.inspect(service, "range .NetworkSettings.Networks}}{{.IPAddress}}{{end")
    }

    fn wait_asleep(&self) {
        for service in ["web", "db"] {
            let sleeps = || self.inspect(service, ".State.Status") == "exited";
            wait_for(&format!("{service} sleeps"), secs(30), sleeps);
        }
    }

    /// What was started first was there before the next, and sleeps after it.
    fn assert_order(&self) {
        let [db, migrate, web] =
            ["db", "migrate", "web"].map(|service| self.moment(service, "StartedAt"));
        assert!(migrate - db >= 0.7, "migrate began {} s after db", migrate - db);
        assert!(web >= self.moment("migrate", "FinishedAt"), "web waits for migrate");
        let [db, web] = ["db", "web"].map(|service| self.moment(service, "FinishedAt"));
        assert!(db >= web, "db slept {} s before web", web - db);
    }

    fn migrations(&self) -> usize {
        self.0.run("docker logs shop-migrate-1").matches("migrated").count()
    }
}

/// In compose's order, and back; also after compose has made all of it anew, at other addresses, while
/// a client of another service stays.
#[test]
fn a_project_wakes_in_its_order_and_survives_being_made_anew() {
    let host = Engine::get(Kind::Docker);
    let machine = Machine::boot(&host);
    machine.load_fixture("docker load");
    let shop = Shop::new(&machine, "");
    machine.run(&format!("docker create --name other {IMAGE} serve http:8080"));
    machine.write(
        "/etc/ondemand-container/config.toml",
        "[defaults]\nport = 8080\nidle-timeout = \"1h\"\nengine = \"docker\"\n\
         [services.shop]\ncompose = \"shop/web\"\nlisten = \"3000\"\n\
         [services.other]\nlisten = \"3001\"\n",
    );
    machine.start_daemon("ondemand", "--config /etc/ondemand-container/config.toml");
    // What the end of an idle window does. A short one would stop what compose is about to wait for.
    let sleep = || {
        let slept = || machine.try_run("ondemand-container sleep shop").is_ok();
        wait_for("the last client has gone", secs(20), slept);
        shop.wait_asleep();
    };
    assert_eq!(shop.inspect("db", ".State.Status"), "created");
    let mut elsewhere = client::connect(machine.at(3001)).unwrap();
    let other = client::ask_on(&mut elsewhere, "/").unwrap();

    assert_eq!(machine.get().boot(), 1);
    sleep();
    shop.assert_order();
    assert_eq!(machine.get().boot(), 2);
    assert_eq!(shop.migrations(), 1, "it was done");
    sleep();

    // Somebody has the address of before when the project is made anew.
    let mut client = client::connect(machine.at(3000)).unwrap();
    let earlier = client::ask_on(&mut client, "/").unwrap();
    let address = shop.address("web");
    drop(client);
    sleep();
    machine.run(&format!(
        "docker create --name squatter --network shop_default --ip {address} {IMAGE} \
         serve mute:8080 && docker start squatter"
    ));
    shop.compose("up -d --force-recreate");
    // What compose has started is served, and put to sleep; compose has run the migration itself.
    let later = machine.get();
    assert_eq!(later.boot(), 1, "it is another container");
    assert_ne!(later.run(), earlier.run());
    assert_ne!(shop.address("web"), address);
    sleep();
    assert_eq!(machine.get().boot(), 2);
    sleep();
    assert_eq!(shop.migrations(), 1, "compose has run it, and nobody else");
    assert_eq!(client::get_on(&mut elsewhere, "/").unwrap().run(), other.run());
    drop(elsewhere);
    machine.run("systemctl stop ondemand");
    assert_eq!(machine.show("ondemand", "Result"), "success");
}

/// `generate compose-labels` writes what `--labels` reads, through a compose file.
#[test]
fn generated_labels_serve_a_project() {
    const FLAGS: &str = "--port 8080 --listen '0.0.0.0:3000->8080' --idle-timeout 300ms \
        --start-timeout 50s --stop-timeout 5s --ready 'http:/healthz?a=$HOME&c=${HOME}&b=%20{c}' \
        --max-connections 7 --on-exit stop --keepalive 30s --half-closed-timeout 5m --udp-idle 10s";
    let host = Engine::get(Kind::Docker);
    let machine = Machine::boot(&host);
    machine.load_fixture("docker load");
    let block = machine.run(&format!("ondemand-container generate compose-labels {FLAGS}"));
    // Below the service.
    let shop = Shop::new(&machine, &format!("    {}\n", block.replace('\n', "\n    ")));
    let ready = shop.inspect("web", "index .Config.Labels \"ondemand.ready\"");
    assert_eq!(ready, "http:/healthz?a=$HOME&c=${HOME}&b=%20{c}", "compose has put nothing in");
    let checked = machine.run("ondemand-container check --labels docker");
    for words in ["shop-web-1", "shop-db-1", "shop-migrate-1", "3000"] {
        assert!(checked.contains(words), "{words}: {checked}");
    }

    machine.start_daemon("ondemand", "--labels docker --control /run/control.sock");
    // An engine that is slow to answer is not waited for: its services come later, then.
    wait_for("the project is served", secs(20), || {
        let told = machine.try_run("ondemand-container status --control /run/control.sock");
        told.is_ok_and(|told| told.contains("shop-web-1"))
    });
    for boot in 1..=2 {
        assert_eq!(machine.get().boot(), boot);
        shop.wait_asleep();
        if boot == 1 {
            shop.assert_order();
        }
    }
    assert_eq!(shop.migrations(), 1, "it was done");
    // `--on-exit stop` has arrived.
    machine.run("ondemand-container hold shop-web-1 --control /run/control.sock");
    assert_eq!(shop.inspect("web", ".State.Status"), "running");
    machine.run("systemctl stop ondemand");
    for service in ["web", "db"] {
        assert_eq!(shop.inspect(service, ".State.Status"), "exited", "{service}");
    }
    let warned = machine.run("journalctl -q --no-pager -o cat -u ondemand -p warning");
    assert_eq!(warned, "", "no label is complained of");
}
