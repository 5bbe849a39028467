# One command each; every target sets up what it needs in .venv and re-uses it when it is current.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
KERAS  := tests/contracts/test_keras_losses.py tests/unit/keras src/equipoise/keras
PIP    := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

# Tests of a file run in one worker (--dist loadfile), which makes what they share once. They start
# many processes: bytecode is kept between them.
unexport PYTHONDONTWRITEBYTECODE
TEST   := $(BIN)/python -m pytest -n auto --dist loadfile

.DEFAULT_GOAL := help
.PHONY: help demo test test-all lint types docs architecture bench check format dist release-check licences clean

help: ## print this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/.run: pyproject.toml constraints.txt
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
	  echo "No virtual environment could be made; on Debian: apt-get install python3-venv" >&2; exit 1; }
	@echo "Setting up $(VENV) (a few minutes the first time) ..." >&2
	@$(PIP) -e ".[train]"
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@$(PIP) -e ".[dev]"
	@touch $@

$(VENV)/.jax: $(VENV)/.dev
	@$(PIP) -e ".[jax]"
	@touch $@

$(VENV)/.docs: $(VENV)/.run
	@$(PIP) -e ".[docs,keras,hf]"
	@touch $@

$(VENV)/.release: $(VENV)/.run
	@$(PIP) -e ".[release]"
	@touch $@

demo: $(VENV)/.run ## run two studies on scikit-learn's digits and write demo/report.html
	@$(BIN)/equipoise demo --out demo

test: $(VENV)/.dev ## the fast tests (no GPU, no network)
	@$(TEST)

test-all: $(VENV)/.jax ## every test, the statistical simulations included; Keras also on JAX
	@$(TEST) -m "not gpu and not extras" --hypothesis-profile=thorough
	@KERAS_BACKEND=jax $(TEST) $(KERAS)
	@if $(BIN)/python -c "import tensorflow" 2>/dev/null; then \
	  KERAS_BACKEND=tensorflow $(TEST) $(KERAS); fi

lint: $(VENV)/.dev ## ruff and the layering contracts
	@$(BIN)/ruff check src tests benchmarks examples release docs/*.py
	@$(BIN)/ruff format --check src tests benchmarks examples release docs/*.py
	@$(BIN)/lint-imports

types: $(VENV)/.dev ## mypy, strict
	@$(BIN)/mypy

docs: $(VENV)/.docs ## the documentation, warnings are errors
	@$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build

architecture: $(VENV)/.dev ## the picture of the rooms, drawn from the imports
	@$(BIN)/python docs/draw_architecture.py

bench: $(VENV)/.dev ## speed, side by side with the peers
	@$(BIN)/python -m benchmarks.speed
	@$(BIN)/python -m benchmarks.sampling_speed
	@$(BIN)/python -m benchmarks.decisions_speed
	@$(BIN)/python -m benchmarks.loss_speed
	@$(BIN)/python -m benchmarks.dense --images 20
	@$(BIN)/python -m benchmarks.metrics_speed
	@$(BIN)/python -m benchmarks.training_speed
	@$(BIN)/python -m benchmarks.screening_speed
	@$(BIN)/python -m benchmarks.trial_overhead
	@$(BIN)/python -m benchmarks.mining_speed
	@$(BIN)/python -m benchmarks.diagnosis_speed
	@$(BIN)/python -m benchmarks.wide_labels

check: lint types test ## what CI runs

format: $(VENV)/.dev ## put the code into shape
	@$(BIN)/ruff check --fix src tests benchmarks examples release docs/*.py
	@$(BIN)/ruff format src tests benchmarks examples release docs/*.py

dist: $(VENV)/.release ## wheel and source archive, in dist/
	@rm -rf build dist && $(BIN)/python -m build --outdir dist .
	@$(BIN)/twine check --strict dist/*

release-check: $(VENV)/.release ## a release in clean environments: archives, demo, tests, extras
	@$(BIN)/python -m release.check $(CHECK)

licences: $(VENV)/.dev $(VENV)/.docs $(VENV)/.jax $(VENV)/.release ## THIRD_PARTY.md
	@$(PIP) -e ".[mlflow,wandb]"
	@$(BIN)/python -m release.licences

clean: ## remove the environment and everything built
	rm -rf $(VENV) build dist demo docs/_build
