# `make run` and `make test` do all the set-up there is: a virtual environment in .venv, made once.
PYTHON ?= python3
SWEEP ?= exp2
SEED ?= 0
BIN := .venv/bin

.PHONY: run test lint docs chaos clean

run: .venv/installed
	$(BIN)/python -m fashion_sweep run $(SWEEP)

test: .venv/installed
	$(BIN)/python -m pytest -n 2 --dist loadgroup --no-loadscope-reorder

lint: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The pages of docs/ as a site, in docs/_build/html; a broken link or reference is an error.
docs: .venv/installed
	$(BIN)/python -m sphinx -W --keep-going -n -b html docs docs/_build/html

# Kills, fills and breaks a small sweep for real, an hour long; a table says what became of it.
chaos: .venv/installed
	$(BIN)/python -m drills.chaos --seed $(SEED)

# The stamp is newer than pyproject.toml exactly when what that file asks for is installed.
.venv/installed: pyproject.toml
	@$(PYTHON) .ci/set_up.py
	@touch $@

clean:
	rm -rf .venv runs
