# Python that makes the virtual environment (3.11 to 3.13), and extras to install besides: `make setup EXTRAS=gpu`.
PYTHON ?= python3
EXTRAS ?=
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup demo try repro fanout report check review speed verify test torture soak audit lint lock clean

help: ## Show what can be done here
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 10

setup: .venv/ready ## Make .venv with the pinned packages
	@$(if $(EXTRAS),.venv/bin/pip install --quiet --constraint .venv/constraints.txt --editable '.[$(EXTRAS)]')

.venv/ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "regbench: Python 3.11 to 3.13 is needed; name one: make setup PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	.venv/bin/pip install --quiet --require-hashes --requirement requirements.lock
	.venv/bin/pip freeze > .venv/constraints.txt
	.venv/bin/pip install --quiet --no-deps --no-build-isolation --editable .
	.venv/bin/regbench merge install
	@touch $@

demo: setup ## A minute: a net that stops learning, its diagnosis, and the fix
	@regbench demo

JOBS ?= 1
repro: setup ## Bring all results up to date, JOBS=N rows at once
	regbench repro --jobs $(JOBS)

fanout: setup ## The same on a Dask cluster: CLUSTER=tcp://host:8786, CLUSTER="slurm --jobs 20" (EXTRAS=cluster)
	regbench fanout $(CLUSTER)

report: setup ## Write results/report.html, one page with everything, and the README's overview; check every table
	dvc repro report answers overview grid
	regbench readme
	@$(MAKE) --no-print-directory check
	@echo "file://$(CURDIR)/results/report.html"

check: setup ## Compare every table with what the records give
	python -m stages.aggregate --check
	python -m stages.plot --check
	python -m stages.answers --check
	python -m stages.overview --check
	python -m stages.grid --check
	regbench readme --check

BASE ?= main
review: setup ## Say what is not up to date and what this change does to the results (BASE=any Git revision)
	@regbench review '$(BASE)'

DEVICE ?= cpu
speed: setup ## Time the engine beside Keras and JAX (ONLY=study, ROUNDS=, DEVICE=gpu)
	dvc repro compose
	regbench speed --device $(DEVICE) $(if $(ONLY),--only $(ONLY)) $(if $(ROUNDS),--rounds $(ROUNDS))

verify: setup ## Train a few committed rows again and compare (KEYS="study/row ...", ROWS=3, SEED=)
	dvc repro compose
	regbench verify $(KEYS) $(if $(ROWS),--rows $(ROWS)) $(if $(SEED),--seed $(SEED))

test: setup ## Run the tests; all of them, those of minutes too, with ALL=1
	python -m pytest $(if $(ALL),-m "")

torture: setup ## Kills, full disks, broken configurations, at length (15 to 20 minutes): results/reliability.md
	regbench torture

soak: setup ## The pipeline again and again for MINUTES=60: does anything grow? results/reliability.md
	regbench soak $(if $(MINUTES),--minutes $(MINUTES))

try: setup ## Try overrides of a study's row: STUDY=digits_comparison SET="kernel.l2=1e-4,1e-2" (SEEDS=3)
	@regbench try '$(STUDY)' $(SET) $(if $(SEEDS),--seeds $(SEEDS))

audit: ## Look the pinned packages up in the database of known vulnerabilities (needs the network)
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(PYTHON) -m venv "$$folder" && \
		"$$folder/bin/pip" install --quiet pip-audit && \
		"$$folder/bin/pip-audit" --requirement requirements.lock --require-hashes --disable-pip --strict

lint: setup ## Check style, types and workflows
	ruff check .
	ruff format --check .
	mypy
	zizmor --offline --quiet .github/workflows

lock: ## Write requirements.lock anew for pyproject.toml, keeping what is pinned (needs the network; UPGRADE=package)
	@folder=$$(mktemp -d) && trap 'rm -rf "$$folder"' EXIT && $(PYTHON) -m venv "$$folder" && \
		"$$folder/bin/pip" install --quiet uv && \
		"$$folder/bin/uv" pip compile --quiet pyproject.toml --extra test --universal --python-version 3.11 \
			--generate-hashes --no-header --no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade-package $(UPGRADE)) \
			--output-file requirements.lock

clean: ## Remove what the pipeline can make again: build/, data/, caches of tools
	rm -rf build data .pytest_cache .ruff_cache .mypy_cache .hypothesis
