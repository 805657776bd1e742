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

# Checks licenses, sources and banned crates of all dependencies.
deny:
    cargo deny check --hide-inclusion-graph bans licenses sources

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
