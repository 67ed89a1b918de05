# Handing the site to others; included by the Makefile, whose variables it uses. TARGET, SERVICE,
# PROJECT, REGION, LIVE, FORCE, OPTIONS, RELEASES and SOURCE reach the commands as environment:
# `python -m publish deploy --help` and `python -m publish pages --help` explain them.

.PHONY: verify bundle publish pages dist

# The pages that are part of the project are never fetched over.
export FETCH_INTO = $(if $(filter data/_cache,$(PAGES)),pages,$(PAGES))

## verify: prove that the database holds every fact of the pages and nothing else
verify: build
	@$(PY) -m etl verify $(DB) "$$PAGES"

# Two hosts are plugins of Datasette, which come with the packages for tests.
publish: $(if $(filter fly vercel,$(TARGET)),$(TEST_READY),$(READY))

## publish: deploy to TARGET=cloudrun, fly, vercel or heroku; SERVICE=, PROJECT=, REGION=
publish:
	@$(PY) -m publish check
	@$(MAKE) --no-print-directory build
	@$(PY) -m publish deploy $(DB) "$$PAGES"

## bundle: dist/bundle, from which Docker builds the site on any host
bundle: build
	@$(PY) -m publish bundle $(DB) "$$PAGES" dist/bundle

## pages: fetch the pages of RELEASES="develop v0.23.1" (or all) into pages/; then make PAGES=pages
pages: $(READY)
	@$(PY) -m publish pages "$$FETCH_INTO"

## dist: the database compressed, its tables as CSV and Parquet, checksums, a data package
dist: build $(TEST_READY)
	@$(PY) -m publish dist $(DB) dist
