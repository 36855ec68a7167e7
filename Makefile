# make run     the sidecar in front of an upstream that misbehaves on request, with curl lines to try
# make test    everything CI checks: style, types, layers, tests
# make bench   side by side with its peers; QUICK=1 takes under a minute
# make fuzz    bytes that nobody expects, for ten minutes, or as many SECONDS as are given; SEED repeats a run
# make conformance  the suites that others wrote, through the sidecar, HAProxy and nginx: ten minutes; ONLY=… for one
# make chart-docs, make chart-golden  the chart's table of values, and its renderings that tests compare
# make screenshots  those of the dashboard in docs/images, anew
# make image   builds the Dockerfile with buildah and unpacks the image for the tests; root, no engine, no registry
# make lock    pins what the image holds anew: release/requirements.lock and build.lock
# make sbom    the bill of materials of what the lock pins: dist/sidecar.cdx.json
# make licenses  their licences: docs/licenses.md
# make audit   known vulnerabilities in what the lock pins; says so where no advisory database can be reached
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

# What the image is made of; when one of these is newer than the image, the tests have it made anew.
IMAGE := Dockerfile .dockerignore pyproject.toml hatch_build.py $(wildcard release/*.py release/*.lock) \
	$(shell find sidecar -type f -not -name '*.pyc')
UV := $(BIN)/uv --no-config
COMPILE := $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --custom-compile-command 'make lock'

.PHONY: run test bench fuzz conformance lint clean image lock sbom licenses audit screenshots chart-docs chart-golden
.DELETE_ON_ERROR:

run: $(VENV)/core
	@$(BIN)/python -m sidecar demo -c config/sidecar.yaml

test: lint $(BIN)/promtool $(BIN)/nginx $(BIN)/curl $(BIN)/chromium $(BIN)/systemd-analyze .image/made.json
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m pytest -n $(JOBS) $(PYTEST_ARGS)

lint: $(VENV)/test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/bench
	$(BIN)/python -m bench $(if $(QUICK),--quick)

fuzz: $(VENV)/test
	$(BIN)/python -m conformance.fuzz --seconds $(or $(SECONDS),600) $(if $(SEED),--seed $(SEED))

conformance: $(VENV)/conformance
	$(BIN)/python -m conformance $(if $(ONLY),--only $(ONLY)) $(if $(PEERS),--peers $(PEERS))

chart-docs: $(VENV)/test
	$(BIN)/python helm/chart_docs.py

chart-golden: $(VENV)/test
	$(BIN)/python tests/helm/helm_chart.py

screenshots: $(BIN)/chromium
	PATH="$(CURDIR)/$(BIN):$$PATH" PYTHONPATH=tests $(BIN)/python -m scenarios.screenshots docs/images

image: .image/made.json
	@test -f $<

# Where it cannot be made, its tests say so.
.image/made.json: $(IMAGE) | $(VENV)/core $(BIN)/buildah
	-@$(BIN)/python -m release.image .image

lock: $(VENV)/release
	$(COMPILE) $(if $(UPGRADE),--upgrade) --extra image pyproject.toml -o release/requirements.lock
	$(COMPILE) $(if $(UPGRADE),--upgrade) release/build.in -o release/build.lock

sbom: $(VENV)/release
	@$(BIN)/python -m release.sbom dist/sidecar.cdx.json

licenses: $(VENV)/release
	@$(BIN)/python -m release.licenses docs/licenses.md

audit: $(VENV)/release
	@$(BIN)/python -m release.audit

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .bench .fuzz .conformance .image build dist
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

$(VENV)/conformance: pyproject.toml $(ENVIRONMENT)
	@echo "installing what the suites need into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --editable '.[conformance]'
	@touch $@ $(VENV)/core

$(VENV)/release: pyproject.toml $(ENVIRONMENT)
	@echo "installing what a release needs into $(VENV) ..."
	@$(BIN)/python -m pip install --quiet --editable '.[release]'
	@touch $@ $(VENV)/core

$(ENVIRONMENT):
	@PYTHON='$(PYTHON)' sh .ci/environment $(VENV)
	@touch $@

# One of the clients that the forward proxy is tried with.
$(BIN)/curl: | $(VENV)/test
	@sh .ci/curl $@

# What the dashboard is looked at with.
$(BIN)/chromium: | $(VENV)/test
	@sh .ci/chromium $@

# Builds the image where no container engine runs.
$(BIN)/buildah: | $(VENV)/core
	@sh .ci/installed $@ buildah

# Looks at the units; nothing is started by it, nor by its package where no systemd runs.
$(BIN)/systemd-analyze: | $(VENV)/core
	@sh .ci/installed $@ systemd

# promtool checks /metrics; nginx is the reference of the differential tests. Each is taken out of its package: installing
# that would start a server.
$(BIN)/promtool: | $(VENV)/test
	@sh .ci/program $@ prometheus usr/bin/promtool

$(BIN)/nginx: | $(VENV)/test
	@sh .ci/program $@ nginx usr/sbin/nginx
