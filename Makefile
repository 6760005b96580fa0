# Each target sets up what it needs. `make help` lists them.
#   make report DATA=<folder>   your own CT, or DeepLesion, instead of the phantom
#   make report SEEDS=5         repeat training over seeds
#   make report CORES=8         how many cores the whole run may use (default: all)

SHELL := /bin/sh
DATA ?=
SEEDS ?=
CORES ?= all
PROFILE ?=
ARGS ?=
# Tests: a file at a time to each of two processes, in the order of tests/conftest.py (slow first).
WORKERS ?= 2
SIDE_BY_SIDE := -n $(WORKERS) --dist loadfile --no-loadscope-reorder
LAB_IP ?= 127.0.0.1
HOST ?=
CERTIFICATE ?=
KEY ?=

# An active conda environment (not base) is used as it is; otherwise a virtual environment here.
ifneq ($(filter-out base,$(CONDA_DEFAULT_ENV)),)
VENV := $(CONDA_PREFIX)
else
VENV ?= .venv
endif
BASE_PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || \
  command -v python3)
BIN := $(VENV)/bin
STAMP := $(VENV)/.camreader-installed
# A folder made by `camreader new` has no package of its own: the one that is installed serves it.
ifeq ($(wildcard pyproject.toml),)
BIN := $(patsubst %/,%,$(dir $(shell command -v camreader)))
STAMP :=
endif

# Reads what pip says and shows a counter instead; fails as pip does, with pip's own last words.
define COUNT
import collections, sys
total, seen, last, live = int(sys.argv[1]), 0, collections.deque(maxlen=20), sys.stdout.isatty()
for line in sys.stdin:
    last.append(line)
    seen += line.startswith(("Collecting", "Requirement already"))
    if live and seen and line.startswith(("Collecting", "  Downloading", "Requirement already")):
        print("\r\033[2K  %d of about %d packages: %s" % (min(seen, total), total, line.split()[-1][-50:]), end="", flush=True)
    elif not live and line.startswith("Collecting") and seen % 25 == 0:
        print("  %d of about %d packages" % (min(seen, total), total), flush=True)
    elif line.startswith("Installing collected"):
        print(("\r\033[2K" if live else "") + "  all fetched; unpacking them (a minute or two) ...", flush=True)
if last and last[-1].strip() == "pip is done":
    sys.exit(0)
sys.exit("".join(last))
endef
export COUNT
PIP := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off

.PHONY: help env report test test-all lab read paper bench gallery refusals deeplesion dist docs pins lint clean

help:
	@echo "make report [DATA=folder] [SEEDS=n] [PROFILE=slurm]  the whole study -> reports/index.html"
	@echo "make lab        JupyterLab on the notebooks"
	@echo "make read       the reading session, as a page for a radiologist; HOST=0.0.0.0 for a room"
	@echo "make paper      the last report as a paper: reports/paper.pdf and .docx"
	@echo "make test       the tests; make test-all  the longest as well; make lint  the style checks"
	@echo "make bench      speed and memory against peers -> reports/benchmarks.html"
	@echo "make deeplesion ZIPS=1-3 DEST=folder   fetch parts of DeepLesion"
	@echo "make docs       README and docs/ as a site -> site/index.html"
	@echo "make dist       the release: archive and wheel -> dist/"
	@echo "make clean      remove results (keeps the environment, the reading log and downloads)"

env: $(STAMP)

# The stamp comes last: an interrupted set-up leaves none, and the next call repairs what is there.
$(STAMP): requirements.txt pyproject.toml
	@test -n "$(BASE_PYTHON)" || { echo "Python 3.11 to 3.13 is needed and no python3 was found"; exit 1; }
	@$(BASE_PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(not (3, 11) <= v <= (3, 13) and \
	  "Python 3.11 to 3.13 is needed, found %d.%d; set BASE_PYTHON=/path/to/python3.11" % v)'
	@if [ "$(VENV)" != "$(CONDA_PREFIX)" ]; then $(BASE_PYTHON) -m venv $(VENV); fi
	@echo "Installing the pinned packages into $(VENV) (once; torch is large: some minutes) ..."
	@{ $(if $(TORCH_INDEX),$(PIP) --index-url $(TORCH_INDEX) torch==2.15.0 torchvision==0.29.2 && )\
	  $(PIP) -r requirements.txt 2>&1 && echo "pip is done"; } | \
	  $(BASE_PYTHON) -c "$$COUNT" $$(grep -c == requirements.txt)
	@$(PIP) --quiet --no-deps --no-build-isolation -e .
	@touch $@

report: $(STAMP)
	@$(BIN)/camreader report --cores $(CORES) $(if $(DATA),--data "$(DATA)") \
	  $(if $(SEEDS),--seeds $(SEEDS)) $(if $(PROFILE),--profile profiles/$(PROFILE)) -- $(ARGS)

test: $(STAMP) lint
	@$(BIN)/python -m pytest $(if $(ARGS),$(ARGS),-m "not long" $(SIDE_BY_SIDE))

test-all: $(STAMP) lint
	@$(BIN)/python -m pytest $(SIDE_BY_SIDE)

lint: $(STAMP)
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/lint-imports --no-logo && \
	  $(BIN)/mypy

lab: $(STAMP)
	@$(BIN)/jupyter lab --ServerApp.ip=$(LAB_IP) --ServerApp.root_dir=notebooks \
	  --LabApp.default_url=/lab/tree/start.ipynb $(ARGS)

read: $(STAMP)
	@$(BIN)/camreader read $(if $(HOST),--host "$(HOST)" $(if $(CERTIFICATE),--certificate \
	  "$(CERTIFICATE)" --key "$(KEY)",--self-signed)) $(ARGS)

bench: $(STAMP)
	@$(BIN)/python tests/bench/run.py $(ARGS)

paper: $(STAMP)
	@$(BIN)/camreader paper $(ARGS)

gallery: $(STAMP)
	@$(BIN)/python tools/gallery.py $(ARGS)

# docs/refusals.md is read from the code: run after changing a refusal.
refusals: $(STAMP)
	@$(BIN)/python tools/refusals.py

deeplesion: $(STAMP)
	@$(BIN)/camreader download --zips "$(ZIPS)" --dest "$(DEST)" $(ARGS)

# The source archive and the wheel, made from the archive alone.
dist: $(STAMP)
	@rm -rf dist && $(BIN)/python -m build --no-isolation

# README and docs/ as a site, complete without a network; a link that leads nowhere stops it (not with
# --quiet, which silences the warnings that --strict counts).
docs: $(STAMP)
	@$(BIN)/mkdocs build --strict && echo "The documentation: site/index.html"

# Run after changing a dependency in pyproject.toml; needs uv, which the users of the pins do not.
pins:
	@uv pip compile --quiet --universal --python-version 3.11 --extra dev --no-annotate --no-header \
	  pyproject.toml > requirements.txt.new && mv requirements.txt.new requirements.txt

clean:
	@rm -rf data/cohorts data/runs reports/figures reports/tables reports/notebooks reports/logs \
	  reports/benchmarks reports/*.html .snakemake site dist
