# Everything happens in .venv; a stamp per extra, so that a second run installs nothing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= ../shared/data/h100-64gb
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint bench zoo zoo-small validate clean

demo: $(VENV)/.plain  ## recommend for the example inventory
	$(BIN)/advisor recommend examples/inventory.toml

test: $(VENV)/.dev  ## run the tests
	$(BIN)/python -m pytest

lint: $(VENV)/.dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev  ## how fast the twin is, and what memory it takes
	$(BIN)/python -m twin.bench model_zoo/pairs/llama-3.1-8b-instruct--h100-64gb/profile.toml

zoo: $(VENV)/.dev  ## simulate, train and write every shipped pair anew
	$(BIN)/python -m model_zoo build

zoo-small: $(VENV)/.dev  ## the same with few workloads, into build/zoo-small
	$(BIN)/python -m model_zoo build --small -o build/zoo-small

validate: $(VENV)/.dev  ## the twin beside the published measurements
	$(BIN)/python -m calibrate validate --data $(DATA)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.plain: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) -e .
	touch $@

$(VENV)/.dev: $(VENV)/.plain
	$(PIP) -e '.[dev]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
