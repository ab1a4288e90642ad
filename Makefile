# Set up, run and check vcmbench. `make demo` and `make test` are enough for a start; each sets up what it needs.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo test install lint format clean

demo: $(VENV)/.installed
	@$(BIN)/vcmbench run examples/demo.yaml

# Not a process for each core: each takes a gigabyte, and the Ray clusters that it starts take cores.
test: $(VENV)/.installed
	@$(BIN)/pytest -n 2 --dist loadfile

install: $(VENV)/.installed

lint: $(VENV)/.installed
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: $(VENV)/.installed
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format --quiet .

$(VENV)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "vcmbench needs Python 3.11 or newer: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 1; }
	@echo "Setting up $(VENV) (torch, Ray, MLflow, the test tools; some minutes and 3 GB the first time) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/pip install --quiet --quiet --disable-pip-version-check --editable '.[dev]'
	@echo "Installed. ResMem, for the memorability metric, may be used for non-commercial purposes only (research included)."
	@touch $@

clean:
	@rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache
