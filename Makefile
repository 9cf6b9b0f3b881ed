# Every target makes .venv and installs what it needs; with nothing changed that takes no time.

# HOST is not taken from the environment: some shells keep the machine's own name there.
HOST = 127.0.0.1
PORT ?= 7071
DATA ?= .data
STORAGE ?= embedded
WORKERS ?= 1
PYTHON ?=

.DEFAULT_GOAL := help
.PHONY: help run demo test lint bench compare profile soak clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1\t/p' $(firstword $(MAKEFILE_LIST))
	@echo "Variables of run: HOST PORT DATA STORAGE (embedded, azurite) WORKERS; of soak: SOAK_S SOAK_SEED ONLY (mixed, sizes); of all: PYTHON"

# The variables go to Python by the environment, as they were written: a path may hold blanks, quotes and dollars.
run: override export DATA := $(value DATA)
run: export HOST := $(HOST)
run: export PORT := $(PORT)
run: export STORAGE := $(STORAGE)
run: export WORKERS := $(WORKERS)
run: ## run the service on this machine until Ctrl-C
	@sh localhost/venv.sh localhost/requirements.txt
	@exec .venv/bin/python -m localhost

demo: ## store a small study in the running service and show commands worth trying
	@sh localhost/venv.sh localhost/requirements.txt
	@exec .venv/bin/python -m localhost.demo

test: lint ## check style and types, and run all tests
	.venv/bin/python -m pytest -n auto

lint: ## check style, types and what is known to be unsafe
	@sh localhost/venv.sh tests/requirements.txt
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/mypy
	.venv/bin/bandit -q -r function_app.py shared

bench: ## measure what each transaction costs
	@sh localhost/venv.sh tests/requirements.txt
	.venv/bin/python -m bench

# ROWS, SCALE, ROUNDS, SEARCH, ORTHANC, AZURITE and OUT: `python -m bench.compare --help` says what they are.
compare: ## measure beside Orthanc and write docs/performance.md (25 minutes)
	@sh localhost/venv.sh tests/requirements.txt
	.venv/bin/python -m bench.compare $(if $(ROWS),--rows '$(ROWS)') $(if $(SCALE),--scale $(SCALE)) \
	  $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(SEARCH),--search $(SEARCH)) $(if $(ORTHANC),--orthanc $(ORTHANC)) \
	  $(if $(AZURITE),--azurite $(AZURITE)) $(if $(OUT),--out '$(OUT)')

profile: ## measure where the time of each transaction goes and write docs/performance.md
	@sh localhost/venv.sh tests/requirements.txt
	.venv/bin/python -m bench.profiling $(if $(SCALE),--scale $(SCALE)) $(if $(OUT),--out '$(OUT)')

soak: ## kill two processes of everything at once for SOAK_S seconds; then what is as large as it may be (20 GB of disk)
	@sh localhost/venv.sh tests/requirements.txt
	SOAK=1 .venv/bin/python -m pytest tests/soak $(if $(ONLY),-k $(ONLY)) -v

clean: ## remove .venv, caches and builds; never DATA
	rm -rf .venv .build .mypy_cache .ruff_cache .pytest_cache .hypothesis
