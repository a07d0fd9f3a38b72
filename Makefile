# Everything runs in .venv, which `make venv` builds from pyproject.toml.

.DEFAULT_GOAL := help
.PHONY: help venv test lint types docs demo demo-train clean

# The first of these that is Python 3.11 or newer; `make venv PYTHON=/path/to/python` names another.
PYTHON ?= $(shell for candidate in python3.11 python3; do \
	$$candidate -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$candidate && break; done)
BIN := .venv/bin
STAMP := .venv/.stamp

# Passed on to pytest and to the demo: `make test ARGS="-k recipes"`.
ARGS ?=

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

venv: $(STAMP) ## make .venv, or bring it up to date with pyproject.toml

test: $(STAMP) ## run the tests, a worker for each core (ARGS="..." goes to pytest; ARGS="-n0" takes one process)
	PYTHONSAFEPATH=1 $(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

lint: $(STAMP) ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy --strict, on an ordinary install
	.ci/types

docs: $(STAMP) ## the documentation as a site in build/site, links checked
	$(BIN)/python -m pip install --quiet -e '.[docs]'
	.ci/docs

demo: $(STAMP) ## a CT there and back with the model that comes along (ARGS="..." goes to the script)
	$(BIN)/python examples/ct_demo.py $(ARGS)

demo-train: $(STAMP) ## the same with a small model that is trained first; minutes
	$(BIN)/python examples/ct_demo.py --train $(ARGS)

clean: ## remove builds and caches; .venv and runs/ stay
	rm -rf build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find benchmarks configs examples kernels liveaction modalities tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml
	@test -x $(BIN)/python || { \
		found="$(PYTHON)"; \
		test -n "$$found" || { echo "make: expected python3.11 or newer on PATH, got none; run make venv PYTHON=/path/to/python" >&2; exit 1; }; \
		"$$found" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "make: expected PYTHON to be Python 3.11 or newer, got '$$found'; run make venv PYTHON=/path/to/python" >&2; exit 1; }; \
		"$$found" -m venv .venv; }
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[dev]'
	@touch $@
