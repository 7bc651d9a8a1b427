# What people run and what CI runs: `make` or `make help` lists it. Needs Python 3.11 with venv, git and make.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

# Debian's own Python where it is there: the constraints were compiled on it.
PYTHON ?= $(or $(wildcard /usr/bin/python3.11),python3)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEV := $(VENV)/.installed-dev
VENDOR := reading_room/static/vendor/.made
OHIF := reading_room/vendor/ohif/.made
CATALOGUES := $(patsubst %.po,%.mo,$(wildcard reading_room/locale/*/LC_MESSAGES/messages.po))
# More words for pytest, as in: make test ARGS="tests/unit -k lifecycle"
ARGS ?=

.PHONY: help install dev peers run test check format words bench soak clean

help: ## this list
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 18

install: $(INSTALLED) $(VENDOR) $(OHIF) $(CATALOGUES) ## everything needed to run, into .venv

run: install ## set up, seed the demo county, open all doors on loopback
	$(BIN)/huren run

test: dev peers ## all tests, against real peers (ARGS= for pytest)
	$(BIN)/python -m tests $(ARGS)

check: dev ## style, types, floors, catalogues
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/check_catalogue.py

bench: dev ## measure what the performance page promises
	$(BIN)/python -m tests.bench $(ARGS)

soak: dev peers ## run the county for a long time and count losses
	$(BIN)/python -m tests.soak $(ARGS)

dev: install $(DEV) ## what the tests and checks need in .venv

peers: ## the real programs that tests talk to, by apt where it may
	@scripts/install_peers

format: dev ## lay the code out and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

words: dev ## bring the catalogues up to date with the texts in the code
	$(BIN)/python scripts/check_catalogue.py --update

clean: ## remove what make made (never your data)
	rm -rf $(VENV) node_modules reading_room/static/vendor reading_room/vendor $(CATALOGUES) build ./*.egg-info
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[build]"
	touch $@

$(DEV): $(INSTALLED)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[build,dev]"
	touch $@

# Node comes from the wheel in .venv; only the few files that pages load are copied out of node_modules.
$(VENDOR): package.json package-lock.json scripts/vendor_assets.py | $(INSTALLED)
	PATH="$(CURDIR)/$(BIN):$$PATH" npm ci --ignore-scripts --loglevel=error
	$(BIN)/python scripts/vendor_assets.py
	touch $@

# The image viewer: one package of 50 MB, trimmed and rewritten so that it runs under /ohif.
$(OHIF): scripts/vendor_ohif.py scripts/ohif_notices.txt | $(INSTALLED)
	$(BIN)/python scripts/vendor_ohif.py
	touch $@

%.mo: %.po | $(INSTALLED)
	$(BIN)/pybabel --quiet compile -i $< -o $@
