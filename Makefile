# `make demo` shows it, `make test` proves it; both bring what they need on Debian.

CARGO ?= cargo
HOST = $(shell rustc -vV | sed -n 's/^host: //p')
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)

.PHONY: help setup build image install demo test live fmt lint doc clean

help:
	@echo "make setup   install what the tests need, build the static binaries, import the test image"
	@echo "make build   the release binary"
	@echo "make image   the image ondemand-container, from nothing but the static binary"
	@echo "make install the binary and the systemd units, below DESTDIR"
	@echo "make demo    watch a container wake, serve, sleep and wake again"
	@echo "make test    everything: format, lints, docs, all tests on real engines"
	@echo "make live    the tests on real engines only"
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
	install -m 644 deploy/systemd/ondemand-container* $(DESTDIR)/etc/systemd/system/

demo:
	@scripts/setup.sh demo
	@scripts/demo.sh

fmt:
	$(CARGO) fmt --all

lint:
	$(CARGO) clippy --all-targets --all-features -- -D warnings

doc:
	RUSTDOCFLAGS='-D warnings' $(CARGO) doc --no-deps --document-private-items

test: setup
	$(CARGO) fmt --all --check
	$(MAKE) lint doc
ifeq ($(NEXTEST),yes)
	$(CARGO) test --quiet --doc
	$(CARGO) nextest run
else
	$(CARGO) test -- --show-output
endif

live: setup
ifeq ($(NEXTEST),yes)
	$(CARGO) nextest run -E 'binary(/^live_/)'
else
	$(CARGO) test --test 'live_*' -- --show-output --test-threads=4
endif

clean:
	$(CARGO) clean
	-docker rmi -f ondemand-fixture:test
	-scripts/test-podman system reset --force
