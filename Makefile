# Targets with a line of help each; plain `make` prints them.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# Where it is set, each of the many processes that a system starts would compile all its modules anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help setup demo up test test-slow check fmt schemas lock bench kafka s3 test-real test-attacks test-faults chaos clean

help: ## print this help
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY) ## build .venv with everything pinned in requirements.lock

$(READY): requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo "make: no '$(PYTHON)' found. Install Python 3.11, 3.12 or 3.13, or name one: make PYTHON=/path/to/python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 13) else "make: this is Python %d.%d; Lifemask runs on 3.11, 3.12 and 3.13. Name one: make PYTHON=python3.12" % v)'
	@if command -v uv >/dev/null; then \
	  echo "Building .venv with uv"; \
	  uv venv --quiet --allow-existing --python "$$(command -v $(PYTHON))" .venv && \
	  VIRTUAL_ENV=.venv uv pip sync --quiet --compile-bytecode --require-hashes requirements.lock && \
	  VIRTUAL_ENV=.venv uv pip install --quiet --no-deps --no-build-isolation -e contracts -e .; \
	else \
	  echo "Building .venv (the first time takes a minute or two)"; \
	  $(PYTHON) -m venv .venv && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock && \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e contracts -e .; \
	fi
	@touch $(READY)

demo: $(READY) ## watch a folder of photos become a published model, on this machine alone
	@$(BIN)/lifemask demo $(ARGS)

up: $(READY) ## run the whole system on this machine, data in ./.lifemask
	@$(BIN)/lifemask up $(ARGS)

test: $(READY) ## run the tests but for the slow ones, with branch coverage
	@$(BIN)/python -m pytest -n 4 --dist loadgroup --cov --cov-branch --cov-report=term:skip-covered -q $(ARGS)

test-slow: $(READY) ## run the tests that take long: processes and their ends, memory, albums, audits, revocation
	@$(BIN)/python -m pytest -m 'slow and not real' -n 3 --dist loadgroup -q $(ARGS)

check: $(READY) ## lint, types, import rules, fresh schemas, no breaking event: seconds
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/lint-imports --no-logo --cache-dir .import_linter_cache
	@$(BIN)/mypy
	@$(BIN)/python -m tools.schemas --check
	@$(BIN)/python -m tools.compatibility
	@$(BIN)/python -m tools.shipped

fmt: $(READY) ## format the code and mend what can be mended
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

schemas: $(READY) ## generate schemas, examples, AsyncAPI and OpenAPI documents, the page of settings
	@$(BIN)/python -m tools.schemas

PIN := uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header \
  --no-emit-package lifemask-contracts --no-emit-package lifemask --quiet

lock: ## pin all dependencies anew, also those of the image (needs uv)
	@$(PIN) pyproject.toml --all-extras --group dev -o requirements.lock
	@$(PIN) pyproject.toml -c requirements.lock --extra ingest --extra image-validator --extra packager --extra trainer \
	  --extra publisher --extra notifier --extra sandbox -o deploy/requirements.lock
	@echo hatchling | $(PIN) - -c requirements.lock -o deploy/build.lock

bench: $(READY) ## measure, as ratios against a floor in the same run
	@$(BIN)/python -m bench $(ARGS)

kafka: $(READY) ## run a real Kafka on this machine (Java 17, Maven); NODES=3 for three nodes
	@$(BIN)/python -m tools.kafka --with-parent --nodes $(or $(NODES),1) $(ARGS)

s3: $(READY) ## run a real S3 on this machine (versitygw; Go builds it once)
	@$(BIN)/python -m tools.s3 --with-parent $(ARGS)

test-real: $(READY) ## run the tests that need real Kafka (three nodes) and S3
	@$(BIN)/python -m tools.kafka --fetch
	@$(BIN)/python -m tools.s3 --fetch
	@$(BIN)/python -m pytest -m real -q $(ARGS)

test-attacks: $(READY) ## play attacks on a whole system, then again with the gate taken away that stops each
	@$(BIN)/python -m pytest -m attacks -q tests/attacks tests/system $(ARGS)

test-faults: $(READY) ## play each fault on a whole system, then stories with each safeguard taken away, which must be caught
	@$(BIN)/python -m pytest -m chaos -q tests/chaos $(ARGS)

chaos: $(READY) ## kill, freeze and misset everything; KILLS=100 SEED= POINTS=all REAL=1 REPORT=1
	@$(BIN)/python -m tests.chaos --kills $(or $(KILLS),100) $(if $(SEED),--seed $(SEED)) $(if $(POINTS),--points $(POINTS)) \
	  $(if $(REAL),--real) $(if $(REPORT),--report) $(ARGS)

clean: ## remove everything that make built (not ./.lifemask)
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage* htmlcov dist build
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
