#!/usr/bin/env bash
# Runs every fuzz target for a bounded time, beginning with the kept corpora: `scripts/fuzz.sh [SECONDS [SEED]]`.
# Without a seed each run goes on from what the earlier ones have found; with one, all begin alike.
#
# A stable toolchain is enough: the coverage that libFuzzer needs is an option of LLVM. What it finds
# lies in fuzz/artifacts/ and makes this fail.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"

seconds=${1:-10}
seed=${2:-0}
target=$(rustc -vV | sed -n 's/^host: //p')
out=${CARGO_TARGET_DIR:-../target}/fuzz
# As cargo-fuzz asks for it.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Ccodegen-units=1"
cargo build --quiet --target "$target" --target-dir "$out" --bins

for corpus in corpus/*/; do
    name=$(basename "$corpus")
    # What is found now is kept beside the corpus, which is the repository's.
    found=$out/corpus/$name
    if [ "$seed" != 0 ]; then
        found=$out/corpus-$seed/$name
        rm -rf "$found"
    fi
    mkdir -p "$found" "artifacts/$name"
    log=$out/$name.log
    if ! "$out/$target/debug/$name" -seed="$seed" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=1024 -max_len=8192 \
        -artifact_prefix="artifacts/$name/" "$found" "$corpus" >"$log" 2>&1; then
        tail -40 "$log" >&2
        echo "fuzz: $name fails; its input is in fuzz/artifacts/$name" >&2
        exit 1
    fi
    echo "fuzz: $name, $(sed -n 's/^Done \([0-9]* runs\).*/\1/p' "$log"), $(grep -o 'cov: [0-9]*' "$log" | tail -1)"
done
