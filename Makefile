# `make demo` and `make test` need python3 (3.11 or newer) with venv, and nothing else.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --editable

.DEFAULT_GOAL := help
.PHONY: help demo test lint types unit format docs site gallery wheel clean

help:  ## Show this list.
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED)  ## Restore three small noisy photographs; leaves demo/side-by-side.png.
	$(BIN)/python examples/demo.py

test: lint types unit  ## Lint, types and tests.

lint: $(READY)  ## Style (ruff).
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## Types (mypy --strict).
	$(BIN)/mypy

unit: $(READY)  ## Tests (pytest).
	$(BIN)/python -m pytest -q

format: $(READY)  ## Format the code.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(READY)  ## Write docs/commands.md and docs/api.md anew.
	$(BIN)/python docs/generate.py

site: $(READY)  ## Build the documentation as a site, in build/site.
	$(BIN)/python -m mkdocs build --strict
	@echo build/site/index.html

gallery: $(READY)  ## Make docs/gallery.md and its pictures anew.
	$(BIN)/python docs/gallery.py

wheel: $(READY)  ## Build dist/imgfx-*.whl.
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

# Installed again whenever the dependencies change: the program, and what developers need.
$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(PIP) '.[openvino]'
	@touch $@

$(READY): $(INSTALLED)
	$(PIP) '.[dev]'
	@touch $@

clean:  ## Remove the virtual environment and what was built.
	rm -rf $(VENV) dist build demo .mypy_cache .ruff_cache .pytest_cache .hypothesis
