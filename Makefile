# make up: set everything up and run the product. make test: set up what tests need and run them.

.PHONY: help up dev test test-fast coverage newest lint lock bench bench-peers bench-search prove prove-rules django-suite clean
.DEFAULT_GOAL := help

PYTHON ?= $(or $(shell for python in python3 python3.13 python3.12 python3.11 python3.14 python; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done),python3)
RUN = .venv/bin/python
PACKAGES = cachecontrol catalog project
TEMPLATES = $(shell find $(PACKAGES) templates -name '*.html' 2>/dev/null)
# Versions that are locked stay, unless pyproject.toml asks for others; UPGRADE=--upgrade takes the newest.
LOCK = .venv/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras \
	--custom-compile-command 'make lock' $(UPGRADE)

help: ## Say what can be made
	@sed -n 's/^\([a-z-]*\):.*## /  make \1: /p' Makefile

up: export LOCAL = 1
up: .venv/requirements.txt ## Run the product: web, worker, beat and drain; PORT, DATABASE_URL and REDIS_URL are honoured
	@$(RUN) manage.py up

dev: export LOCAL = 1
dev: export DEBUG = 1
dev: .venv/requirements-dev.txt ## Run the reloading development server with the debug toolbar
	@$(RUN) manage.py up --prepare
	@$(RUN) manage.py runserver $(or $(PORT),8000)

test: .venv/requirements-dev.txt ## Run all tests; TESTS= names some, in pytest's way
	@$(RUN) -m pytest --numprocesses 2 --dist loadgroup $(TESTS)

test-fast: .venv/requirements-dev.txt ## Run within a minute what one runs after each edit: no slow test, no browser
	@$(RUN) -m pytest --quiet --numprocesses 2 --dist loadgroup -m 'not slow and not proof' $(TESTS)

coverage: .venv/requirements-dev.txt ## Run all tests, and hold how much of the product and of the protocol they run through
	@mkdir -p var
	@$(RUN) -m pytest --numprocesses 2 --dist loadgroup --cov --cov-report= --cov-report=json:var/coverage.json $(TESTS)
	@$(RUN) -m tests.gates.protocol var/coverage.json

newest: .venv/requirements-dev.txt ## Run the core's tests on the newest Python that is installed, and with the newest Django
	@mkdir -p var
	@$(RUN) -m tests.gates.newest

lint: export LOCAL = 1
lint: .venv/requirements-dev.txt ## Check style, types, requirements, dead code, the direction of imports, templates, migrations and settings
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy $(PACKAGES) tests
	PYTHONPATH=. .venv/bin/lint-imports
	$(RUN) -m deptry .
	$(RUN) -m deptry . --extend-exclude tests --optional-dependencies-dev-groups dev
	$(RUN) -m tests.gates.lock
	$(RUN) -m tests.gates.dead
	$(if $(TEMPLATES),.venv/bin/djade --check --target-version 5.2 $(TEMPLATES))
	$(RUN) manage.py makemigrations --check --dry-run
	LOCAL=0 SECRET_KEY=$$($(RUN) -c 'import secrets; print(secrets.token_urlsafe(50))') ALLOWED_HOSTS=shop.example \
		DATABASE_URL=postgres://db.example/larder REDIS_URL=redis://cache.example $(RUN) manage.py check --deploy --fail-level WARNING

lock: .venv/requirements-dev.txt ## Write the requirements of pyproject.toml, and what they require, into requirements*.txt
	@$(LOCK) --output-file requirements.txt
	@$(LOCK) --output-file requirements-dev.txt --extra dev --constraints requirements.txt

bench: .venv/requirements-dev.txt ## Measure the cache against Django's and without one
	@$(RUN) -m tests.bench

bench-peers: .venv/requirements-dev.txt ## Measure it over HTTP beside nginx and other caches, into docs/performance.md; ARGS= goes to the command
	@$(RUN) -m tests.bench.http $(ARGS)

bench-search: .venv/requirements-dev.txt ## Measure what search finds and how long it takes, into docs/performance.md; ARGS= goes to the command
	@$(RUN) -m tests.bench.search $(ARGS)

prove: .venv/requirements-dev.txt ## Run real processes under faults and judge every answer of the cache; ARGS= goes to the command
	@$(RUN) manage.py prove $(ARGS)

prove-rules: .venv/requirements-dev.txt ## Show that the proof finds a violation when any one rule of the protocol is switched off
	@$(RUN) -m pytest -m '' tests/cachecontrol/prove/test_mutations.py

django-suite: .venv/requirements-dev.txt ## Run Django's own tests with every queryset cached
	@$(RUN) -m tests.django_suite

clean: ## Stop the local services; delete their data and everything else that was made, but the virtual environment
	@test ! -x $(RUN) || $(RUN) manage.py services remove
	rm -rf var .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# The copy of a requirements file in .venv is what was installed: another checkout's or branch's times do not matter.
.venv/requirements.txt: requirements.txt .venv/bin/pip
	@cmp -s $< $@ || { echo "Packages …" && $(RUN) -m pip install --quiet --disable-pip-version-check -r $<; }
	@cp $< $@

.venv/requirements-dev.txt: requirements-dev.txt .venv/requirements.txt
	@cmp -s $< $@ || { echo "Packages for development …" && $(RUN) -m pip install --quiet --disable-pip-version-check -r $<; }
	@cp $< $@

.venv/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Larder needs Python 3.11 or newer, this is %s; set PYTHON=." % sys.version.split()[0])'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python cannot make virtual environments here: install python3-venv." >&2; exit 1; }
	@$(PYTHON) -c 'import shutil, sys; free = shutil.disk_usage(".").free >> 20; sys.exit(free < 1024 and "The disk is full: %d MB free, 1024 MB are needed." % free)'
	@echo "Virtual environment …" && $(PYTHON) -m venv .venv
