# The targets a person types. Every one makes what it needs; PYTHON picks the interpreter.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RESULTS ?= results
# As many processes as there are cores, and not so many that their memory runs out. Who has run out of
# tests takes some from another: they differ by a factor of a hundred, and files share what they set up.
SHARED := -n logical --maxprocesses 4 --dist worksteal

.PHONY: run test check format bench docs clean help

help:
	@echo "make run    install, then run the mnist suite at smoke and at standard, report after each cell"
	@echo "make test   install with the test extra and run all tests: side by side, then those that need the machine alone"
	@echo "make check  what every commit passes: ruff, format, mypy --strict, fast tests"
	@echo "make bench  the speed tables of benchmarks/"
	@echo "make docs   the documentation as a site in build/docs, warnings as errors"

$(BIN)/genbench: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/.test: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ $(BIN)/genbench

run: $(BIN)/genbench
	$(BIN)/genbench run --suite mnist --profile smoke --results $(RESULTS)
	$(BIN)/genbench run --suite mnist --results $(RESULTS)

test: $(VENV)/.test
	@failed=0; set -x; \
	$(BIN)/python -m pytest $(SHARED) -m "not slow and not browser and not alone" || failed=1; \
	$(BIN)/python -m pytest $(SHARED) -m "(slow or browser) and not alone" || failed=1; \
	$(BIN)/python -m pytest -m alone || failed=1; \
	exit $$failed

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(SHARED) -m "not slow and not browser and not alone" -q

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.test
	$(BIN)/python -m benchmarks

$(VENV)/.docs: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	@touch $@ $(BIN)/genbench

docs: $(VENV)/.docs
	$(BIN)/mkdocs build --strict --quiet

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache
