# Every task of the project. `make help` lists them; README.md explains them.

PYTHON ?= python3
# PAGES, its older name, means the same.
SOURCES ?= $(or $(PAGES),data/_cache)
CACHES ?= caches
PORT ?= 8001
SKIP_BAD ?=
BUILD_OPTIONS ?= $(if $(SKIP_BAD),--skip-bad)
# The shell takes them from the environment, whatever characters are in them.
export SOURCES CACHES

# Hands the sources to a command as "$$@": what is there under the whole name is one path, with
# whatever spaces are in it; otherwise there are several, with spaces between.
EACH_SOURCE = set -f; if [ -e "$$SOURCES" ]; then set -- "$$SOURCES"; else set -- $$SOURCES; fi;

VENV = .venv
PY = $(VENV)/bin/python
DB = spack-cache.db
INSPECT = spack-cache-inspect.json
READY = $(VENV)/.ready
TEST_READY = $(VENV)/.test-ready
PIP_INSTALL = $(PY) -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL = build
.DELETE_ON_ERROR:
.PHONY: build serve fetch test check format pictures lock bench clean help

## build: the environment in .venv and the database from SOURCES=data/_cache (this is the default)
build: $(INSPECT)

## serve: build, then Datasette on http://127.0.0.1:$(PORT)/
serve: build
	@options=$$($(PY) -m publish options $(DB) $(INSPECT)) && \
	    eval "$(VENV)/bin/datasette serve $$options --port $(PORT)"

## fetch: today's build caches into caches/; RELEASES="develop", STACKS=, MIRROR=URL, SIZES=1; then
##     make serve SOURCES=caches
fetch: $(READY)
	@set -f; \
	for release in $$RELEASES; do set -- "$$@" "--release=$$release"; done; \
	for stack in $$STACKS; do set -- "$$@" "--stack=$$stack"; done; \
	$(PY) -m etl fetch $${SIZES:+--sizes} "$$@" -- "$$CACHES" $$MIRROR

## test: all tests
test: $(TEST_READY)
	$(PY) -m pytest

## check: style, types, and that generated texts are up to date
check: $(TEST_READY)
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/cog --check README.md metadata.yml
	$(PY) -m pytest --quiet tests/web/test_metadata.py

## format: correct the style and write the generated texts again
format: $(TEST_READY)
	$(VENV)/bin/ruff check --fix
	$(VENV)/bin/ruff format
	$(VENV)/bin/cog -r README.md metadata.yml

## bench: measure building and serving, write benchmarks/RESULTS.md; BENCH_OPTIONS="--size full"
bench: $(TEST_READY)
	$(PY) -m benchmarks $(BENCH_OPTIONS)

## pictures: take the README's pictures again, of what `make serve` serves meanwhile
pictures: $(TEST_READY)
	$(PY) docs/pictures.py http://127.0.0.1:$(PORT)

## lock: write the lock files again, with the newest versions that pyproject.toml allows
lock: $(TEST_READY)
	$(PIP_INSTALL) uv
	$(VENV)/bin/uv pip compile pyproject.toml --upgrade $(LOCK_OPTIONS) -o requirements.lock
	$(VENV)/bin/uv pip compile pyproject.toml --upgrade --all-extras -c requirements.lock \
	    $(LOCK_OPTIONS) -o requirements-test.lock

LOCK_OPTIONS = --quiet --universal --generate-hashes --no-header --no-emit-index-url \
    --no-emit-find-links --python-version 3.11

## clean: remove everything that make made
clean:
	rm -rf $(VENV) $(DB) $(INSPECT) dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

## help: this list
help:
	@sed -n 's/^##     /         /p; s/^## /make /p' $(MAKEFILE_LIST)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	    { echo 'Python 3.11 or later is needed: make PYTHON=/path/to/python3.11'; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(PIP_INSTALL) --require-hashes --no-deps -r requirements.lock
	@# Setuptools warns that etl/ and web/ lie in this folder, which is what is wanted.
	PYTHONWARNINGS=ignore $(PIP_INSTALL) --no-build-isolation --no-deps --editable .
	@touch $@

$(TEST_READY): $(READY) requirements-test.lock
	$(PIP_INSTALL) --require-hashes --no-deps -r requirements-test.lock
	@touch $@

# The build itself sees whether a source changed: by contents, which is sure, and in little time.
$(DB): $(READY) FORCE
	@$(EACH_SOURCE) $(PY) -m etl build $(BUILD_OPTIONS) $(DB) "$$@"

$(INSPECT): $(DB)
	$(VENV)/bin/datasette inspect $(DB) --inspect-file $@

FORCE:

include publish.mk
