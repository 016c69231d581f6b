# Every target makes the environments that it needs; Python 3.11 or newer is all that must be installed.
#
#   make run            the relay with its chat page, on the embedded broker: http://127.0.0.1:8080/
#   make test           the tests
#   make test COVER=1   the tests, and the coverage that must hold
#   make test-clients   the tests with the SDKs of Centrifugo: real processes, three minutes; an SDK is skipped unless
#                       Node, Go, or Java with Maven are installed
#   make docs-test      the commands and examples of README.md and docs/, as printed; those of proxies and browsers are
#                       skipped unless nginx, haproxy, caddy, chromium and curl are installed
#   make lint           formatting, types, and the layers of imports
#   make bench          costs of the relay beside other servers: tables, JSON and a picture; more than an hour, or
#                       ARGS='--only echo,return', each the table of its name, or ARGS=--quick
#   make faults         real relays, real Redis, and everything that can break between them: five minutes
#   make soak           relays and Redis restarted at random, and every entry accounted for: ARGS='--minutes 10'
#   make attack         real relays, and every known attack on them: half a minute
#   make model          random walks in search of holes in recovery, on a model and on real servers: a minute
#   make conformance    the Autobahn test suite against the relay's sockets; skipped without CPython 2.7
#   make audit          pinned versions compared with published advisories
#   make docs           the generated pages of docs/
#   make pins           requirements*.txt from the installed releases
#   make clean          remove environments, caches and build results
#
# ARGS are passed on: make faults ARGS='--only failover'

PYTHON ?= python3
BIN := .venv/bin
# How many processes run the tests. Attacks and faults run by themselves: they judge what is in time.
JOBS ?= 2
ALONE := tests.integration.test_attacks tests.integration.test_faults
# Those with SDKs and those of the documents have targets of their own: they need more than Python.
SIDE_BY_SIDE := $(filter-out tests.integration tests.clients tests.docs tests.support,$(patsubst tests/%/__init__.py,tests.%,$(wildcard tests/*/__init__.py)) \
	$(patsubst tests/%.py,tests.%,$(wildcard tests/test_*.py))) \
	$(filter-out $(ALONE),$(patsubst tests/integration/%.py,tests.integration.%,$(wildcard tests/integration/test_*.py)))
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: run test test-clients docs-test lint audit bench faults soak attack model conformance docs pins clean

run: .venv/run
	@$(BIN)/twistd --nodaemon --pidfile= wsrelay $(ARGS)

# Coverage: every line of the packages that know no network, 95 % of all lines.
PURE := wsrelay/core/*,wsrelay/dialects/*,wsrelay/engine/hub.py,wsrelay/engine/topic.py

test: .venv/dev
ifdef COVER
	$(BIN)/coverage erase
	$(BIN)/coverage run $(BIN)/trial -j$(JOBS) $(SIDE_BY_SIDE); status=$$?; \
	$(BIN)/coverage run $(BIN)/trial $(ALONE) && exit $$status
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=95
	$(BIN)/coverage report --include='$(PURE)' --fail-under=100
else
	$(BIN)/trial -j$(JOBS) $(SIDE_BY_SIDE); status=$$?; \
	$(BIN)/trial $(ALONE) && exit $$status
endif

# An SDK whose tools are missing is not built; its tests are then skipped, or fail in CI. Most of the time is spent waiting.
SDKS := tests/clients/programs
NODE_SDK := $(SDKS)/javascript/node_modules/.package-lock.json
GO_SDK := $(SDKS)/go/build/client
JAVA_SDK := $(SDKS)/java/build/classes/TestClient.class
BUILT_SDKS := $(if $(shell command -v npm),$(NODE_SDK)) $(if $(shell command -v go),$(GO_SDK)) \
	$(if $(and $(shell command -v mvn),$(shell command -v javac)),$(JAVA_SDK))

test-clients: .venv/dev $(BUILT_SDKS)
	$(BIN)/trial -j4 tests.clients

$(NODE_SDK): $(SDKS)/javascript/package-lock.json
	npm ci --prefix $(SDKS)/javascript --ignore-scripts --no-audit --no-fund
	@touch $@

$(GO_SDK): $(wildcard $(SDKS)/go/*.go) $(SDKS)/go/go.mod $(SDKS)/go/go.sum
	cd $(SDKS)/go && GOTOOLCHAIN=local go build -o build/client .

$(JAVA_SDK): $(SDKS)/java/TestClient.java $(SDKS)/java/pom.xml
	mvn --quiet --batch-mode --file $(SDKS)/java dependency:copy-dependencies
	javac -d $(SDKS)/java/build/classes -cp '$(SDKS)/java/build/jars/*' $(SDKS)/java/TestClient.java

docs-test: .venv/dev
	$(BIN)/trial tests.docs

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --verbose
	$(BIN)/lint-imports --verbose --config engine.importlinter

faults: .venv/dev
	@$(BIN)/python -m devtools.faults run $(ARGS)

soak: .venv/dev
	@$(BIN)/python -m devtools.faults soak $(ARGS)

attack: .venv/dev
	@$(BIN)/python -m devtools.attacks run $(ARGS)

model: .venv/dev
	@$(BIN)/python -m devtools.model $(ARGS)

conformance: .venv/dev
	@$(BIN)/python -m devtools.conformance $(ARGS)

# Needs a quiet machine; ARGS="--quick" only checks that everything works. The relay that is measured runs in an
# environment of its own, see devtools/bench/setup.py.
bench: .venv/run
	$(BIN)/python -m devtools.bench setup
	$(BIN)/python -m devtools.bench run --plot docs/performance.png $(ARGS)

# pip-audit has an environment of its own, so that its dependencies are not among ours.
audit: .venv/dev .venv-audit/done
	@$(BIN)/python -m devtools.release.audit .venv-audit/bin/pip-audit

.venv-audit/done:
	@$(PYTHON) -m venv .venv-audit
	@.venv-audit/bin/python -m pip --quiet --disable-pip-version-check install 'pip-audit==2.10.1'
	@touch $@

docs: .venv/dev
	$(BIN)/python -m devtools.release.docs

pins: .venv/dev
	$(BIN)/python -m devtools.release.pins

# The pins without the line for the project itself, which is installed editable instead.
.venv/run: requirements.txt setup.cfg setup.py pyproject.toml | .venv/bin/python
	@grep -v '^\.' requirements.txt > .venv/pins.txt
	$(PIP) install -r .venv/pins.txt -e .
	@touch $@

.venv/dev: .venv/run requirements-dev.txt
	$(PIP) install -r .venv/pins.txt -r requirements-dev.txt -e '.[test,lint]'
	@touch $@

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'wsrelay needs Python 3.11 or newer; name it with: make PYTHON=python3.12'; exit 1; }
	@$(PYTHON) -m venv .venv || \
		{ echo 'No environment could be made. On Debian and Ubuntu: apt-get install python3-venv'; rm -rf .venv; exit 1; }

clean:
	rm -rf .venv .venv-audit devtools/bench/.cache devtools/conformance/.cache build dist _trial_temp* .coverage* .mypy_cache .ruff_cache .hypothesis *.egg-info tests/clients/programs/*/node_modules tests/clients/programs/*/build
