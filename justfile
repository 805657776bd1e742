# Recipes that measure, or fill large databases, do so on a disk; `cargo test` by itself writes to memory.
export TMPDIR := env("TMPDIR", "/tmp")

# Lists the recipes.
default:
    @just --list

# Formats all code.
fmt:
    cargo fmt --all

# Checks the code as CI does: every warning is an error.
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# Builds the documentation of all items, including private ones, and opens it.
doc:
    cargo doc --workspace --no-deps --document-private-items --open

# Runs all tests but the long ones, or those whose names contain FILTER. Tests of PostgreSQL are skipped if it is not installed.
test *FILTER:
    cargo test {{ FILTER }}

# Runs the tests that `cargo test` leaves out because they take long: most kills and outages, the plans of all statements,
# every wrong body. With FILTER, those whose names contain it. CI runs them all. They wait little, so only four run at once.
long *FILTER:
    cargo test --test it --test zz_skipped -- --ignored --skip by_hand_ --skip no_test --test-threads 4 {{ FILTER }}

# Fuzzes all parsers, or those named, for SECONDS each: `just fuzz 60 texts times`. Installs cargo-bolero if needed.
fuzz SECONDS="600" *TARGETS:
    #!/usr/bin/env bash
    set -euo pipefail
    command -v cargo-bolero >/dev/null || cargo install cargo-bolero
    # The inputs that a run finds stay in this folder, and the next run starts from them.
    folder="$PWD/target/fuzz-corpora"
    CORPORA="$folder" cargo test --quiet -p fuzz write_the_seeds -- --ignored
    targets="{{ TARGETS }}"
    for target in ${targets:-$(ls "$folder")}; do
      echo "== $target"
      mkdir -p "$folder-crashes/$target"
      nice cargo bolero test -p fuzz "$target" --engine libfuzzer --sanitizer NONE --rustc-bootstrap \
        -T {{ SECONDS }}s --max-input-length 6000 \
        --corpus-dir "$folder/$target" --crashes-dir "$folder-crashes/$target"
    done

# Kills daemons a thousand times under load, and measures takeovers. Takes an hour or more. CHAOS_KILLS, CHAOS_WEBHOOKS,
# CHAOS_TAKEOVERS, CHAOS_JOBS and POSTROOM_TEST_SEED change it. `just chaos takeover::by_hand` runs only the takeovers.
chaos *FILTER="chaos::by_hand takeover::by_hand":
    nice cargo test --profile chaos --test it -- --ignored --nocapture --test-threads 1 {{ FILTER }}

# Changes pools thousands of times under load while actors die. POOL_STEPS and POSTROOM_TEST_SEED change it. `just long` makes
# 300 changes on each database.
storm:
    POOL_STEPS="${POOL_STEPS:-2000}" nice cargo test --test it g11_pools::storm -- --ignored --nocapture

# Sends answers through hundreds of deaths, to a provider that counts them. Takes about ten minutes. SENDS_ROUNDS and
# POSTROOM_TEST_SEED change it.
sends:
    nice cargo test --test it harness::sends::by_hand -- --ignored --nocapture

# Damages every field of every example body in every way, and reads the result. `just long` does so once for each field of
# each event. Takes minutes.
bodies:
    nice cargo test --test it bad_bodies::interpreted::by_hand -- --ignored --nocapture

# Runs an hour of mixed load on both databases, and checks that memory, logs, tables and latency do not grow.
# SOAK_SECONDS, SOAK_RATE (webhooks a second on each) and SOAK_DATABASES change it.
soak:
    nice cargo test --profile chaos --test it harness::soak::by_hand -- --ignored --nocapture

# Runs two nodes on one PostgreSQL, with a webhook every 5 s, for three minutes (PEACE_SECONDS changes that). Checks that
# no connection counts as broken and no attempt is lost.
peace:
    nice cargo test --test it by_hand_two_nodes_in_peace -- --ignored --nocapture

# Measures, on a release build, whether the time of an answer tells which clients exist. Takes a few minutes, and needs a
# machine that does nothing else.
timing:
    cargo build --release
    POSTROOM_TEST_BINARY="$PWD/target/release/postroom" cargo test --test it security::timing::by_hand -- --ignored --nocapture

# Tests the pages in a real browser: all, or those in the files named, as in `just browser walk drafts`. With
# `--shots DIRECTORY` the walk keeps a picture of each page.
browser *ARGS:
    cargo build
    npm --prefix tests/browser ci --silent
    node tests/browser/run.mjs target/debug/postroom {{ ARGS }}

# Measures the pages on a million leads, messages and ended jobs, on both databases, on a release build. Takes minutes.
# FIGURES_ROWS changes the number.
pages:
    cargo build --release
    (cd tests/browser && npm ci --silent)
    POSTROOM_TEST_BINARY="$PWD/target/release/postroom" cargo test --test it ui::figures::by_hand -- --ignored --nocapture --test-threads 1

# Measures what a webhook costs with 1, 2 and 4 daemons over one PostgreSQL, roles together and split, on a release build.
# Takes ten minutes, and needs `wrk` and a machine that does nothing else. `--seconds 6 --rate 50 --runs 3` change it.
scaling *ARGS:
    cargo build --release
    python3 ops/scaling.py target/release/postroom {{ ARGS }}

# Asks a daemon of its own for all that its OpenAPI document offers, with other requests at each run, for SECONDS.
fuzz-api SECONDS="600" *ARGS:
    cargo build
    tests/openapi/run target/debug/postroom --random --seconds {{ SECONDS }} {{ ARGS }}

# Checks licenses, sources and banned crates of all dependencies.
deny:
    cargo deny check --hide-inclusion-graph bans licenses sources

# Fetches the published security advisories, and checks all dependencies against them.
advisories:
    cargo deny check --hide-inclusion-graph advisories

# Runs everything that CI runs.
ci:
    .ci/run

# Starts the daemon with the demo client on http://127.0.0.1:8080.
run *ARGS:
    cargo run -- {{ ARGS }}

# Measures this machine with a release build: `just bench drain --jobs 100000`, `just bench ingest`, …
bench *ARGS:
    cargo run --release -- bench {{ ARGS }}

# Shows each changed snapshot (mostly answers of the API), and asks whether to accept it.
snapshots:
    cargo insta review
