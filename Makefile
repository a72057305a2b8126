# Every target works from a fresh clone. `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

PYTHON ?= python3
# Where the packages go. CI points it at a folder named by the lock's hash, which clones share.
VENV ?= .venv
# More arguments for pip, such as an index of CPU-only torch wheels.
PIP_ARGS ?=
# Read from the environment by the recipe, so that spaces, quotes and commas in them survive.
export DATA ?=
export PARAMS ?=

BIN := $(VENV)/bin
CDK := PATH="$(abspath $(BIN)):$$PATH" npx --yes aws-cdk@^2.1148
# What was installed for this clone; a change of the lock, or another VENV, installs again.
INSTALLED := .make/$(shell echo '$(abspath $(VENV))' | cksum | cut -d' ' -f1)
INSTALL = mkdir -p .make && $(BIN)/pip install --quiet --disable-pip-version-check $(PIP_ARGS) -c requirements.lock

export PYTHONDONTWRITEBYTECODE ?= 1

.PHONY: help run up test lint generate deploy diff destroy lock clean

help: ## Show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  \033[1m%-10s\033[0m %s\n", $$1, $$2}' Makefile

run: $(INSTALLED)-run ## Run the whole pipeline on this machine [DATA=dir-or-tgz] [PARAMS="Epochs=3 ..."]
	@$(BIN)/python -m local run $${DATA:+--data "$$DATA"} $${PARAMS:+--parameters "$$PARAMS"}

up: $(INSTALLED)-run ## Keep the laptop's AWS running for any AWS client; writes local.env
	@$(BIN)/python -m local up --env-file local.env

test: lint ## Run every check and every test
	@$(BIN)/pytest

lint: $(INSTALLED)-all ## Check style, types and the generated files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

generate: $(INSTALLED)-all ## Write pipeline.json, infra/template.json and the README's generated parts
	@$(BIN)/python -m pipeline_definition
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python -m infra.template
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/python tests/readme_blocks.py

deploy: $(INSTALLED)-all ## Deploy to the AWS account of your credentials
	@$(CDK) deploy

diff: $(INSTALLED)-all ## Show what deploy would change
	@$(CDK) diff

destroy: $(INSTALLED)-all ## Remove the deployment (the bucket and its data stay)
	@$(CDK) destroy

lock: $(INSTALLED)-all ## Write requirements.lock from pyproject.toml
	@$(BIN)/pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'
	@{ head -1 requirements.lock; $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
	  --no-annotate --no-header --all-extras pyproject.toml; } > .make/lock && mv .make/lock requirements.lock

clean: ## Remove what the targets made in this folder (runs/ stays)
	rm -rf .venv .make .cache cdk.out .mypy_cache .ruff_cache .pytest_cache .hypothesis

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
