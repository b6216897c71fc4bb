# The static binary and nothing else. `make image` builds the binary, then this; by hand:
#
#   RUSTFLAGS='-C target-feature=+crt-static' cargo build --release --target x86_64-unknown-linux-gnu
#   docker build -t ondemand-container .
#
# It keeps a history where ONDEMAND_HISTORY says, for which it needs a volume, as it has no folder of its own:
# -v history:/var/lib/ondemand-container -e ONDEMAND_HISTORY=/var/lib/ondemand-container/history.json
#
# Another machine's binary: --build-arg BINARY=target/aarch64-unknown-linux-gnu/release/ondemand-container

FROM scratch
ARG BINARY=target/x86_64-unknown-linux-gnu/release/ondemand-container
COPY ${BINARY} /ondemand-container
ENTRYPOINT ["/ondemand-container"]
