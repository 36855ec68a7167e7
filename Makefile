# make run     the sidecar in front of an upstream that misbehaves on request, with curl lines to try
# make test    everything CI checks: style, types, layers, tests
# make bench   side by side with its peers; QUICK=1 takes under a minute
# make lint    style, types and layers alone
# make clean   removes what the others made
#
# Needs Python 3.11 or newer and make; what else is missing is installed into .venv, or asked for in one line.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_ROOT_USER_ACTION := ignore

# The environment is made anew for another interpreter, and brought up to date when pyproject.toml changes.
VERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
ENVIRONMENT := $(VENV)/made-by-$(or $(VERSION),none)

.PHONY: run test bench lint clean
.DELETE_ON_ERROR:

run: $(VENV)/core
	@$(BIN)/python -m sidecar demo -c config/sidecar.yaml

test: lint $(BIN)/promtool
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n $(JOBS) $(PYTEST_ARGS)

lint: $(VENV)/test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/bench
	$(BIN)/python -m bench $(if $(QUICK),--quick)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .bench build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/core: pyproject.toml $(ENVIRONMENT)
	@echo "installing the sidecar into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --editable .
	@touch $@

$(VENV)/test: pyproject.toml $(ENVIRONMENT)
	@echo "installing what the tests need into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --editable '.[test]'
	@touch $@ $(VENV)/core

$(VENV)/bench: pyproject.toml $(ENVIRONMENT)
	@echo "installing the peers into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --editable '.[bench]'
	@touch $@ $(VENV)/core

$(ENVIRONMENT):
	@PYTHON='$(PYTHON)' sh .ci/environment $(VENV)
	@touch $@

# promtool checks /metrics. It is taken out of Debian's prometheus package, whose installation would start a server.
$(BIN)/promtool: | $(VENV)/test
	@sh .ci/promtool $@
