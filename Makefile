# FisherDash: one command each. `make help` lists them.
#
# Everything is installed into .venv, pinned to the hash. Stamp files inside .venv remember what was
# done, so a second call costs nothing and a changed requirements file is noticed.
#   make app PORT=8600     another port
#   make setup GPU=1       with CUDA (found by itself where nvidia-smi works); GPU=0 leaves it out
#   make test TESTS=tests/fisher WORKERS=1

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup setup-dev app test test-fast lint format lock bench bench-pages samples validate audit potentials clean

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell command -v python3.11 || command -v python3)
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
GPU ?= $(shell nvidia-smi -L >/dev/null 2>&1 && echo 1 || echo 0)
PORT ?= 8501
WORKERS ?= 2
TESTS ?= tests
# In the order of their names: by number of tests, the long browser tests would end last, alone.
# Compiled JAX programs, shared by the test workers and by the next run; `make clean` removes them.
CACHE := $(VENV)/jax-cache
# Most programs of the tests run once, for a moment: without the optimiser of LLVM and the fusions of
# MLIR they compile five times faster. `make test QUICK=` optimises all of them.
QUICK := JAX_DISABLE_MOST_OPTIMIZATIONS=1 XLA_FLAGS="$$XLA_FLAGS \
	--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
# The app under test lowers the priority of its computations to 10; at a priority of their own the
# other tests would leave it a tenth of the processor.
# Bytecode is kept even where the machine asks for none: without it every process of a test, and there
# are hundreds, compiles the sources anew.
PYTEST = PYTHONDONTWRITEBYTECODE= JAX_COMPILATION_CACHE_DIR=$${JAX_COMPILATION_CACHE_DIR:-$(CURDIR)/$(CACHE)} \
	$(QUICK) nice -n 9 $(BIN)/python -m pytest -n $(WORKERS) --no-loadscope-reorder

help: ## list the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(VENV)/stamp-app ## virtual environment, pinned requirements, the 3D library

setup-dev: $(VENV)/stamp-dev ## the same, and what tests and lint need

app: $(VENV)/stamp-app ## open the dashboard
	$(BIN)/python -m fisherdash app --port $(PORT)

test: $(VENV)/stamp-dev ## run all tests (15 minutes on two cores)
	$(PYTEST) --durations=15 $(TESTS)

test-fast: $(VENV)/stamp-dev ## the quick tests: no browser, no pages, no training (two minutes)
	$(PYTEST) -m "not slow and not validate" --ignore=tests/browser --ignore=tests/pages $(TESTS)

lint: $(VENV)/stamp-dev ## ruff and pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright

format: $(VENV)/stamp-dev ## let ruff rewrite the layout
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lock: $(VENV)/stamp-dev ## write requirements*.txt anew from pyproject.toml (needs uv)
	tools/lock.sh

bench: $(VENV)/stamp-app ## the benchmarks, on a machine with nothing else to do
	$(BIN)/python -m fisherdash bench

bench-pages: $(VENV)/stamp-dev ## how long each page takes, with a run of a million steps
	$(BIN)/python benchmarks/page_speed.py
	$(BIN)/python benchmarks/redraw.py

samples: $(VENV)/stamp-app ## train the sample models that are missing, write their cards
	$(BIN)/python tools/sample_models.py train
	$(BIN)/python tools/sample_models.py cards

validate: $(VENV)/stamp-dev ## the whole chain on the shipped data, then the heavy tests
	$(BIN)/python tools/validate.py
	$(BIN)/python -m pytest -m validate

audit: $(VENV)/audit/stamp ## look for known vulnerabilities in every package that is pinned
	@for pins in requirements-dev.txt requirements-gpu.txt requirements-auth.txt \
		requirements-bench.txt requirements-potentials.txt requirements-nequip.txt; do \
		echo "$$pins"; \
		$(VENV)/audit/bin/pip-audit --strict --disable-pip --require-hashes -r $$pins || exit 1; \
	done

potentials: $(VENV)/pyvenv.cfg ## a Python with MACE and SO3LR (FAMILY=mace or so3lr, 1.4 GB) or NequIP (nequip)
	@tools/potentials.sh "$(PYTHON)" "$(FAMILY)"

clean: ## remove the environment, caches and the 3D library
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis static/vendor build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/pyvenv.cfg:
	@tools/make_venv.sh "$(PYTHON)" $(VENV)

$(VENV)/stamp-app: requirements.txt requirements-gpu.txt pyproject.toml $(VENV)/pyvenv.cfg
	$(PIP) --require-hashes -r requirements.txt
	$(PIP) --no-build-isolation --no-deps --editable .
	@if [ "$(GPU)" = 1 ]; then echo "CUDA for JAX"; $(PIP) --require-hashes -r requirements-gpu.txt; fi
	@$(BIN)/python tools/get_3dmol.py || \
		echo "No offline 3D library: call '$(BIN)/python tools/get_3dmol.py' again when npm answers."
	@touch $@

$(VENV)/audit/stamp: requirements-audit.txt $(VENV)/pyvenv.cfg
	@tools/make_venv.sh "$(PYTHON)" $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
		-r requirements-audit.txt
	@touch $@

$(VENV)/stamp-dev: requirements-dev.txt $(VENV)/stamp-app
	$(PIP) --require-hashes -r requirements-dev.txt
	@touch $@
