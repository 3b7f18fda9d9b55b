# The commands that a developer types. `just` lists them.

_default:
    @just --list --unsorted

# Type-check everything, tests included.
check:
    cargo check --locked --all-targets

# Run the tests whose name holds FILTER; all of them without one.
test *FILTER:
    cargo nextest run --locked {{FILTER}}

# Format the sources.
fmt:
    cargo fmt

# Lints, as strict as a change must pass.
lint:
    cargo clippy --locked --all-targets -- -D warnings
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps

# Everything that a change must pass.
ci:
    .ci/run

# What takes longer than that: 1,000 kills, 200 scenes of mixed faults, bad nights of 200 machines, the benches.
full:
    KILLS=1000 SEED=1 cargo test --locked --test crash -- --ignored thousand_kills --nocapture
    SCENES=200 SEED=1 cargo test --locked --test sweep -- --ignored sweep --nocapture
    MACHINES=200 cargo test --locked --test nights
    PROPTEST_CASES=50000 cargo test --locked --lib the_promises_hold_in_every_world
    cargo bench --locked

# Fuzz one target, see fuzz/README.md.
fuzz TARGET SECONDS="900":
    cp Cargo.lock fuzz/Cargo.lock
    mkdir -p fuzz/found/{{TARGET}}
    cargo +${TOOLCHAIN:-nightly} fuzz run {{TARGET}} fuzz/found/{{TARGET}} fuzz/corpus/{{TARGET}} -- \
        -dict=fuzz/dictionaries/{{TARGET}}.dict \
        -max_total_time={{SECONDS}} -timeout=10 -rss_limit_mb=2048 -max_len=65536

# Write the pages anew that are made from the source.
docs:
    UPDATE_DOCS=1 cargo nextest run --locked --test reference

# Accept new snapshots. Read the difference before you commit them.
snapshots:
    INSTA_UPDATE=always cargo nextest run --locked

# See it work on the simulator.
demo:
    cargo run --locked -- demo

# Run the simulator of the cloud alone.
sim *ARGS:
    cargo run --locked -- sim {{ARGS}}
