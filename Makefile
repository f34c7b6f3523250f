# RWA Hub: the one menu. `make` lists it. Anything longer than a few lines is a
# script under scripts/ or a sub-command of the daemon, not a recipe here.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

BIN := $(CURDIR)/.toolchain/bin
FEATURES := --locked --all-features

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: ## test chain, demo tokens, live traffic and the hub; Ctrl-C stops all (DEMO_SECONDS=60 stops by itself)
	@scripts/demo

.PHONY: run
run: ## run the daemon from this tree (CONFIG=config.toml)
	cargo run --locked --release --bin rwahub -- run $(if $(CONFIG),--config $(CONFIG))

.PHONY: test
test: ## check the contracts, start the test servers, run every test, stop them (ARGS= goes to cargo test, then without the contracts)
	@scripts/test $(ARGS)

.PHONY: sim
sim: ## seeded runs of the daemon against lying, forking, failing providers, with kill -9 (N=1000, SEED=1)
	RWAHUB_TEST_SIM_RUNS=$(or $(N),1000) RWAHUB_TEST_SIM_SEED=$(or $(SEED),1) \
	  cargo test $(FEATURES) --test it sim_index -- --nocapture

.PHONY: contracts
contracts: ## every check of contracts/: tests, coverage, gas, layouts, ABIs, governance, slither
	@contracts/run all

.PHONY: web
web: ## build the front ends, which the next build of the daemon carries
	@scripts/web build

.PHONY: screens
screens: ## photograph every page into docs/screens/ (needs a debug build of the daemon)
	@scripts/web screens

.PHONY: chaos
chaos: ## full chaos matrix, 10,000 log queries, the kill at 500 rps, 1,000 streaming clients (SEED=1)
	@scripts/chaos $(or $(SEED),1)

.PHONY: check
check: fmt-check typos unused clippy architecture docs ## the lint gate: all of the checks below

.PHONY: fmt
fmt: ## format the code
	cargo fmt

.PHONY: fmt-check
fmt-check: ## fail if the code is not formatted
	cargo fmt --check

.PHONY: clippy
clippy: ## lints, warnings denied
	cargo clippy $(FEATURES) --all-targets -- -D warnings

.PHONY: architecture
architecture: ## the import rules of the rooms
	cargo test $(FEATURES) --test it architecture

.PHONY: docs
docs: ## build the API docs, warnings denied
	RUSTDOCFLAGS=-Dwarnings cargo doc $(FEATURES) --no-deps

.PHONY: unused
unused: ## dependencies that nothing uses
	@scripts/toolchain machete
	$(BIN)/cargo-machete --skip-target-dir .

.PHONY: typos
typos: ## spelling
	@scripts/toolchain typos
	$(BIN)/typos

.PHONY: bench
bench: ## criterion benchmarks (ARGS= goes to cargo bench)
	cargo bench $(FEATURES) $(ARGS)

.PHONY: toolchain
toolchain: ## check the compilers, install the pinned npm tools into .toolchain/
	@scripts/toolchain

.PHONY: services-up
services-up: ## start Redis, NATS and a MongoDB-protocol server for tests
	@scripts/services up

.PHONY: services-down
services-down: ## stop what services-up started
	@scripts/services down

.PHONY: hooks
hooks: ## install the git pre-commit hook (format, spelling, architecture)
	@scripts/hooks

.PHONY: ci
ci: ## what CI runs: check and test, no skip allowed
	@bash .ci/run

.PHONY: clean
clean: ## stop the test servers, remove everything built or installed here
	@scripts/services down
	cargo clean
	rm -rf .toolchain .services contracts/node_modules contracts/out contracts/cache contracts/broadcast
