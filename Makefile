# Everything a contributor runs; `make` lists it. Virtual environments live in .venv/, test output in .reports/.
# Installing uses pip, so that a machine's own package index settings hold; what is installed is pinned by hash.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.ONESHELL:
.DELETE_ON_ERROR:
.SECONDARY:
.SUFFIXES:
MAKEFLAGS += --no-builtin-rules
.DEFAULT_GOAL := help

PYTHON ?= python3
ARGS ?=
LOCK_ARGS ?=

LANE3 := .venv/openai-3
BIN3 := $(LANE3)/bin
NEWER := $(if $(shell grep -s '^ID=debian' /etc/os-release),.venv/newer-debian)
LITELLM_BIN := $(CURDIR)/.venv/litellm/bin
REPORTS := .reports
BACKENDS := prometheus prometheus-alertmanager redis-server openssl
BROWSER := chromium chromium-driver
NEEDS_MORE := not litellm and not backend and not phoenix and not browser
OUT ?= $(REPORTS)/boards
LAB := $(REPORTS)/render
SHORT := overview upstream latency
LONG := spend slo
PIP_FLAGS := --quiet --quiet --disable-pip-version-check
METADATA := pyproject.toml huddle_otel/_version.py
EVERY_LANE := $(wildcard $(addprefix tests/,unit client gateway telemetry spend cli exporters stress))
OTHERS := official openllmetry openinference logfire langfuse
EXTRAS := otlp prometheus redis testing
SUITES := openai-1 openai-2 openai-3 backend browser frameworks-2 frameworks-3 litellm-1 litellm-2 litellm-3 wheel

unexport PYTHONPATH
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

# $(call venv,FOLDER,REQUIREMENTS): a new virtual environment that holds exactly the locked files.
# The lock is complete, so pip need not resolve; wheels only, so no compiler is needed. rotel, the tests' collector, needs
# Python's shared library, which Debian has in a package of its own.
define venv
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or newer is needed: make PYTHON=python3.12 ...' >&2; exit 1; }
$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo 'This Python cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv' >&2; exit 1; }
echo '-- $(1): installing $(2)'
$(PYTHON) -m venv --clear $(1)
$(1)/bin/pip install $(PIP_FLAGS) --no-deps --only-binary :all: --require-hashes -r $(2)
library="$$(ldd $(1)/lib/python*/site-packages/rotel/rotel-agent 2> /dev/null | sed -n 's/^.*\(libpython[0-9]\.[0-9]*\)\.so.* => not found/\1/p')" || true
if [ -n "$$library" ] && $(can_install); then
    $(call install,$$library)
fi
endef

# $(call pytest,SUITE,LANE,COMMAND): runs it, keeps the output for the closing lines, fails when it fails.
define pytest
mkdir -p $(CURDIR)/$(REPORTS)
echo '-- tests: $(1)'
HUDDLE_TEST_LANE=$(2) $(3) 2>&1 | tee $(CURDIR)/$(REPORTS)/$(1).log
endef

# $(call boards,NAMES): their files. The lab draws the short ones from an outage of minutes, the long ones from a month.
boards = $(patsubst %,dashboards/huddle_otel_dashboards/generated/boards/huddle-%.json,$(1))
DRAW = $(BIN3)/python -m tools.render.lab.serve
DRAWN = node tools/render/render.mjs --prometheus {url} --end {end} --out $(OUT) $(ARGS)

can_install = [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null

# $(call install,PACKAGES)
define install
echo "-- installing Debian packages: $(1)"
apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(1) > /dev/null
endef

# $(call debian,SUITE,COMMANDS,PACKAGES): installs packages that bring commands, as root on Debian; on other machines a
# suite is left out without them, but in CI that is a failure.
define debian
if [ "$$(command -v $(2) | wc -l)" != $(words $(2)) ]; then
    if $(can_install); then
        $(call install,$(3))
    elif [ -z "$${CI:-}" ]; then
        echo '-- $(1): left out, since these are not installed: $(3)'
        mkdir -p $(REPORTS)
        echo '=== left out in 0s ===' > $(REPORTS)/$(1).log
        exit 0
    fi
fi
endef

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: demo
demo: $(LANE3)/.ready ## Run the demo against the embedded gateway
	@$(BIN3)/huddle-otel demo $(ARGS)

.PHONY: stack
stack: $(LANE3)/.ready ## Watch the demo's traffic with a local Prometheus and Alertmanager, for five minutes
	@$(call debian,stack,prometheus prometheus-alertmanager,prometheus prometheus-alertmanager)
	$(BIN3)/huddle-otel demo --stack $(ARGS)

# --- tests ------------------------------------------------------------------------------------------------------------

.PHONY: test
test: $(addprefix test-,$(SUITES)) ## Run every test: three openai lanes, frameworks, a real LiteLLM proxy, the wheel
	@for suite in $(SUITES); do
	    echo "-- $$suite"
	    grep -E '^=+ .* in [0-9.]+s.* =+$$' $(REPORTS)/$$suite.log | tail -n 1
	done

.PHONY: test-quick
test-quick: $(LANE3)/.ready ## Run the tests on the newest openai only (ARGS='-k breaker')
	@HUDDLE_TEST_LANE=3 $(BIN3)/python -m pytest -m '$(NEEDS_MORE)' $(ARGS)

.PHONY: test-openai-1 test-openai-2
test-openai-1 test-openai-2: test-openai-%: .venv/openai-%/.ready
	@$(call pytest,openai-$*,$*,.venv/openai-$*/bin/python -m pytest -m '$(NEEDS_MORE)' $(EVERY_LANE))

.PHONY: test-openai-3
test-openai-3: $(LANE3)/.ready
	@$(BIN3)/coverage erase
	$(call pytest,openai-3,3,$(BIN3)/coverage run -m pytest -m '$(NEEDS_MORE)')
	$(BIN3)/coverage combine --quiet
	$(BIN3)/coverage report

.PHONY: test-backend
test-backend: $(LANE3)/.ready $(NEWER:%=%/.ready) ## Run the tests against real back ends, from Debian packages
	@$(call debian,backend,promtool amtool redis-server openssl,$(BACKENDS))
	$(if $(NEWER),export CI=1  # from here on what is missing is a failure)
	newer=$(CURDIR)/$(NEWER)/usr
	export HUDDLE_TEST_PROMETHEUS_3=$$newer/bin/prometheus HUDDLE_TEST_VMAGENT=$$newer/bin/vmagent
	export HUDDLE_TEST_VALKEY=$$newer/bin/valkey-server HUDDLE_TEST_COMPOSE=$$newer/libexec/docker/cli-plugins/docker-compose
	$(call pytest,backend,3,$(BIN3)/python -m pytest -m backend tests)

.PHONY: test-browser
test-browser: $(LANE3)/.ready $(LANE3)/.browser ## Run the tests of our pages in a real browser, from Debian packages
	@$(call debian,browser,chromedriver,$(BROWSER))
	export CI=1  # as above
	$(call pytest,browser,3,$(BIN3)/python -m pytest -m browser tests/browser)

.PHONY: test-phoenix
test-phoenix: $(LANE3)/.ready .venv/phoenix/.requirements ## Run the tests against a real trace UI, Arize Phoenix
	@export HUDDLE_TEST_PHOENIX=$(CURDIR)/.venv/phoenix/bin/phoenix
	$(call pytest,phoenix,3,$(BIN3)/python -m pytest -m phoenix tests/exporters)

.PHONY: test-litellm
test-litellm: $(addprefix test-litellm-,1 2 3) ## Run the tests against a real LiteLLM proxy

.PHONY: test-litellm-1 test-litellm-2 test-litellm-3
test-litellm-1 test-litellm-2 test-litellm-3: test-litellm-%: .venv/openai-%/.ready .venv/litellm/.requirements
	@export HUDDLE_TEST_LITELLM=$(LITELLM_BIN)
	$(call pytest,litellm-$*,$*,.venv/openai-$*/bin/python -m pytest -m litellm tests/litellm)

.PHONY: test-frameworks test-frameworks-2 test-frameworks-3
test-frameworks: test-frameworks-3 test-frameworks-2 ## Run the tests under frameworks and other instrumentations

# Frameworks leave sockets open, and what the collector says of that is not ours to fix.
test-frameworks-2 test-frameworks-3: test-frameworks-%: .venv/frameworks-%/.ready
	@export HUDDLE_TEST_FRAMEWORKS=$*
	$(call pytest,frameworks-$*,$*,.venv/frameworks-$*/bin/python -m pytest -W ignore tests/frameworks)

.PHONY: test-wheel
test-wheel: build .venv/wheel/.requirements ## Run the tests against the built wheel, away from the source tree
	@.venv/wheel/bin/pip install $(PIP_FLAGS) --no-deps --force-reinstall dist/*.whl
	away="$$(mktemp -d)"
	trap 'rm -rf "$$away"' EXIT
	tar --create --exclude node_modules pyproject.toml tests $(wildcard README.md docs tools stack) | tar --extract --directory "$$away"
	cd "$$away"
	$(call pytest,wheel,3,$(CURDIR)/.venv/wheel/bin/python -m pytest -m '$(NEEDS_MORE)')

.PHONY: bench
bench: $(LANE3)/.ready ## Measure what the middleware adds to a call
	@$(BIN3)/python -m tests.bench $(ARGS)
	$(BIN3)/python -m tests.bench.ledger
	if command -v redis-server > /dev/null; then $(BIN3)/python -m tests.bench.spending; fi

.PHONY: bench-boards
bench-boards: $(LANE3)/.ready ## Time the dashboards' queries on a day of a fleet's data
	@$(BIN3)/python -m tests.bench.boards $(ARGS)

.PHONY: bench-others
bench-others: $(LANE3)/.ready $(OTHERS:%=.venv/beside-%/.ready) ## Measure ours beside other instrumentations
	@$(BIN3)/python -m tests.bench.others $(ARGS)

.PHONY: storm
storm: .venv/beside-official/.ready ## Play outages with and without the middleware (ARGS=--quick)
	@.venv/beside-official/bin/python -m tests.bench.fleet
	.venv/beside-official/bin/python -m tests.bench.storm $(ARGS)

# --- code -------------------------------------------------------------------------------------------------------------

.PHONY: lint
lint: $(LANE3)/.ready $(LANE3)/.lint $(LANE3)/.browser ## Check style, formatting, types and import direction
	@$(BIN3)/ruff check
	$(BIN3)/ruff format --check
	$(BIN3)/mypy --strict
	$(BIN3)/pyright --warnings
	$(BIN3)/lint-imports

.PHONY: format
format: $(LANE3)/.lint ## Format the code and apply safe fixes
	@$(BIN3)/ruff check --fix --exit-zero
	$(BIN3)/ruff format

.PHONY: mutate
mutate: .venv/mutate/.requirements ## Change the policy in one place at a time: do its tests notice?
	@.venv/mutate/bin/python tools/mutate.py

.PHONY: charts
charts: $(LANE3)/.ready ## Renew the chart library our pages carry (ARGS=4.6.1), with npm
	@$(BIN3)/python tools/vendor_charts.py $(ARGS)

.PHONY: dashboards
dashboards: $(LANE3)/.ready ## Write the dashboards' JSON again
	@$(BIN3)/python -m huddle_otel_dashboards.boards

.PHONY: render
render: tools/render/node_modules/.ready $(if $(PROMETHEUS),,$(LAB)/outage/end $(LAB)/month/end) ## Draw the dashboards with @grafana/ui (PROMETHEUS=URL for your own data, BOARDS=FILES, OUT=FOLDER)
	@if [ -n '$(PROMETHEUS)' ]; then
	    node tools/render/render.mjs --prometheus '$(PROMETHEUS)' --out $(OUT) $(ARGS) $(or $(BOARDS),$(call boards,$(SHORT) $(LONG)))
	else
	    $(DRAW) $(LAB)/outage $(DRAWN) --range 10m $(call boards,$(SHORT))
	    $(DRAW) $(LAB)/month $(DRAWN) $(call boards,$(LONG))
	fi

.PHONY: test-render
test-render: tools/render/node_modules/.ready ## Check and test the code that draws the dashboards
	@npm --prefix tools/render run check
	npm --prefix tools/render test

.PHONY: build
build: .venv/build/.requirements ## Build the wheel and the sdist into dist/
	@rm -rf dist
	.venv/build/bin/python -m build --no-isolation

.PHONY: clean
clean: ## Remove everything that make or the tools made
	rm -rf .venv tools/render/node_modules $(REPORTS) dist build htmlcov .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache .coverage .coverage.*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --- set-up: each stamp is renewed when the files it depends on change ------------------------------------------------

.venv/wheel/.requirements: requirements/openai-3.txt
	@$(call venv,$(@D),$<)
	touch $@

# Prometheus 3, a collector that takes OTLP and writes on to Prometheus, Compose and Valkey: Debian 12 has older ones or
# none. This Valkey is the one built for it; the others run on any.
.venv/newer-debian/.ready: tools/newer_debian.sh
	@echo '-- $(@D): unpacking newer Debian packages'
	tools/newer_debian.sh forky $(@D) prometheus victoria-metrics docker-compose
	tools/newer_debian.sh bookworm-backports $(@D) valkey-server valkey-tools
	touch $@

.venv/%/.requirements: requirements/%.txt
	@$(call venv,$(@D),$<)
	touch $@

.venv/openai-%/.ready: .venv/openai-%/.requirements $(METADATA)
	@$(@D)/bin/pip install $(PIP_FLAGS) --no-deps --no-build-isolation --editable .
	touch $@

.venv/frameworks-%/.ready: .venv/frameworks-%/.requirements $(METADATA)
	@$(@D)/bin/pip install $(PIP_FLAGS) --no-deps --no-build-isolation --editable .
	touch $@

# Lane 3 with another instrumentation beside it.
.venv/beside-%/.ready: requirements/openai-3.txt requirements/beside-%.txt $(METADATA)
	@$(call venv,$(@D),$<)
	$(@D)/bin/pip install $(PIP_FLAGS) --no-deps --only-binary :all: --require-hashes -r requirements/beside-$*.txt
	$(@D)/bin/pip install $(PIP_FLAGS) --no-deps --no-build-isolation --editable .
	touch $@

# Lane 3 without the project: the tests of a mutant import the mutant.
.venv/mutate/.requirements: requirements/openai-3.txt requirements/mutate.txt
	@$(call venv,$(@D),$<)
	$(@D)/bin/pip install $(PIP_FLAGS) --no-deps --only-binary :all: --require-hashes -r requirements/mutate.txt
	touch $@

$(LANE3)/.lint $(LANE3)/.browser: $(LANE3)/.%: requirements/%.txt $(LANE3)/.requirements
	@echo '-- $(@D): installing $<'
	$(@D)/bin/pip install $(PIP_FLAGS) --no-deps --only-binary :all: --require-hashes -r $<
	touch $@

# A lock file of npm's records the host of a registry, so there is none: package.json pins what is used directly.
tools/render/node_modules/.ready: tools/render/package.json
	@$(call debian,render,chromium,chromium)
	echo '-- tools/render: installing package.json'
	npm install --prefix tools/render --loglevel error
	touch $@

$(LAB)/outage/end: | $(LANE3)/.ready
	@$(call debian,render,prometheus,$(BACKENDS))
	echo '-- $(@D): ten minutes of an outage, played and scraped'
	rm -rf $(@D)
	$(BIN3)/python -m tools.render.lab.outage $(@D) --rules dashboards/huddle_otel_dashboards/generated/alerts.yml

$(LAB)/month/end: | $(LANE3)/.ready
	@$(call debian,render,prometheus,$(BACKENDS))
	echo '-- $(@D): a month, simulated'
	rm -rf $(@D)
	$(BIN3)/python -m tools.render.lab.month $(@D)

# --- lock files -------------------------------------------------------------------------------------------------------

UV_COMPILE = .venv/bootstrap/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command 'make lock' $(LOCK_ARGS)

.PHONY: lock
lock: .venv/bootstrap/.requirements ## Pin the dependencies again (LOCK_ARGS=--upgrade for newer ones)
	@for lane in 1 2; do  # all extras but genai-prices, which brings httpx2: there, openai has none
	    $(UV_COMPILE) pyproject.toml $(EXTRAS:%=--extra %) requirements/openai-$$lane.in -o requirements/openai-$$lane.txt
	done
	$(UV_COMPILE) pyproject.toml --all-extras requirements/openai-3.in -o requirements/openai-3.txt
	for lane in 2 3; do
	    $(UV_COMPILE) pyproject.toml $(EXTRAS:%=--extra %) requirements/frameworks-$$lane.in -o requirements/frameworks-$$lane.txt
	done
	for name in $(OTHERS:%=beside-%) lint browser mutate build litellm phoenix bootstrap; do
	    $(UV_COMPILE) requirements/$$name.in -o requirements/$$name.txt
	done
