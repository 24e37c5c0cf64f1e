# The one front door. `make help` lists the rooms behind it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BUILD := build
VENV := $(BUILD)/venv
PY := $(VENV)/bin/python
JOBS ?= 2
EXTENSION := $(BUILD)/dev/pg_stat_requests.so

MODULE_SOURCES := VERSION CMakeLists.txt pyproject.toml $(shell find core log_sinks metrics worker_hooks pyext -type f -not -name '*.pyc' 2>/dev/null)
CPP_SOURCES = $(shell git ls-files '*.cpp' '*.h')
SHELL_SCRIPTS = $(shell git ls-files '*.sh' .ci/run)

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

.PHONY: setup
setup: ## install Debian packages (as root) and a private virtual environment
	@scripts/setup.sh $(VENV)

# ---- build ----

$(BUILD)/module.stamp: $(MODULE_SOURCES) $(VENV)/pins
	@echo "build: the Python module"
	@$(VENV)/bin/pip install --quiet --no-deps --no-build-isolation --config-settings=build-dir=$(BUILD)/module .
	@touch $@

.PHONY: module
module: setup
	@$(MAKE) -s $(BUILD)/module.stamp

.PHONY: exporter
exporter: setup
	@scripts/setup_go_tools.sh $(VENV) $(BUILD)/go

.PHONY: grammars
grammars: setup
	@scripts/setup_grammars.sh $(VENV) $(BUILD)/grammars

.PHONY: native
native: setup
	@[[ -f $(BUILD)/dev/build.ninja ]] || cmake --preset dev >/dev/null
	@cmake --build --preset dev -j $(JOBS) | { grep -v 'no work to do' || true; }

$(BUILD)/pgtree.stamp: $(EXTENSION) $(wildcard sql/*) devstack/postgres_tree.py
	@$(PY) -m devstack.postgres_tree $(EXTENSION)
	@touch $@

.PHONY: build
build: module native ## build everything: extension, module, C++ tests, a private PostgreSQL with the extension
	@$(MAKE) -s $(BUILD)/pgtree.stamp

# ---- use ----

.PHONY: demo
demo: build ## run the example on private servers and print the trail of one good and one failed request
	@$(PY) -m examples.commandcenter.demo run

.PHONY: demo-up
demo-up: build exporter ## the same, watched by Prometheus; leave it running and print the addresses
	@$(PY) -m examples.commandcenter.demo up

.PHONY: demo-down
demo-down: ## stop what demo-up left running
	@$(PY) -m examples.commandcenter.demo down

# ---- checks ----

.PHONY: test
test: build test-cpp test-fuzz test-sanitized test-python test-oldest test-soak ## all tests

.PHONY: test-cpp
test-cpp: build
	@echo "test: C++"
	@ctest --preset dev -j $(JOBS)
	@for preset in asan tsan; do \
	  echo "test: C++ under $$preset"; \
	  [[ -f $(BUILD)/$$preset/build.ninja ]] || cmake --preset $$preset >/dev/null; \
	  cmake --build --preset $$preset -j $(JOBS) | { grep -v 'no work to do' || true; }; \
	  ctest --preset $$preset -j $(JOBS); \
	done

.PHONY: test-fuzz
test-fuzz: setup
	@echo "test: two minutes of fuzzing"
	@$(MAKE) -s fuzz MINUTES=2

# The server tests once more, on a private PostgreSQL with a sanitized extension. clang's runtime: a server that preloads
# gcc's waits for a lock for ever when it starts. Tests about a backend's memory have to do without it.
MEMORY_TESTS := test_a_backend_without_any_memory_left_fails_its_statement_and_lives \
  test_a_million_ids_take_no_more_memory_than_the_first test_reading_all_rows_takes_memory_for_one_shard_at_a_time
SANITIZED := $(BUILD)/asan-extension/pg_stat_requests.so
.PHONY: test-sanitized
test-sanitized: build
	@echo "test: PostgreSQL with the extension under AddressSanitizer and UndefinedBehaviorSanitizer"
	@[[ -f $(BUILD)/asan-extension/build.ninja ]] || cmake --preset asan-extension >/dev/null
	@cmake --build --preset asan-extension -j $(JOBS) | { grep -v 'no work to do' || true; }
	@export REQTRAIL_PGTREE=$(BUILD)/pgtree-asan; \
	$(PY) -m devstack.postgres_tree $(SANITIZED); \
	REQTRAIL_PG_PRELOAD=$$(clang++-19 -print-file-name=libclang_rt.asan-x86_64.so) $(PY) -m pytest -q tests/pg $(addprefix --deselect=tests/pg/test_faults.py::,$(MEMORY_TESTS))

.PHONY: test-python
test-python: build exporter grammars
	@echo "test: Python, PostgreSQL and the whole trail"
	@$(PY) -m pytest

.PHONY: test-oldest
OLDEST_TESTS := tests/pyext/database $(addprefix tests/worker_hooks/test_,paths.py task_traceparent.py install.py queue_depth.py)
test-oldest: build ## the hooks on the oldest supported database drivers and Celery
	@echo "test: the oldest supported database drivers and Celery"
	@scripts/setup_beside.sh $(VENV) $(BUILD)/oldest requirements-oldest.txt
	@$(BUILD)/oldest/bin/python -m pytest -m "not newer_drivers" $(OLDEST_TESTS)

.PHONY: test-celery
test-celery: build ## the hooks on the Celery releases between the oldest supported one and the newest
	@scripts/celery_matrix.sh $(VENV) $(BUILD)

.PHONY: test-soak
test-soak: build
	@echo "test: two minutes of soaking"
	@$(MAKE) -s soak MINUTES=2

.PHONY: soak
soak: build ## the example under load for MINUTES (default 10), while processes are killed and servers restarted
	@$(PY) -m tests.soak $(MINUTES)

MINUTES ?= 10
.PHONY: fuzz
fuzz: setup ## fuzz what parses input from outside, for MINUTES (default 10) in all
	@[[ -f $(BUILD)/fuzz/build.ninja ]] || cmake --preset fuzz >/dev/null
	@cmake --build --preset fuzz -j $(JOBS) | { grep -v 'no work to do' || true; }
	@scripts/fuzz.sh $(BUILD)/fuzz $(MINUTES)

.PHONY: matrix
matrix: ## the tests on the PostgreSQL and CPython of later Debian releases (as root; the first time installs them)
	@scripts/matrix.sh

.PHONY: lint
lint: build ## formatting, static analysis, types, borders between the parts
	@clang-format-19 --dry-run -Werror $(CPP_SOURCES)
	@$(VENV)/bin/ruff format --check --quiet .
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/mypy
	@$(VENV)/bin/mypy --python-version 3.11 monitoring
	@$(PY) -m mypy.stubtest reqtrail._native reqtrail._metrics_server --concise --ignore-disjoint-bases --mypy-config-file pyproject.toml \
	  --allowlist scripts/stubtest_allowlist.txt
	@$(PY) -m monitoring.grafana.build --check
	@$(PY) -m tests.monitoring.dashboards.panel_table --check
	@$(PY) -m tests.monitoring.alert_table --check
	@$(VENV)/bin/yamllint --strict .
	@$(VENV)/bin/hadolint --config .hadolint.yaml packaging/docker/*/Dockerfile
	@scripts/check_borders.sh $(EXTENSION)
	@scripts/tidy.sh $(BUILD) $(JOBS)

.PHONY: dashboards
dashboards: setup ## write the dashboards' JSON and the tables of panels and alerts from the code
	@$(PY) -m monitoring.grafana.build
	@$(PY) -m tests.monitoring.dashboards.panel_table
	@$(PY) -m tests.monitoring.alert_table

.PHONY: format
format: setup ## rewrite C++ and Python in the project's format
	@clang-format-19 -i $(CPP_SOURCES)
	@$(VENV)/bin/ruff format --quiet .
	@$(VENV)/bin/ruff check --fix --quiet .

.PHONY: bench
bench: build ## measure beside the peers; prints a table and writes build/bench/*.json
	@$(PY) -m tests.performance

.PHONY: docs
docs: build ## write docs/configuration.md anew, from the code
	@$(PY) -m tests.docs.configuration_page

.PHONY: wheel
wheel: setup ## build/dist: the source distribution, and a manylinux wheel for the Python in use
	@packaging/wheel/build.sh $(VENV) $(BUILD)/dist

.PHONY: deb
deb: setup ## build/dist: Debian packages of the extension
	@packaging/deb/build.sh $(BUILD)/dist

.PHONY: pgxn
pgxn: ## build/dist: the release archive of the extension
	@packaging/pgxn/archive.sh $(BUILD)/dist

.PHONY: clean
clean: ## delete all that was built, the virtual environment too
	@for tree in $(BUILD)/pgtree $(BUILD)/pgtree-asan; do [[ ! -L $$tree ]] || rm -rf "$$(readlink -f $$tree)"; done
	@rm -rf $(BUILD)
