# Every target sets up what it needs by itself: .venv, torch, then the rest as constraints.txt pins it.
# test-oldest and test-newest have environments of their own: the lower bounds of pyproject.toml, and what is newest now.
#
# Settings, all optional:
#   PYTHON=python3.12   the interpreter (3.11 or newer) that makes the environment
#   VENV=path           another environment than .venv; one that exists (venv, conda, any prefix with bin/python)
#                       is used as it is and keeps the torch that it has
#   TORCH=torch==2.13.0 the torch to install where there is none: an exact version, pip options may follow it.
#                       To change the torch of .venv, remove .venv first.
#   CONSTRAINTS=file    the exact versions of the rest
#   ARGS="..."          more arguments for `make run` (Hydra overrides), `make test` and `make test-all` (pytest)
#   JOBS=2              processes among which the tests are shared out
#   MODEL= DATA=        what `make run` trains, and on what
PYTHON ?= python3
VENV ?= .venv
TORCH ?= torch==2.13.0
CONSTRAINTS ?= constraints.txt
MODEL = transformer
DATA = L5
ARGS =
JOBS = 2

python = $(VENV)/bin/python
pip = $(python) -m pip --disable-pip-version-check
stamp = $(VENV)/.seqlab

.PHONY: help setup run test test-all test-oldest test-newest check docs bench
.DEFAULT_GOAL := help
.NOTPARALLEL:

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*  ## /\1: /p' Makefile

setup: $(stamp)-dev  ## everything that the other targets need

run: $(stamp)-run  ## the main job: make run ARGS="seed=2 trainer.max_steps=200"
	$(python) run.py model=$(MODEL) data=$(DATA) $(ARGS)

# Idle OpenMP threads sleep: many small operations in a few processes run faster on few cores.
test test-all bench: export OMP_WAIT_POLICY = PASSIVE
# The tests are many small computations: processes share the cores, not the threads of one.
test test-all: export OMP_NUM_THREADS = 1
share_out = --numprocesses $(JOBS) --dist worksteal

test: $(stamp)-test  ## the tests, slow ones left out
	$(python) -m pytest $(share_out) $(ARGS)

test-all: $(stamp)-test  ## every test
	$(python) -m pytest $(share_out) -m "" $(ARGS)

test-oldest:  ## the tests with the oldest versions that pyproject.toml allows
	$(MAKE) test VENV=.venv-oldest CONSTRAINTS=constraints-oldest.txt TORCH=torch==2.8.0

test-newest:  ## the tests with the newest versions of everything, installed anew
	rm -rf .venv-newest
	$(MAKE) test VENV=.venv-newest CONSTRAINTS=/dev/null TORCH=torch

check: $(stamp)-dev  ## lint, format, types, who imports whom
	$(python) -m ruff check
	$(python) -m ruff format --check
	$(python) -m pyright --pythonpath $(python)
	$(VENV)/bin/lint-imports --no-logo

docs: export NO_MKDOCS_2_WARNING = 1 # mkdocs 2 is excluded by pyproject.toml
docs: $(stamp)-docs  ## the site, into site/ (open site/index.html)
	$(python) -m mkdocs build --strict

bench: $(stamp)-run  ## the benchmarks: a table of ratios each
	@set -e; for script in $(sort $(wildcard benchmarks/[!_]*.py)); do \
		echo "== $$script"; PYTHONPATH=. $(python) $$script; done

$(python):
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("SeqLab needs Python 3.11 or newer: say PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)

# One stamp for each set of packages (run < docs < test < dev), so that nothing is installed twice.
stamps_run = $(stamp)-run
stamps_docs = $(stamps_run) $(stamp)-docs
stamps_test = $(stamps_docs) $(stamp)-test
stamps_dev = $(stamps_test) $(stamp)-dev

$(stamps_dev): $(stamp)-%: pyproject.toml $(CONSTRAINTS) | $(python)
	$(pip) show --quiet torch 2>/dev/null || $(pip) install --constraint $(CONSTRAINTS) $(TORCH)
	@$(python) -c 'from importlib.metadata import version; print("torch==" + version("torch"))' >$(stamp)-torch.txt
	$(pip) install --quiet --constraint $(CONSTRAINTS) setuptools
	$(pip) install --constraint $(CONSTRAINTS) --constraint $(stamp)-torch.txt --no-build-isolation \
		--editable '.$(if $(filter-out run,$*),[$*])'
	@touch $(stamps_$*)
