# `make demo` and `make test` set up everything they need in .venv; later calls go straight to work.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Absent on a machine without the golden figures: those tests are then skipped.
export UNIVS_CONFORMANCE ?= $(abspath ../shared/conformance)

.PHONY: help setup demo test lint format clean

help:
	@echo "make demo   follow objects through two built-in clips; pictures and videos in univs-demo/"
	@echo "make test   ruff, mypy and pytest"
	@echo "make lint   ruff and mypy alone;  make format  let ruff mend what it can"
	@echo "make setup  only the .venv;       make clean   remove .venv and caches"

setup: $(VENV)/.installed

# torch and torchvision are resolved together, so that their builds fit each other.
$(VENV)/.installed: setup.py pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --upgrade pip
	$(BIN)/python -m pip install "torch>=2.6" torchvision
	$(BIN)/python -m pip install --editable ".[train,dev]"
	touch $@

demo: setup
	$(BIN)/univs demo --out univs-demo

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# A process for each core, each with one thread: half the time of one process with two.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses auto --maxprocesses 8 --dist worksteal

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
