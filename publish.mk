# Handing the site to others; included by the Makefile, whose variables it uses. TARGET, SERVICE,
# PROJECT, REGION, LIVE, FORCE, OPTIONS, RELEASES and SOURCE reach the commands as environment:
# `python -m publish deploy --help` and `python -m publish pages --help` explain them.

.PHONY: verify bundle publish pages dist

# The pages that are part of the project are never fetched over.
export FETCH_INTO = $(if $(filter-out data/_cache,$(PAGES)),$(PAGES),pages)

## verify: prove that the database holds every fact of SOURCES and nothing else
verify: build
	@$(EACH_SOURCE) $(PY) -m etl verify $(DB) "$$@"

# Two hosts are plugins of Datasette, which come with the packages for tests.
publish: $(if $(filter fly vercel,$(TARGET)),$(TEST_READY),$(READY))

## publish: deploy to TARGET=cloudrun, fly, vercel or heroku; SERVICE=, PROJECT=, REGION=
publish:
	@$(PY) -m publish check
	@$(MAKE) --no-print-directory build
	@$(EACH_SOURCE) $(PY) -m publish deploy $(DB) "$$@"

## bundle: dist/bundle, from which Docker builds the site on any host
bundle: build
	@$(EACH_SOURCE) $(PY) -m publish bundle $(DB) "$$@" dist/bundle

## pages: fetch the old pages of RELEASES="develop v0.23.1" (or all) into pages/; then
##     make serve SOURCES=pages SKIP_BAD=1
pages: $(READY)
	@$(PY) -m publish pages "$$FETCH_INTO"

## dist: the database compressed, its tables as CSV and Parquet, checksums, a data package
dist: build $(TEST_READY)
	@$(PY) -m publish dist $(DB) dist
