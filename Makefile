# make film PROMPT="..."   a one-minute film, film.mp4, after making the environment if needed
# make test                style, types and all tests
# make clean               removes the environment and caches; films and runs stay

PROMPT ?= a calm sea at dawn, thin high clouds drifting right
OUT ?= film.mp4
ARGS ?=
TORCH_INDEX ?=
VENV ?= .venv
override PROMPT := $(value PROMPT)
export PROMPT

# The first Python of at least 3.11 that can make environments; `make PYTHON=...` names another.
FITS := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	if "$$p" -c '$(FITS)' >/dev/null 2>&1; then command -v "$$p"; break; fi; done)

BIN := $(VENV)/bin
INSTALL := pip install --quiet --disable-pip-version-check -c constraints.txt \
	$(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
WORDS := $(addprefix longtake/,errors.py keys.py steps.py clip.py controls.py system.py)

.PHONY: film test lint types tests clean

film: $(VENV)/.ready
	@$(BIN)/longtake generate "$$PROMPT" --frames 600 --fps 10 --out "$(OUT)" $(ARGS)
	@echo "The film is at $(abspath $(OUT))"

test: lint types tests

lint: $(VENV)/.ready-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready-dev
	$(BIN)/mypy --strict --follow-imports=silent $(WORDS) longtake/engine

tests: $(VENV)/.ready-dev
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n logical --maxprocesses 4 --dist loadfile

$(VENV)/bin/python:
	@test -n "$(PYTHON)" || { echo "longtake needs Python 3.11 or newer with venv and ensurepip" \
		"(on Debian: apt install python3-venv); or name one: make PYTHON=/path/to/python" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)

# Stamps: the environment is used as it is until what it was made from changes.
$(VENV)/.ready: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m $(INSTALL) -e .
	@touch $@

$(VENV)/.ready-dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	$(BIN)/python -m $(INSTALL) -e ".[dev]"
	@touch $@ $(VENV)/.ready

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist *.egg-info
