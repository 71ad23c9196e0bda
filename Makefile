# One word per job. PYTHON chooses the interpreter that the environment is made with (3.11 to 3.13).
PYTHON ?= $(firstword $(foreach p,python3.11 python3.12 python3.13 python3,$(if $(shell command -v $(p) 2>/dev/null),$(p))))
VENV ?= .venv
BIN := $(VENV)/bin
RUN := $(BIN)/python -m
# How long `make load` and `make bench` take is set there: see `$(BIN)/aisle load --help`.
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help up down status load test compose-test lint bench bench-real tiers screenshots venv locks clean

help: ## what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1|\2/' | column -t -s '|'

up: $(VENV)/aisle.stamp ## install, make the demo shop when it is missing, start everything (ARGS="--shop NAME" and more: aisle up --help)
	@exec $(BIN)/aisle up $(ARGS)

down: $(VENV)/aisle.stamp ## stop everything
	@$(BIN)/aisle down

status: $(VENV)/aisle.stamp ## what runs
	@$(BIN)/aisle status

load: $(VENV)/aisle.stamp ## 60 s of shoppers against what runs, checked; where the milliseconds go
	@$(BIN)/aisle load $(ARGS)

test: $(VENV)/dev.stamp ## every test
	$(RUN) pytest $(ARGS)

compose-test: $(VENV)/dev.stamp ## docker compose up for real, and the report's sizes: cut, scaled, upgraded under load (Docker, 12 GB, many minutes)
	AISLE_COMPOSE_TEST=1 $(RUN) pytest -x -s tests/compose $(ARGS)

lint: $(VENV)/dev.stamp ## ruff, mypy --strict, import contracts
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) mypy
	$(BIN)/lint-imports

bench: $(VENV)/dev.stamp ## CPU per search: the running path, the bare floor, five bare hops
	$(RUN) tests.bench $(ARGS)

bench-real: $(VENV)/dev.stamp ## the same on Elasticsearch, Neo4j and the model server, engines included; writes docs/costs.md
	$(RUN) tests.bench --engines real $(ARGS)

tiers: $(VENV)/dev.stamp ## tier economics: what searching tier by tier saves and loses, on both engines, nested and disjoint
	$(RUN) tests.bench.tiers $(ARGS)

screenshots: $(VENV)/dev.stamp ## docs/images anew: Locust's page, aisle top (Chromium, tmux)
	mkdir -p docs/images
	AISLE_SCREENSHOTS=$(CURDIR)/docs/images $(RUN) pytest tests/system/test_load_page.py tests/system/test_top.py -k "our_figures or shows_rate" $(ARGS)

venv: $(VENV)/dev.stamp ## the environment with the tools of development

# Pins stay where they still fit; ARGS=--upgrade or ARGS="--upgrade-package NAME" moves them. An image's pins are those of aisle.lock.
UV ?= uv
LOCK = $(UV) pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate $(ARGS)
IMAGE_LOCK = $(LOCK) --constraint requirements/aisle.lock
extras = $(addprefix --extra ,$(1))

locks: ## requirements/*.lock from pyproject.toml (needs uv; UV=/path/to/uv)
	@command -v $(UV) > /dev/null || { echo "make locks needs uv (pip install uv in an environment of its own), or UV=/path/to/uv" >&2; exit 1; }
	$(LOCK) $(call extras,planner searcher recommender ranker offline loadgen evaluation traces report) -o requirements/aisle.lock
	$(IMAGE_LOCK) --all-extras -o requirements/dev.lock
	for image in planner searcher recommender ranker; do $(IMAGE_LOCK) --extra $$image --extra traces -o requirements/$$image.lock || exit 1; done
	$(IMAGE_LOCK) $(call extras,planner searcher recommender ranker offline) -o requirements/job.lock
	$(IMAGE_LOCK) --extra loadgen -o requirements/loadgen.lock
	$(IMAGE_LOCK) -o requirements/deploy.lock

clean: ## remove the environment and caches (never .aisle, where shops are kept)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build *.egg-info

# ---- the environment: exactly what the lock says, each file checked against its hash ----

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
		|| { echo "Python 3.11, 3.12 or 3.13 is needed, '$(PYTHON)' is none: install it, or say which: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
		|| { echo "$(PYTHON) cannot make virtual environments: on Debian install python3-venv (apt-get install python3-venv)" >&2; exit 1; }
	@echo "== making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/aisle.stamp: requirements/aisle.lock pyproject.toml | $(VENV)/bin/python
	@echo "== installing requirements/aisle.lock (about 1 GB the first time)"
	@$(RUN) pip install --disable-pip-version-check --require-hashes -r requirements/aisle.lock
	@$(RUN) pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --no-index -e .
	@touch $@

$(VENV)/dev.stamp: requirements/dev.lock requirements/wire.lock $(VENV)/aisle.stamp
	@echo "== installing requirements/dev.lock"
	@$(RUN) pip install --disable-pip-version-check --require-hashes -r requirements/dev.lock
	@$(RUN) pip install --disable-pip-version-check --quiet --require-hashes --no-deps -r requirements/wire.lock
	@touch $@
