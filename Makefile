# make train   install into .venv and train the region-aware demo
# make test    install into .venv and run the tests
# make lint    check code, format and types with ruff and mypy
# make docs    write docs/_build/html
PYTHON ?= python3
EXTRA_PACKAGES ?=
BIN := .venv/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check

.PHONY: train test lint docs

train: .venv/installed
	$(BIN)/python scripts/train_region_aware.py

test: .venv/installed-test
	$(BIN)/python -m pytest -m "not slow" -n 2 --dist loadfile

lint: .venv/installed-lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

docs: .venv/installed-docs
	$(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

.venv/bin/pip:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml setup.py | .venv/bin/pip
	$(PIP) --editable .
	touch $@

.venv/installed-test: .venv/installed
	$(PIP) --editable ".[test]" $(EXTRA_PACKAGES)
	touch $@

.venv/installed-docs: .venv/installed
	$(PIP) --editable ".[docs]"
	touch $@

.venv/installed-lint: .venv/installed
	$(PIP) --editable ".[lint]"
	touch $@
