# make train   install into .venv and train the region-aware demo
# make test    install into .venv and run the tests
PYTHON ?= python3
EXTRA_PACKAGES ?=
BIN := .venv/bin

.PHONY: train test

train: .venv/installed
	$(BIN)/python scripts/train_region_aware.py

test: .venv/installed-test
	$(BIN)/python -m pytest -m "not slow"

.venv/installed: pyproject.toml setup.py
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	touch $@

.venv/installed-test: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[test]" $(EXTRA_PACKAGES)
	touch $@
