# The common commands. `make demo` and `make test` need only Python >= 3.11, git and make.
PYTHON ?= python3
VENV   := .venv
PY     := $(VENV)/bin/python
STAMP  := $(VENV)/.installed
TESTS  ?= tests
LOCKS  := requirements/run.txt requirements/dev.txt

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-slow soak bench bench-page check lock picture dashboards dashboard-pictures wheel clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

setup: $(STAMP)  ## create .venv from the locks (run by itself when needed)

$(STAMP): $(LOCKS) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "This project needs Python 3.11 or newer; set PYTHON=/path/to/python3.11"; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "Python's venv module is missing; on Debian: apt-get install python3-venv"; exit 2; }
	@test -x $(PY) || $(PYTHON) -m venv $(VENV)
	@echo "Installing the locked dependencies into $(VENV) ..."
	@$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

demo: $(STAMP)  ## watch agents being stranded, with no server and no key
	@$(PY) -m watchdog demo $(ARGS)

check: $(STAMP)  ## lint, types, import rules
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy
	$(VENV)/bin/lint-imports --no-cache

test: check  ## every check and the tests (under 12 minutes on 2 cores)
	$(PY) -m pytest -n 2 --dist loadgroup -m "not slow" $(TESTS)

test-slow: $(STAMP)  ## the tests that take longer
	$(PY) -m pytest -m slow $(TESTS)

soak: $(STAMP)  ## the proof at any size on both cores: make soak SEED=1 STEPS=100000
	$(PY) -m tests.proof.run --seed $(or $(SEED),1) --steps $(or $(STEPS),100000)

bench: $(STAMP)  ## one project, 100,000 rooms: the watchdog beside a bare list_rooms (about 5 minutes)
	$(PY) -m benchmarks.scale

bench-page: $(STAMP)  ## put what `make bench` measured into docs/performance.md
	$(PY) -m benchmarks.scale --page

lock: $(STAMP)  ## compile requirements/*.txt anew from pyproject.toml
	$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --extra notify --extra postgres pyproject.toml --output-file requirements/run.txt
	$(PY) -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	  --constraint requirements/run.txt pyproject.toml --group dev --output-file requirements/dev.txt

picture: $(STAMP)  ## draw docs/demo.svg anew
	$(PY) docs/make_demo_picture.py

dashboards: $(STAMP)  ## write grafana/dashboards/*.json anew
	$(PY) -m grafana.build

dashboard-pictures: $(STAMP)  ## draw docs/dashboard-*.png anew (over three minutes; needs prometheus)
	$(PY) -m docs.make_dashboard_pictures

wheel: $(STAMP)  ## build the wheel into dist/
	$(PY) -m build --wheel --no-isolation --outdir dist .

clean:  ## remove what the commands above made
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
