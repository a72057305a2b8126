# Every target works from a fresh clone. `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
# How many tests run at once.
WORKERS ?= 2
# Where the packages go. CI points it at a folder named by the lock's hash, which clones share.
VENV ?= .venv
# More arguments for pip.
PIP_ARGS ?=
# Which wheels of PyTorch: pip's own choice (on Linux with 5 GB of CUDA libraries), or one of uv's, such as cpu. What is
# chosen once stays in VENV until another one is.
TORCH ?=
# Read from the environment by the recipe, so that spaces, quotes and commas in them survive.
export DATA ?=
export PARAMS ?=
# KEEP=1 leaves local AWS up after a run.
export KEEP ?=
# YES=1 lets destroy remove without asking.
export YES ?=
# Handed to the CDK, or to ops destroy: make deploy ARGS="-c environment=staging"
ARGS ?=

BIN := $(VENV)/bin
NODE := VIRTUAL_ENV="$(abspath $(VENV))" PATH="$(abspath $(BIN)):$$PATH"
CDK := $(NODE) $(VENV)/cdk/node_modules/.bin/cdk
# What was installed for this clone; a change of the lock, or another VENV, installs again.
INSTALLED := .make/$(shell echo '$(abspath $(VENV))$(TORCH:%=,%)' | cksum | cut -d' ' -f1)
PIP = $(BIN)/pip install --quiet --disable-pip-version-check
UV = 'uv>=0.9,<1'
ifeq ($(TORCH),)
INSTALL = mkdir -p .make && $(PIP) $(PIP_ARGS) -c requirements.lock
else
# pip cannot choose between the builds of one version. A build that is there already would do for uv, so it is told to replace it.
INSTALL = mkdir -p .make && $(PIP) $(PIP_ARGS) $(UV) && $(BIN)/uv pip install --quiet --python $(BIN)/python \
  --torch-backend=$(TORCH) --reinstall-package torch --reinstall-package torchvision -c requirements.lock
endif
# What comes from npm, as a lock in $(1) pins it by hash; the environment's folder $(2) keeps it for all clones.
# The lock is copied once more when all of it is there: npm begins by removing node_modules.
INSTALL_NPM = { cmp -s $(1)/package-lock.json $(VENV)/$(2)/node_modules/.installed; } || { mkdir -p $(VENV)/$(2) \
  && cp $(1)/package*.json $(VENV)/$(2)/ \
  && $(NODE) npm ci --prefix $(VENV)/$(2) --silent --no-audit --no-fund --ignore-scripts --fetch-retries=1 \
  && cp $(1)/package-lock.json $(VENV)/$(2)/node_modules/.installed; }
# checkov pins boto3 and more, so it has an environment of its own inside of ours, by a lock of its own.
INSTALL_CHECKOV = cmp -s tests/support/infra/checkov/requirements.lock $(VENV)/checkov/.installed \
  || { $(BIN)/python -m venv --clear $(VENV)/checkov \
  && $(VENV)/checkov/bin/pip install --quiet --disable-pip-version-check -r tests/support/infra/checkov/requirements.lock \
  && cp tests/support/infra/checkov/requirements.lock $(VENV)/checkov/.installed; }
INSTALL_CDK = $(call INSTALL_NPM,infra/cdk-cli,cdk)
# Synthesised once: what is deployed is what was looked at. Options for deploying alone are ignored, with a note.
PREFLIGHT = rm -rf cdk.out && $(CDK) synth --quiet $(ARGS) && $(BIN)/python -m ops preflight cdk.out $(ARGS)

# A test file is one worker's: its fixtures are local AWS, stacks and models, which take seconds to make. In the
# order of the folders, for end_to_end, where the longest files are, comes first.
PYTEST = $(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder --durations 20

.PHONY: help run up test quick soak lint coverage generate bootstrap deploy diff destroy lock clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-10s\033[0m %s\n", $$1, $$2}' Makefile

run: $(INSTALLED)-run ## Run the whole pipeline on this machine [DATA=dir-or-tgz] [PARAMS="Epochs=3 ..."] [KEEP=1] [TORCH=cpu]
	@$(BIN)/python -m local run $${DATA:+--data "$$DATA"} $${PARAMS:+--parameters "$$PARAMS"} $${KEEP:+--keep}

up: $(INSTALLED)-run ## Keep local AWS running for any AWS client; writes local.env
	@$(BIN)/python -m local up --env-file local.env

test: lint ## Run every check and every test
	@$(INSTALL_CHECKOV)
	@{ $(call INSTALL_NPM,tests/support/iam/iam-simulate,iam-simulate); } \
	  || { echo "iam-simulate, which judges every policy in the tests, cannot be installed: npm's registry has to be reached"; exit 1; }
	@{ $(INSTALL_CDK); } || echo "npm's registry cannot be reached: the tests that need the CDK's command skip"
	@$(PYTEST)

quick: $(INSTALLED)-all ## Answer in a minute and a half: style, and the tests that are not slow
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(PYTEST) -m "not slow" tests/upload_trigger tests/pipeline_definition tests/training tests/project tests/local/engine

soak: $(INSTALLED)-all ## Run the long random searches in full, of which make test runs a part
	@SOAK=1 $(PYTEST) -m soak

lint: $(INSTALLED)-all ## Check style and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy --cache-dir $(VENV)/mypy

coverage: $(INSTALLED)-all ## Run the tests and say which lines none of them runs [ARGS=tests/ops]
	@$(PYTEST) $(addprefix --cov=,infra lambda local ops pipeline_definition training) \
	  --cov-report=term-missing:skip-covered --cov-report=html:.coverage-html $(ARGS)

generate: $(INSTALLED)-all ## Write pipeline.json, the legal values, the image's SBOM, infra/template.json and the generated parts of docs/
	@$(BIN)/python -m tools.legal_values
	@$(BIN)/python -m pipeline_definition
	@$(BIN)/python tools/image_sbom.py
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m infra.template
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python tools/reference.py

bootstrap: $(INSTALLED)-all ## Prepare the account and region of your credentials for the CDK, once
	@$(INSTALL_CDK)
	@$(CDK) bootstrap $(ARGS)

deploy: $(INSTALLED)-all ## Deploy to the AWS account of your credentials [ARGS="-c key=value"]
	@$(INSTALL_CDK)
	@$(PREFLIGHT)
	@$(CDK) deploy --app cdk.out $(ARGS)

diff: $(INSTALLED)-all ## Show what deploy would change [ARGS="-c key=value"]
	@$(INSTALL_CDK)
	@$(PREFLIGHT)
	@$(CDK) diff --app cdk.out $(ARGS)

destroy: $(INSTALLED)-all ## List what would go and stay, ask, remove it [YES=1] [ARGS="--stack NAME --delete-data"]
	@$(BIN)/python -m ops destroy $(ARGS)

lock: $(INSTALLED)-all ## Write requirements.lock from pyproject.toml, checkov's and npm's from their own lists
	@for folder in infra/cdk-cli tests/support/iam/iam-simulate; do $(NODE) npm install --prefix $$folder \
	  --package-lock-only --omit-lockfile-registry-resolved --silent; done
	@$(PIP) $(UV)
	@{ head -1 requirements.lock; $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	  --no-annotate --no-header --all-extras pyproject.toml; } > .make/lock && mv .make/lock requirements.lock
	@{ head -1 tests/support/infra/checkov/requirements.lock; $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	  --no-annotate --no-header tests/support/infra/checkov/requirements.in; } > .make/lock && mv .make/lock tests/support/infra/checkov/requirements.lock

clean: ## Remove what the targets made in this folder (runs/ stays)
	rm -rf .venv .make .cache .artifacts .coverage .coverage-html cdk.out .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(VENV)/pyvenv.cfg:
	@echo "Making $(VENV)"
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(f"Python 3.11 or newer is needed; {sys.executable} is {v[0]}.{v[1]}. Use: make PYTHON=python3.12 ...") if v < (3, 11) else None'
	@$(PYTHON) -m venv $(VENV)

$(INSTALLED)-run: pyproject.toml requirements.lock $(VENV)/pyvenv.cfg
	@echo "Installing what a run needs (PyTorch is large: minutes the first time)"
	@$(INSTALL) -e '.[local,training]'
	@touch $@

$(INSTALLED)-all: pyproject.toml requirements.lock $(VENV)/pyvenv.cfg
	@echo "Installing what the checks and deployments need (minutes the first time)"
	@$(INSTALL) -e '.[local,training,infra,pipeline,dev]'
	@touch $@ $(INSTALLED)-run
