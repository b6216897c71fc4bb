#!/usr/bin/env bash
# The image that `make test-nested` boots: Debian 13 with systemd 257, Docker 26, Podman 5, compose 2.
#
# From the Debian mirror that this machine's apt is configured with. This file is the recipe: as long
# as it is unchanged, the image is kept.
set -euo pipefail

image=ondemand-nested:test
packages=(
    systemd systemd-sysv dbus dbus-user-session libpam-systemd polkitd
    podman crun netavark aardvark-dns uidmap passt catatonit
    docker.io docker-cli docker-compose
    nftables iptables iproute2 ca-certificates curl procps
)

sum=$(sha256sum "$0" | cut -c1-64)
old=$(docker image inspect -f '{{.Id}} {{.Comment}}' "$image" 2>/dev/null || true)
[ "${old#* }" != "$sum" ] || exit 0
echo "setup: building $image, which takes a minute or two" >&2

mirror=()
[ "$(. /etc/os-release && echo "$ID")" != debian ] ||
    mapfile -t mirror < <(apt-get indextargets --format '$(SITE)' \
        'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | grep '^http' | sort -u)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mkdir "$work/etc"
# No CAP_SYS_RESOURCE is asked for, and no cgroup controller: a machine may grant neither.
cat >"$work/etc/containers.conf" <<'CONF'
[containers]
default_ulimits = ["nofile=1024:4096", "nproc=1024:2048"]
pids_limit = 0
CONF
cat >"$work/customize" <<'HOOK'
#!/bin/sh
set -eu
mv /containers.conf /etc/containers/containers.conf
# Somebody without root, with room for containers.
useradd --create-home --uid 1000 --shell /bin/bash user
# Docker by its socket: a test that does not need it does not wait for it.
systemctl disable --quiet docker.service containerd.service
systemctl enable --quiet podman.socket docker.socket
# What a boot does without.
systemctl mask --quiet apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
    fstrim.timer systemd-journal-catalog-update.service ldconfig.service systemd-sysusers.service \
    systemd-update-done.service
rm -rf /var/lib/apt/lists/* /etc/machine-id
touch /etc/machine-id
HOOK
chmod +x "$work/customize"

include=$(IFS=, && echo "${packages[*]}")
mmdebstrap --quiet --variant=minbase --aptopt='Acquire::Retries "5"' --include="$include" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --customize-hook="copy-in $work/etc/containers.conf $work/customize /" \
    --customize-hook='chroot "$1" /customize && rm "$1/customize"' \
    trixie - "${mirror[@]}" >"$work/tree.tar"
docker import --message "$sum" - "$image" <"$work/tree.tar" >/dev/null
# Still used by a machine of a test that runs, it stays.
[ -z "$old" ] || docker rmi "${old%% *}" >/dev/null 2>&1 || true
