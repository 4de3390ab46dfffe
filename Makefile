# The two commands: `make run` (the demo, from nothing to a report) and `make test`. The rest are developers' habits: `make help`.
SHELL := /bin/bash
PYTHON ?= python3
BIN := .venv/bin
CONFIG ?= config/config.yaml
PROFILE ?= profiles/local
SCRATCH ?= benchmarks/scratch
export PYTHONPATH := workflow

.PHONY: run test test-random mutants test-slow test-slurm lint format bench calibrate bench-grid bench-8b bench-maps bench-report bench-statistics bench-languages bench-gpu demo-model docs hooks release-check profile clean help

run: .venv/ready ## run the workflow (the demo; CONFIG=my.yaml for yours) and write the report
	@echo "== running the workflow on $(CONFIG)"
	@$(BIN)/python -m tli grid "$(CONFIG)" > /dev/null # a mistake in it, with file and line; of what is no YAML Snakemake names neither
	@$(BIN)/snakemake --profile "$(PROFILE)" --configfile "$(CONFIG)"
	@echo "== next, in this shell: source .venv/bin/activate   (it finds tli and snakemake; README.md goes on from there)"

test: .venv/ready ## run the quick tests, in two processes (TESTS=tests/unit for some of them), and tell the slowest twenty
	@echo "== running the tests"
	@$(BIN)/python -m pytest -q -n 2 --dist loadfile --durations=20 $(TESTS)

test-random: .venv/ready ## the unit tests in an order drawn anew: none may rest on another
	@$(BIN)/python -m pytest -q -n 2 -o addopts="-ra --strict-markers" tests/unit

mutants: .venv/ready ## plant 40 faults into metrics, statistics and splits, one at a time, and tell what no test notices (goes on where it stopped)
	@$(BIN)/python benchmarks/mutants.py

test-slow: .venv/ready ## run the slow tests too
	@$(BIN)/python -m pytest -q --slow $(TESTS)

test-slurm: .venv/ready ## start a SLURM on this machine and try the workflow and its faults on it (about 20 minutes)
	@$(BIN)/python -m pytest -q --slow --slurm tests/slurm

bench: .venv/ready ## time the shortcuts against the plain way, as ratios
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/ratios.py && OMP_NUM_THREADS=1 $(BIN)/python benchmarks/scaling.py

calibrate: .venv/ready ## how often a verdict is false: 2,000 planted experiments a design (hours; goes on where it stopped), into docs/calibration.md
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/calibrate.py --worlds 2000 --processes 2

bench-grid: .venv/ready ## time a small grid through Snakemake against one job a run
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/grid.py

bench-8b: .venv/ready ## scan, train and evaluate at the shape of an 8B Llama; writes 15 GiB below SCRATCH and removes them
	@$(BIN)/python benchmarks/eight_billion.py --scratch "$(SCRATCH)" --threads 2

bench-maps: .venv/ready ## six free maps at every hidden state of an 8B's shape
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/maps.py --write

bench-report: .venv/ready ## the report of 600 cells: seconds, memory, size, and how soon it opens in Chromium
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/report_scale.py --write

bench-statistics: .venv/ready ## the statistics of a large grid: 3 models, 5 pairs, 20 cells, 10 seeds, 5 folds, 700 words
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/statistics_scale.py --write

bench-languages: .venv/ready ## config/languages.yaml on the demo model: LISTS=FOLDER with the lists of GATITOS
	@OMP_NUM_THREADS=1 $(BIN)/python benchmarks/languages.py "$(LISTS)"

bench-gpu: .venv/ready ## the same on a GPU
	@$(BIN)/python benchmarks/gpu.py --scratch "$(SCRATCH)"

lint: .venv/ready ## check style, types and workflow
	@$(BIN)/ruff check workflow tests benchmarks docs
	@$(BIN)/ruff format --check workflow tests benchmarks docs
	@$(BIN)/mypy
	@$(BIN)/snakefmt --check workflow
	@$(BIN)/snakemake --lint --configfile config/config.yaml

format: .venv/ready ## put code into the project's form
	@$(BIN)/ruff check --fix workflow tests benchmarks docs
	@$(BIN)/ruff format workflow tests benchmarks docs
	@$(BIN)/snakefmt workflow

docs: .venv/ready ## write the pages of documentation to .site/index.html, offline; a broken link stops it
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet && echo "== .site/index.html"

hooks: .venv/ready ## let git run `make lint`'s habits before each commit (pre-commit; nothing is fetched)
	@$(BIN)/pre-commit install

release-check: ## what must be true before a version is tagged; in a clean clone the two commands and the documentation
	@.ci/release-check

demo-model: .venv/ready ## make resources/demo/model again
	@$(BIN)/python -m tli demo

profile: ## let `snakemake --profile slurm` find profiles/slurm
	@mkdir -p "$${XDG_CONFIG_HOME:-$$HOME/.config}/snakemake"
	@ln -sfn "$(CURDIR)/profiles/slurm" "$${XDG_CONFIG_HOME:-$$HOME/.config}/snakemake/slurm"
	@echo "snakemake --profile slurm now reads profiles/slurm of this folder"

clean: ## remove the environment and the demo's results
	rm -rf .venv results .snakemake

help: ## list these commands
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

# PyTorch goes first: with it in place the others ask for no other build. Whatever environment.yml lists under pip is installed.
.venv/ready: environment.yml pyproject.toml
	@echo "== making the environment in .venv (once; a few minutes)"
	@start=$$(date +%s); set -euo pipefail; \
	"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "Python 3.11 is needed; $(PYTHON) is $$("$(PYTHON)" --version). Give it as: make PYTHON=/path/to/python3.11"; exit 1; }; \
	[ -x $(BIN)/python ] || "$(PYTHON)" -m venv .venv; \
	sed -n 's/^ *- \([A-Za-z0-9_.-]*==[^ ]*\).*/\1/p' environment.yml > .venv/requirements.txt; \
	echo "   installing PyTorch"; $(BIN)/python -m pip install -q --disable-pip-version-check "$$(grep '^torch==' .venv/requirements.txt)"; \
	echo "   installing the rest"; $(BIN)/python -m pip install -q --disable-pip-version-check -r .venv/requirements.txt; \
	$(BIN)/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	touch .venv/ready; echo "   done in $$(( $$(date +%s) - start )) s"
