# Everything a newcomer needs; `make help` lists it. PYTHON chooses the interpreter (3.11 to 3.13).
SHELL := /usr/bin/env bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
VENV := .venv
DEV := .venv-test
PIP := -m pip --disable-pip-version-check
TESTS ?= tests

SOURCES := pyproject.toml constraints-ci.txt

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(VENV)/.done: $(SOURCES)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python $(PIP) install --quiet --constraint constraints-ci.txt --editable .
	@touch $@

# Dependency groups need pip 25.1.
$(DEV)/.done: $(SOURCES)
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/python $(PIP) install --quiet --upgrade 'pip>=25.1'
	$(DEV)/bin/python $(PIP) install --quiet --constraint constraints-ci.txt \
	  --editable '.[train,foundation,joint,serve,mcp,heif,jxl,writer,qdrant,postgres]' \
	  --group test --group metrics --group lint
	@touch $@

.PHONY: setup
setup: $(VENV)/.done ## A virtual environment with composir, torch-free
	@echo "ready: $(VENV)/bin/composir --help"

.PHONY: demo
demo: $(VENV)/.done ## Index the sample catalogue, run composed searches, write demo/index.html
	$(VENV)/bin/python examples/demo.py

$(VENV)/.serve: $(VENV)/.done
	$(VENV)/bin/python $(PIP) install --quiet --constraint constraints-ci.txt --editable '.[serve]'
	@touch $@

.PHONY: serve
serve: $(VENV)/.serve ## The sample catalogue's gallery, a page on http://127.0.0.1:8732
	$(VENV)/bin/python examples/serve.py

.PHONY: setup-dev
setup-dev: $(DEV)/.done ## The environment for tests and lint, with torch (CPU)

.PHONY: test
test: $(DEV)/.done ## All tests (TESTS=tests/unit for a part)
	$(DEV)/bin/python -m pytest $(TESTS)

# Apart from `test`, which it would slow by almost half; from Python 3.12 on it costs little.
.PHONY: coverage
coverage: $(DEV)/.done ## All tests, with the share of src that they run (at least 90 %)
	COVERAGE_CORE=$$($(DEV)/bin/python -c \
	  'import sys; print("sysmon" if sys.version_info >= (3, 12) else "ctrace")') \
	  $(DEV)/bin/python -m pytest --cov --cov-report=term $(TESTS)

.PHONY: lint
lint: $(DEV)/.done ## ruff and mypy --strict
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy

.PHONY: bench
bench: $(DEV)/.done ## Speed: start-up, decoding, indexing, exact search, ranking
	for script in start_up decode_speed index_throughput exact_search rank_circo_size; do \
	  $(DEV)/bin/python benchmarks/$$script.py; \
	done

.PHONY: bench-quality
bench-quality: $(DEV)/.done ## Quality: every baseline on every data set at hand, into docs/results.md
	$(DEV)/bin/python benchmarks/quality.py

.PHONY: clean
clean: ## Remove environments, caches and the demo
	rm -rf $(VENV) $(DEV) demo build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

web/node_modules/.done: web/package-lock.json
	cd web && npm ci --no-audit --no-fund --ignore-scripts
	@touch $@

.PHONY: web
web: web/node_modules/.done ## Build the page again after changing web/ (Node 20.19 or newer)
	cd web && npm run build

.PHONY: web-types
web-types: web/node_modules/.done $(DEV)/.done ## The page's types of the API again, after changing serve/schemas.py
	$(DEV)/bin/python web/openapi/document.py
	cd web && npm run types

# Chromium is the system's: apt-get install chromium.
.PHONY: test-web
test-web: web/node_modules/.done $(DEV)/.done ## The page: types, logic, and a real browser against a real server
	cd web && npm run check && npm test && npm run test:browser
