# Five commands: install, demo, up, test, check. Each does all of its set-up itself; needed are Python 3.11 and make.
PYTHON ?= python3.11
UV_VERSION := 0.13.9
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# More than cores: much of the suite waits for processes, leases and servers.
WORKERS ?= 4
POOLS ?= simulated

# Compiled modules are kept: starting Prefect without them costs seconds each time.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo up test check prove conformance bench lock format clean

help: ## what there is
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

install: $(STAMP) ## make .venv from requirements.lock and install this project into it

$(STAMP): requirements.lock pyproject.toml
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is not installed; install Python 3.11, or say make PYTHON=/path/to/python3.11"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing what requirements.lock names (once, a minute or two)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check "uv==$(UV_VERSION)"
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP) ## run the whole product on a simulated venue; writes demo-report/
	@exec $(BIN)/python -m deployments.demo

up: $(STAMP) ## start the same stack and keep it; POOLS="simulated testnet" adds a worker of that pool
	@exec $(BIN)/python -m deployments.up $(addprefix --pool ,$(POOLS))

test: $(STAMP) ## every test, the browser's included
	@chromium=$$(.ci/chromium) && CHROMIUM="$$chromium" $(BIN)/pytest -n $(WORKERS) --dist loadgroup $(ARGS)

check: $(STAMP) ## lint, format, types, import contracts, prefect.yaml, documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m deployments.deploy --check
	$(BIN)/pytest -q tests/docs

prove: $(STAMP) ## show order safety: run the layers at full strength; writes proof-report/
	@exec $(BIN)/python -m tests.proof --jobs $(WORKERS) $(ARGS)

conformance: $(STAMP) ## play the spec cards and write the matrix; VENUE=bybit, ENVIRONMENT=testnet
	@VENUE="$(VENUE)" ENVIRONMENT="$(or $(ENVIRONMENT),simulated)" CONFORMANCE_WRITE=1 \
		$(BIN)/pytest -n 0 -q tests/conformance $(ARGS)
	@$(BIN)/algotrendy venues --markdown > docs/venues.md

bench: $(STAMP) ## measure against raw clients; writes bench-report/
	@exec $(BIN)/python -m bench

lock: $(STAMP) ## resolve the dependencies again, with hashes
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --no-header --no-emit-index-url \
		--python-version 3.11 --group dev pyproject.toml --output-file requirements.lock

format: $(STAMP) ## format the code
	$(BIN)/ruff check --fix-only --quiet .
	$(BIN)/ruff format --quiet .

clean: ## remove the environment and what tools left; never the ledgers in .algotrendy
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage* htmlcov test-artifacts
