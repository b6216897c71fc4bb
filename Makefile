# `make demo` shows it, `make test` proves it; both bring what they need on Debian.

CARGO ?= cargo
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
BENCHES = --manifest-path benches/Cargo.toml --target-dir target/benches
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)

# What is random begins alike in every `make test`; `make fuzz` and PROPTEST_RNG_SEED=N try something else.
export PROPTEST_RNG_SEED ?= 1

.PHONY: help setup build image install demo test test-nested live bench fuzz fmt lint doc clean

help:
	@echo "make setup   install what the tests need, build the static binaries, import the test image"
	@echo "make build   the release binary"
	@echo "make image   the image ondemand-container, from nothing but the static binary"
	@echo "make install the binary and the systemd units, below DESTDIR"
	@echo "make demo    watch a container wake, serve, sleep and wake again"
	@echo "make test    everything but test-nested: format, lints, docs, all tests on real engines"
	@echo "make test-nested   the tests on newer engines, in machines booted from an image built for it"
	@echo "make live    the tests on real engines only"
	@echo "make bench   the figures, against the peers; BENCH=--full takes long"
	@echo "make fuzz    feed what parses foreign bytes with more of them; FUZZ=seconds per target"
	@echo "make fmt     format the code"
	@echo "make lint    clippy on all targets"
	@echo "make clean   remove build results, test images and what killed tests left behind"

setup:
	@scripts/setup.sh test

build:
	$(CARGO) build --release --bin ondemand-container

image:
	@scripts/setup.sh demo
	docker build -t ondemand-container --build-arg BINARY=target/$(HOST)/release/ondemand-container .

install: build
	install -D -m 755 target/release/ondemand-container $(DESTDIR)/usr/local/bin/ondemand-container
	install -d $(DESTDIR)/etc/systemd/system
	install -m 644 deploy/systemd/ondemand-*@.* deploy/systemd/ondemand-container.service $(DESTDIR)/etc/systemd/system/
	install -D -m 644 deploy/sysusers.d/ondemand-unit.conf $(DESTDIR)/etc/sysusers.d/ondemand-unit.conf

demo:
	@scripts/setup.sh demo
	@scripts/demo.sh

# The peers are installed for the comparison; BENCH=--full for the record, --figures for the README's.
BENCH ?= --quick
bench:
	@scripts/setup.sh test
	$(CARGO) run --release $(BENCHES) -- --install $(BENCH)

FUZZ ?= 60
fuzz:
	@scripts/fuzz.sh $(FUZZ)

fmt:
	$(CARGO) fmt --all
	$(CARGO) fmt --manifest-path benches/Cargo.toml
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml

lint:
	$(CARGO) clippy --all-targets --all-features -- -D warnings
	$(CARGO) clippy $(BENCHES) -- -D warnings

doc:
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --no-deps --document-private-items

test: setup
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path benches/Cargo.toml --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(MAKE) lint doc
ifeq ($(NEXTEST),yes)
	$(CARGO) test --quiet --doc
	$(CARGO) nextest run
else
	$(CARGO) test -- --show-output
endif
	@scripts/fuzz.sh 5 1

# The binary is no part of `make test`: what it boots takes a minute or two to build, once.
test-nested:
	@scripts/setup.sh nested
ifeq ($(NEXTEST),yes)
	$(CARGO) nextest run --features nested -E 'binary(live_nested)'
else
	$(CARGO) test --features nested --test live_nested -- --show-output --test-threads=4
endif

live: setup
ifeq ($(NEXTEST),yes)
	$(CARGO) nextest run -E 'binary(/^live_/)'
else
	$(CARGO) test --test 'live_*' -- --show-output --test-threads=4
endif

clean:
	$(CARGO) clean
	-docker rmi -f ondemand-fixture:test ondemand-nested:test
	-scripts/test-podman system reset --force
	-bridge=$$(readlink -f /sys/class/net/odt-anchor/master) && ip link delete odt-anchor && \
		[ -z "$$(ls "$$bridge/brif")" ] && ip link delete "$${bridge##*/}"
