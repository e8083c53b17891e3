# All set-up happens inside the targets, from a bare Python >= 3.11 with pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INTEROP := .interop-venv
# Most tests wait for processes of theirs: four at once suit two cores.
PYTEST ?= -n 4 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help setup demo test check bench soak lock clean

help: ## print this help
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The lock file is complete, so nothing is to be resolved.
setup: $(VENV)/installed ## make .venv from the lock file

$(VENV)/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "polly-bulk needs Python 3.11 or newer, found " + sys.version.split()[0] + "; set PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

# The vendor's client, unmodified, has dependencies of its own: it lives apart.
$(INTEROP)/installed: tests/interop/requirements.lock
	$(PYTHON) -m venv $(INTEROP)
	$(INTEROP)/bin/python -m pip install --quiet --no-deps --require-hashes -r tests/interop/requirements.lock
	@touch $@

demo: setup ## the main job on real data: plan, apply as a flow, kill -9, resume, verify, report
	$(BIN)/polly-bulk demo

test: setup $(INTEROP)/installed ## every test but the long forms
	$(BIN)/python -m pytest -m "not soak" $(PYTEST)

check: setup ## formatter, linter, strict types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: setup $(INTEROP)/installed ## the bulk update beside the documented loop and the limit
	$(BIN)/python -m benchmarks.bulk_update

soak: setup $(INTEROP)/installed ## the long forms: 100,000 items, many kills
	$(BIN)/python -m pytest -m soak --timeout 3600 -n 4

lock: ## resolve the pins of pyproject.toml anew (needs uv)
	uv pip compile --universal --generate-hashes --group dev --no-header --no-annotate \
	  -p 3.11 pyproject.toml -o requirements.lock

clean: ## remove the virtual environments and caches
	rm -rf $(VENV) $(INTEROP) .mypy_cache .pytest_cache .ruff_cache .import_linter_cache *.egg-info
