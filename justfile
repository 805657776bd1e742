# Shows the recipes.
default:
    @just --list

# Formats all code.
fmt:
    cargo fmt --all

# Checks the code as CI does: every warning is an error.
lint:
    cargo clippy --workspace --all-targets -- -D warnings

# Builds the documentation of all items, private ones too, and opens it.
doc:
    cargo doc --workspace --no-deps --document-private-items --open

# Runs the tests, or those whose names contain FILTER. Without PostgreSQL, its tests are skipped.
test *FILTER:
    cargo test {{ FILTER }}

# Fuzzes the parsers for SECONDS each, all or those named: `just fuzz 60 texts times`. Wants cargo-bolero.
fuzz SECONDS="600" *TARGETS:
    #!/usr/bin/env bash
    set -euo pipefail
    command -v cargo-bolero >/dev/null || cargo install cargo-bolero
    # What is found stays there, and is where the next run starts.
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

# Kills daemons a thousand times under load, and measures takeovers: an hour or more. CHAOS_KILLS, CHAOS_WEBHOOKS,
# CHAOS_TAKEOVERS, CHAOS_JOBS and POSTROOM_TEST_SEED change it; `just chaos takeover` runs a part.
chaos *FILTER="harness":
    nice cargo test --profile chaos --test it {{ FILTER }} -- --ignored --nocapture --test-threads 1

# An hour of mixed load on both databases, and whether memory, logs, tables and latency stay as they were.
# SOAK_SECONDS, SOAK_RATE (webhooks a second on each) and SOAK_DATABASES change it.
soak:
    nice cargo test --profile chaos --test it harness::soak -- --ignored --nocapture

# Two nodes over one PostgreSQL, a webhook each 5 s, for three minutes (PEACE_SECONDS changes it): no connection is
# called broken and no attempt is lost.
peace:
    nice cargo test --test it g03_two_nodes_in_peace_for_minutes -- --ignored --nocapture

# Measures whether the time of an answer tells which clients exist, on a release build: a few minutes. Wants a machine
# that does nothing else.
timing:
    cargo build --release
    POSTROOM_TEST_BINARY="$PWD/target/release/postroom" cargo test --test it security::timing -- --ignored --nocapture

# Checks licenses, sources and banned crates of all dependencies.
deny:
    cargo deny check --hide-inclusion-graph bans licenses sources

# Checks all dependencies against the published advisories, which it fetches.
advisories:
    cargo deny check --hide-inclusion-graph advisories

# Does all that CI does.
ci:
    .ci/run

# Starts the daemon with the demo client on http://127.0.0.1:8080.
run *ARGS:
    cargo run -- {{ ARGS }}

# Measures this machine: `just bench drain --jobs 100000`, `just bench ingest`, …
bench *ARGS:
    cargo run --release -- bench {{ ARGS }}

# Takes new snapshots (of the API's answers, mostly) after looking at each.
snapshots:
    cargo insta review
