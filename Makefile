# gradclinic's commands. Each works alone in a fresh clone: what it needs is made first.
# `.venv` is made once and again when pyproject.toml or requirements.lock change.

.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3 || echo python3.11)
VENV   := .venv
STAMP  := $(VENV)/.installed
BIN    := $(VENV)/bin
# What `make lock` holds still. A newer torch would come as its CUDA build, several GB, from the plain index.
LOCKED ?= torch==2.13.0
# Twice quiet: errors alone.
PIP    := $(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check
# More for pytest or the benchmarks, e.g. `make quick ARGS="tests/store -x"`.
ARGS   ?=
BENCH       := .venv-bench
BENCH_STAMP := $(BENCH)/.installed
BENCH_PIP   := $(BENCH)/bin/python -m pip install --quiet --quiet --disable-pip-version-check
# Two processes, each file's tests in one of them: what a file starts once, such as a service, is started once.
SPLIT  := --numprocesses 2 --dist loadfile

.PHONY: help
help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: install
install: $(STAMP) ## Make .venv with everything pinned in requirements.lock (done by the others, too)

$(STAMP): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "gradclinic needs Python 3.11 or newer, this is " + sys.version.split()[0] + ". Name another one: make PYTHON=/path/to/python3.11 ...")'
	@echo "Installing into $(VENV); the first time this takes a few minutes."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) --constraint requirements.lock pip
	@$(PIP) --constraint requirements.lock --build-constraint requirements.lock \
		--editable '.[torch,arrow,fast,lightning,huggingface]' --group system --group dev
	@touch $@

.PHONY: demo
demo: $(STAMP) ## Start the embedded system, diagnose a sick and a healthy training over HTTP, stop it
	$(BIN)/python -m tools.demo

.PHONY: check
check: format-check lint types arrows test ## Everything that CI runs

.PHONY: format
format: $(STAMP) ## Format the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: format-check
format-check: $(STAMP)
	$(BIN)/ruff format --check .

.PHONY: lint
lint: $(STAMP) ## ruff
	$(BIN)/ruff check .

.PHONY: types
types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

.PHONY: arrows
arrows: $(STAMP) ## import-linter: who may import whom
	$(BIN)/lint-imports

.PHONY: test
test: $(STAMP) ## All tests, the slow ones too; what needs a server that is not there is skipped, and says so
	$(BIN)/python -m pytest $(SPLIT) -m "" -rs $(ARGS)

.PHONY: quick
quick: $(STAMP) ## The tests between two edits: under a minute
	$(BIN)/python -m pytest $(SPLIT) -m "not slow" $(ARGS)

.PHONY: bench
bench: $(BENCH_STAMP) ## What recording, storing and showing cost, beside other tools; writes docs/performance.md (10 minutes)
	$(BENCH)/bin/python -m benchmarks $(ARGS)

# What is measured beside ours is no part of a development environment: a venv of its own, with pins of its own. torch comes
# first: whatever build of it is there by then, the rest is content with.
$(BENCH_STAMP): pyproject.toml benchmarks/requirements.lock
	@echo "Installing into $(BENCH); the first time this takes a few minutes."
	@$(PYTHON) -m venv $(BENCH)
	@$(BENCH_PIP) --constraint requirements.lock pip
	@$(BENCH_PIP) '$(LOCKED)'
	@$(BENCH_PIP) --constraint benchmarks/requirements.lock \
		--editable '.[torch,arrow,fast,lightning]' --group system wandb tensorboard mlflow
	@touch $@

# Another set of labelled cases, e.g. `make evaluate CASES=/path/to/cases`; without their small changes with PERTURB=0.
CASES   ?= cases
PERTURB ?= 1
.PHONY: evaluate
evaluate: $(STAMP) ## Train and judge the labelled cases; writes docs/evaluation.md (10 minutes)
	$(BIN)/python -m tools.evaluation --cases $(CASES) $(if $(filter 0,$(PERTURB)),--unperturbed) --page docs/evaluation.md
	$(BIN)/python -m tools.fix_evaluation --cases $(CASES) --page docs/evaluation-fixes.md

.PHONY: evidence
evidence: $(STAMP) ## Try the remedies that articles name on every kind of fault; writes docs/evidence.md (10 minutes)
	$(BIN)/python -m tools.evidence --page docs/evidence.md

.PHONY: audit
audit: $(STAMP) ## Known vulnerabilities of what is pinned (asks the package index)
	$(BIN)/pip-audit --requirement requirements.lock --no-deps --disable-pip

.PHONY: lock
lock: ## Pin the newest versions that pyproject.toml allows into requirements.lock
	rm -rf $(VENV)-lock
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet --upgrade pip
	$(VENV)-lock/bin/python -m pip install --quiet --editable '.[torch,arrow,fast,lightning,huggingface]' --group system --group dev '$(LOCKED)'
	@{ sed -n '/^#/p' requirements.lock; \
	   $(VENV)-lock/bin/python -m pip freeze --all --exclude-editable | sed 's/+cpu$$//'; } > requirements.lock.new
	mv requirements.lock.new requirements.lock
	rm -rf $(VENV)-lock

.PHONY: clean
clean: ## Remove .venv, build outputs and caches; var/ (jobs, histories) stays
	rm -rf $(VENV) $(VENV)-lock $(BENCH) dist build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
