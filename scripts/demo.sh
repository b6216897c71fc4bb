#!/usr/bin/env bash
# `make demo`: one container, one daemon before it, and a look at what happens between them.
set -euo pipefail
cd "$(dirname "$0")/.."

target=$(rustc -vV | sed -n 's/^host: //p')
daemon=${CARGO_TARGET_DIR:-target}/$target/release/ondemand-container
name=ondemand-demo-$$
port=${DEMO_PORT:-3000}
idle=4
work=$(mktemp -d)
pids=()

if docker version >/dev/null 2>&1; then
    engine=(docker)
    url=unix:///var/run/docker.sock
else
    engine=(scripts/test-podman)
    url=unix://$work/podman.sock
    scripts/test-podman system service --time=0 "$url" 2>"$work/podman.log" &
    pids+=($!)
fi

clean_up() {
    trap - EXIT INT TERM
    [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    "${engine[@]}" rm -f "$name" >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap clean_up EXIT
trap 'exit 130' INT TERM

if [ -t 1 ]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; else bold='' dim='' plain=''; fi
title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
say() { printf '  %s\n' "$*"; }
state() { "${engine[@]}" inspect -f '{{.State.Status}}' "$name"; }

request() {
    local answer
    answer=$(curl -sS --fail --max-time 60 -w '%{time_total}' "http://127.0.0.1:$port/")
    printf '  answered after %s%s s%s: %s\n' "$bold" "${answer##*$'\n'}" "$plain" "${answer%%$'\n'*}"
    say "the container is $(state)"
}

# A health check's noise about a missing systemd is Podman's own.
"${engine[@]}" create --name "$name" --health-cmd '/fixture health' \
    ondemand-fixture:test serve http:8080 --boot 2000 >/dev/null 2>&1

title "A container that needs 2 s to boot and declares a health check. It does not run:"
say "$("${engine[@]}" ps -a --filter "name=$name" --format '{{.Names}}   {{.Status}}')"

# Everything that listens on it, on any address of either family.
if grep -qE "$(printf ':%04X 0+:0000 0A' "$port")" /proc/net/tcp /proc/net/tcp6; then
    say "port $port is taken; another one: DEMO_PORT=4000 make demo"
    exit 1
fi

title "The daemon holds port $port before it:"
say "ondemand-container --container $name --port 8080 --listen 127.0.0.1:$port --idle-timeout ${idle}s"
"$daemon" --engine "$url" --container "$name" --port 8080 --listen "127.0.0.1:$port" \
    --idle-timeout "${idle}s" --log-format text \
    > >(sed -u "s/^[0-9TZ:.-]* */  ${dim}log: /; s/\$/$plain/") 2>&1 &
daemon_pid=$!
pids+=("$daemon_pid")
# A look at the kernel's table: a connection would wake the container.
listening() { grep -q "$(printf '0100007F:%04X 00000000:0000 0A' "$port")" /proc/net/tcp; }
until listening; do
    if ! kill -0 "$daemon_pid" 2>/dev/null; then
        say "the daemon has ended; if port $port is taken: DEMO_PORT=4000 make demo"
        exit 1
    fi
    sleep 0.1
done
say "it listens, and the container is still $(state)"

title "First request: nothing runs yet. The client is held while the container starts and boots."
request

title "Second request: the container runs."
request

title "Now nobody connects. After ${idle} s without a client the container is stopped."
sleep "$idle"
until [ "$(state)" != running ]; do sleep 0.2; done
say "the container is $(state)"

title "Third request: woken again."
request

title "That was all. The daemon is told to end; the container is removed."
kill -TERM "$daemon_pid"
wait "$daemon_pid"
say "the daemon ended with status $?"
