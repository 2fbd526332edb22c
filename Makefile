# Two commands do everything on a fresh Debian machine with a Rust toolchain: `make demo` and `make test`.
CARGO ?= cargo
# cargo-nextest runs each test in a process of its own and is quicker; cargo's own runner does as well.
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)

.PHONY: demo test lint doc-test package-test build release deb clean

demo: postgres
	$(CARGO) build --locked --quiet
	$(CARGO) run --locked --quiet -- demo

# Formatting, lints, doc tests, the package, tests. The last lines are the test runner's own.
test: postgres lint doc-test package-test
ifeq ($(NEXTEST),yes)
	$(CARGO) nextest run --locked --no-fail-fast
else
	$(CARGO) test --locked --all-targets --no-fail-fast
endif

# Three daemons, kill -9, restarts of the server and a gateway that fails, for SECONDS; `make test` has a short one. A run prints
# its SOAK_SEED, which repeats its choices.
SECONDS ?= 600
.PHONY: soak
soak: postgres
	SOAK_SECONDS=$(SECONDS) $(CARGO) test --locked --test soak -- --nocapture

# What it costs, as one table of ratios (docs/performance.md): `BENCH=a,b,g make bench` for some of it, `BENCH_FULL=1 make bench` for the
# long cases. Needs pgbench, which stands beside the server's programs.
BENCH ?=
BENCH_FULL ?=
.PHONY: bench
bench: postgres
	BENCH="$(BENCH)" BENCH_FULL="$(BENCH_FULL)" $(CARGO) bench --locked --bench costs

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

doc-test:
	$(CARGO) test --locked --doc --quiet

# The package as `make deb` makes it, of the binary that the tests use, in a clean root.
package-test:
	$(CARGO) build --locked
	FAST=1 packaging/build.sh target/debug/sicantik-notifyd target/tried.deb
	packaging/check.sh target/tried.deb

build:
	$(CARGO) build --locked

release:
	$(CARGO) build --locked --release

# A Debian package: target/sicantik-notifyd.deb
deb: release
	packaging/build.sh target/release/sicantik-notifyd target/sicantik-notifyd.deb
	packaging/check.sh target/sicantik-notifyd.deb

.PHONY: postgres
# Finds a PostgreSQL server, or installs one: Debian's package as root, else a wheel into .postgres/.
postgres:
	@scripts/ensure-postgres.sh >/dev/null

clean:
	$(CARGO) clean
