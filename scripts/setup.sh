#!/usr/bin/env bash
# Brings a machine to where `make test` (or, as `setup.sh nested`, `make test-nested`, and as
# `setup.sh demo`, `make demo`) works.
#
# Installs what is missing, starts the Docker daemon when it is not running, builds the static
# binaries and imports the test image. Says nothing when there is nothing to do.
set -euo pipefail
cd "$(dirname "$0")/.."

purpose=${1:-test}
image=ondemand-fixture:test
target=$(rustc -vV | sed -n 's/^host: //p')
out=${CARGO_TARGET_DIR:-target}/$target/release

say() { echo "setup: $*" >&2; }
have() { command -v "$1" >/dev/null 2>&1 || [ -e "$1" ]; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# package:what-shows-that-it-is-there
missing_packages() {
    local wanted=(gcc:cc) entry
    case $purpose in
        test)
            wanted+=(docker.io:dockerd iptables:iptables podman:podman runc:runc conmon:conmon
                netavark:/usr/lib/podman/netavark aardvark-dns:/usr/lib/podman/aardvark-dns
                slirp4netns:slirp4netns iproute2:ip util-linux:nsenter
                docker-compose:docker-compose systemd:systemd-analyze perl-base:perl g++:g++
                strace:strace procps:ps dbus:/usr/lib/systemd/system/dbus.service
                polkitd:/usr/lib/polkit-1/polkitd
                dbus-user-session:/usr/lib/systemd/user/dbus.socket)
            # Debian 13 splits the client off.
            ! apt-cache show docker-cli >/dev/null 2>&1 || wanted+=(docker-cli:docker)
            ;;
        nested)
            wanted+=(docker.io:dockerd iptables:iptables mmdebstrap:mmdebstrap)
            ! apt-cache show docker-cli >/dev/null 2>&1 || wanted+=(docker-cli:docker)
            ;;
        demo)
            wanted+=(curl:curl)
            have docker || have podman || wanted+=(docker.io:dockerd iptables:iptables)
            ;;
    esac
    for entry in "${wanted[@]}"; do
        have "${entry#*:}" || echo "${entry%%:*}"
    done
}

install_packages() {
    local packages
    mapfile -t packages < <(missing_packages)
    [ ${#packages[@]} -gt 0 ] || return 0
    if ! have apt-get; then
        say "this machine has no apt; please install by hand: ${packages[*]}"
        exit 1
    fi
    say "installing ${packages[*]}"
    # A machine that has just been made may be updating itself, and a mirror may be away for a moment.
    for _ in $(seq 12); do
        ! as_root apt-get update -qq -o Acquire::Retries=3 -o APT::Update::Error-Mode=any || break
        say "the package lists are not complete; trying again"
        sleep 5
    done
    # With what the lists say now.
    mapfile -t packages < <(missing_packages)
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "${packages[@]}" >/dev/null
}

docker_runs() { as_root docker version >/dev/null 2>&1; }

start_docker() {
    ! docker_runs || return 0
    have dockerd || { [ "$purpose" = demo ] && return 0; }
    say "starting the Docker daemon"
    if [ -d /run/systemd/system ]; then
        as_root systemctl start docker
    else
        as_root sh -c 'setsid dockerd >>/var/log/dockerd.log 2>&1 </dev/null &'
    fi
    for _ in $(seq 600); do
        ! docker_runs || return 0
        sleep 0.2
    done
    say "the Docker daemon does not come up; see /var/log/dockerd.log or journalctl -u docker"
    exit 1
}

# Static, so that an image needs nothing but the binary.
build() {
    RUSTFLAGS='-C target-feature=+crt-static' cargo build --quiet --release --target "$target" \
        --bins --features fixture
}

# import ENGINE-COMMAND...: makes the image anew when the binary has changed.
import() {
    local sum here old root complaints
    sum=$(sha256sum "$out/fixture" | cut -c1-64)
    here=$(as_root "$@" image inspect -f '{{.Comment}}' "$image" 2>/dev/null || true)
    [ "$here" != "$sum" ] || return 0
    say "importing $image into $(basename "$1")"
    old=$(as_root "$@" image inspect -f '{{.Id}}' "$image" 2>/dev/null || true)
    root=$(mktemp -d)
    mkdir "$root/bin"
    cp "$out/fixture" "$root/fixture"
    # Engines run a health check given as one line with `sh -c`.
    ln -s ../fixture "$root/bin/sh"
    complaints=$(tar -C "$root" -c . | as_root "$@" import --message "$sum" \
        -c 'ENTRYPOINT ["/fixture"]' -c 'EXPOSE 8080' - "$image" 2>&1 >/dev/null) ||
        { say "$complaints" && exit 1; }
    rm -r "$root"
    # Still used by a container of a test that runs, it stays.
    [ -z "$old" ] || as_root "$@" rmi "$old" >/dev/null 2>&1 || true
}

# What a killed test run has left behind: names carry the process ID of their test.
sweep() {
    local id name pid
    "$@" ps -a --filter label=ondemand-test --format '{{.ID}} {{.Names}}' 2>/dev/null |
        while read -r id name; do
            pid=$(cut -d- -f2 <<<"$name")
            [ ! -d "/proc/$pid" ] || continue
            # Podman's removal would wait out the stop timeout of a stubborn one.
            "$@" kill "$id" >/dev/null 2>&1 || true
            "$@" rm -f -v "$id" >/dev/null 2>&1 || true
        done
    for kind in network volume; do
        "$@" "$kind" ls --format '{{.Name}}' 2>/dev/null | grep -E '^odt(-[0-9]+-|[0-9]+x)' |
            while read -r name; do
                pid=${name#odt} pid=${pid#-} pid=${pid%%[x-]*}
                [ -d "/proc/$pid" ] || "$@" "$kind" rm "$name" >/dev/null 2>&1 || true
            done || true
    done
    "$@" images --format '{{.Repository}}' 2>/dev/null | grep -E '^odt-[0-9]+-' |
        while read -r name; do
            pid=$(cut -d- -f2 <<<"$name")
            [ -d "/proc/$pid" ] || "$@" rmi -f "$name" >/dev/null 2>&1 || true
        done || true
}

# netavark before 1.9 lets the bridge have the lowest hardware address of whoever is on it, so it changes
# as containers come and go, and who has learnt the old one sends to nobody for up to a minute
# (containers/netavark#833). Where udev runs it gives each new bridge an address that stays; here it may not
# run. A port of our own keeps the bridge, and what was set once stays set.
pin_bridge() {
    local podman=scripts/test-podman bridge container
    [ ! -e /sys/class/net/odt-anchor ] || return 0
    container=$(as_root $podman run -d --label ondemand-test --name "odt-$$-anchor" "$image" serve mute:8080)
    bridge=$(as_root $podman network inspect -f '{{.NetworkInterface}}' ondemand-test)
    as_root ip link add odt-anchor type veth peer name odt-anchor0
    as_root ip link set odt-anchor master "$bridge"
    as_root ip link set "$bridge" address "$(cat "/sys/class/net/$bridge/address")"
    as_root $podman kill "$container" >/dev/null
    as_root $podman rm -f "$container" >/dev/null
}

for dir in "${TMPDIR:-/tmp}"/odt-*-*; do
    pid=$(basename "$dir" | cut -d- -f2)
    [ ! -d "$dir" ] || [ -d "/proc/$pid" ] || as_root rm -rf "$dir"
done
install_packages
start_docker
build
if docker_runs; then
    import docker
    sweep as_root docker
fi
if [ "$purpose" = nested ]; then
    as_root scripts/nested-image.sh
elif [ "$purpose" = test ] || ! docker_runs; then
    import scripts/test-podman
    sweep as_root scripts/test-podman
    [ "$purpose" != test ] || pin_bridge
fi
