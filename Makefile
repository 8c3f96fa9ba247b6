# Everything runs from .venv, which is made from pyproject.toml when that has changed; nothing else is touched.
.DEFAULT_GOAL := help
.PHONY: help demo test soak bench bench-peers lint clean

# The first of these that runs and that flytekit can be installed for; a version manager's shim may exist and not run,
# and what the manager has may not be in the path. Tasks are fastest with 3.12.
PYTHON ?= $(shell for name in python3.12 $(wildcard $(HOME)/.pyenv/versions/3.12.*/bin/python3.12) python3.11 python3 python; do \
	"$$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && command -v "$$name" && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

help:
	@echo "make demo    start a server, register and run the hello project, stop the server"
	@echo "make test    the test suite"
	@echo "make soak    the tests that take long"
	@echo "make bench   the benchmarks; the table goes into docs/benchmarks.md"
	@echo "make bench-peers   install what flytelite is compared with there"
	@echo "make lint    ruff, mypy and the layer check"

# uv when it is there, since it is much faster; else venv and pip.
$(READY): pyproject.toml
	@[ -n "$(PYTHON)" ] || { echo "Python 3.11 or 3.12 is needed (flytekit has no newer one yet); name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@if command -v uv >/dev/null 2>&1; then \
		uv venv --quiet --allow-existing --python "$(PYTHON)" $(VENV) && \
		uv pip install --quiet --python $(BIN)/python --editable '.[dev]'; \
	else \
		"$(PYTHON)" -m venv $(VENV) && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'; \
	fi
	@touch $@

demo: $(READY)
	@$(BIN)/flytelite exec -- sh scripts/demo.sh $(BIN)/flytelite

test: $(READY)
	$(BIN)/python -m pytest -n auto -m "not soak" $(ARGS)

# 5 is pytest's code for "no test was selected".
soak: $(READY)
	$(BIN)/python -m pytest -m soak $(ARGS) || [ $$? -eq 5 ]

bench: $(READY)
	$(BIN)/python tests/benchmarks/bench.py --write $(ARGS)

bench-peers: $(READY)
	$(BIN)/python tests/benchmarks/comparison/peers.py $(ARGS)

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

clean:
	rm -rf .venv* .bench-peers .flytelite .pytest_cache .mypy_cache .ruff_cache .import_linter_cache build dist
