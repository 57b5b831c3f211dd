#!/bin/sh
# Attacks every reader, from the project's root: 60 s each (SECONDS_EACH), from another seed each night (SEED). An hour of each: SECONDS_EACH=3600 fuzz/nightly.sh
set -eu
seed=${SEED:-$(date +%Y%m%d)}
cargo xtask setup
eval "$(cargo xtask env)"
cargo build --workspace --bin refvsr-fuzz
target/debug/refvsr-fuzz all --seed "$seed" --seconds "${SECONDS_EACH:-60}"
