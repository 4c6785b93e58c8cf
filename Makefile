.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

CELLQUILT_CACHE ?= $(HOME)/.cache/cellquilt
export CELLQUILT_CACHE
DEV := $(CELLQUILT_CACHE)/envs/dev/bin
NEXTFLOW_SOURCES := main.nf workflows modules

.PHONY: help setup demo test test-full benchmark networks check format container lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## Install what is missing: Nextflow and the Python environments, into ~/.cache/cellquilt
	@tools/setup.sh all

demo: setup ## Run the pipeline on its embedded sample, with Mesmer and with the networks in assets/
	@tools/demo.sh

test: check ## Run the checks and the tests
	@tools/nf-test.sh
	@$(DEV)/python -m pytest tests -q

test-full: check ## Run the checks and the tests, the slow ones too
	@tools/nf-test.sh
	@$(DEV)/python -m pytest tests -q -m "slow or not slow"

benchmark: setup ## Run the benchmarks, with ONLY=repair those of one subject; see benchmarks/README.md
	@benchmarks/setup.sh
	@$(CELLQUILT_CACHE)/envs/runtime/bin/python benchmarks/run.py --only "$(ONLY)" $(if $(KEEP),--keep)

networks: setup ## Train the networks in assets/networks anew
	@tools/train-networks.sh

check: setup ## Lint the Python and Nextflow sources, and check their format
	@$(DEV)/ruff check .
	@$(DEV)/ruff format --check .
	@tools/nextflow lint $(NEXTFLOW_SOURCES)

format: setup ## Format the Python sources, and mend what can be mended by itself
	@$(DEV)/ruff check --fix .
	@$(DEV)/ruff format .

container: ## Build the container images, with docker or podman
	@tools/build-images.sh

lock: ## Write the lock files anew, with current versions
	@tools/lock.sh

clean: ## Remove results, work folders and caches of the working tree
	@rm -rf results work .nextflow .nextflow.log* .nf-test .nf-test.log .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
