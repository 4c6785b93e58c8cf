.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -euo pipefail -c

CELLQUILT_CACHE ?= $(HOME)/.cache/cellquilt
export CELLQUILT_CACHE
# What is imported is compiled once: deepcell's TensorFlow takes 3 s to import, and 13 uncompiled
unexport PYTHONDONTWRITEBYTECODE
DEV := $(CELLQUILT_CACHE)/envs/dev/bin
# Files side by side, whose tests share fixtures, in the order of tests/conftest.py
PYTEST := $(DEV)/python -m pytest -q --dist loadfile --no-loadscope-reorder --durations 20
# The files that have slow tests: to read all the others takes each worker longer than some of these
SLOW := grep -rl --include "test_*.py" "mark[.]slow" tests
NEXTFLOW_SOURCES := main.nf workflows modules subworkflows conf nextflow.config tests

.PHONY: help setup demo test test-full fuzz benchmark networks viewer check format container sbom audit lock clean

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: ## Install missing dependencies (Nextflow, Python environments) into ~/.cache/cellquilt
	@tools/setup.sh all

demo: setup ## Run the pipeline on a generated tissue, with Mesmer and with the networks in assets/
	@tools/demo.sh

test: check ## Run the checks and the tests
	@tools/nf-test.sh
	@$(PYTEST) tests -n 3 # of which one often waits for Nextflow

test-full: setup ## Run the slow tests: containers, Slurm, random kills; installs Debian packages
	@tools/setup.sh evaluate
	@tests/packages.sh
	@$(PYTEST) $$($(SLOW)) -m slow -n 3 # of which one often waits for a container or for Slurm

fuzz: ## Fuzz the file readers, MINUTES=10 each; READER=slide selects one
	@tools/setup.sh fuzz
	@$(CELLQUILT_CACHE)/envs/fuzz/bin/python tests/fuzz/run.py --minutes $(or $(MINUTES),10) \
		$(if $(READER),--reader $(READER))

benchmark: setup ## Run the benchmarks; ONLY=repair selects one subject, see benchmarks/README.md
	@benchmarks/setup.sh
	@$(CELLQUILT_CACHE)/envs/runtime/bin/python benchmarks/run.py --only "$(ONLY)" $(if $(KEEP),--keep)

networks: setup ## Train the networks in assets/networks again
	@tools/train-networks.sh

viewer: ## Install the library of the pages of --formats viewer, from its lock, with npm
	@tools/viewer.sh

check: setup ## Lint the Python and Nextflow sources, and check their format
	@$(DEV)/ruff check .
	@$(DEV)/ruff format --check .
	@tools/nextflow lint $(NEXTFLOW_SOURCES)

format: setup ## Format the Python sources and apply automatic lint fixes
	@$(DEV)/ruff check --fix .
	@$(DEV)/ruff format .

container: ## Build the container images, with docker or podman
	@tools/build-images.sh

sbom: setup ## Write the container images' SBOMs and a list of licences to sbom/
	@tools/supply-chain.sh sbom

audit: ## List the known vulnerabilities of the locked packages
	@tools/supply-chain.sh audit

lock: ## Update the lock files to current versions
	@tools/lock.sh

clean: ## Remove results, work folders and caches of the working tree
	@rm -rf results work sbom fuzz-findings .nextflow .nextflow.log* .nf-test .nf-test.log .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
