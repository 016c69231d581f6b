# Both of the first two set everything up by themselves; all they want is Python 3.11 or newer.
#
#   make run     the relay with its chat page, on the embedded broker: http://127.0.0.1:8080/
#   make test    the tests
#   make lint    formatting, types, and who may import whom
#   make test COVER=1   the tests, and the coverage that must hold
#   make bench   what it costs, beside others: tables, JSON and a picture
#   make faults  real relays, real Redis, and everything that can break between them: three minutes
#   make attack  real relays, and everything that should not be let in: half a minute
#   make conformance   the Autobahn test suite against the front door; wants a CPython 2.7, else skips
#   make audit   what is pinned, compared with published advisories
#   make docs    what is generated in docs/
#   make pins    requirements*.txt from the newest releases

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

.PHONY: run test lint audit bench faults attack conformance docs pins clean

run: .venv/run
	@$(BIN)/twistd --nodaemon --pidfile= wsrelay $(ARGS)

# Bounds: the pure rooms have no line that no test runs; everything together at most one in twenty.
PURE := wsrelay/core/*,wsrelay/dialects/*,wsrelay/engine/hub.py

test: .venv/dev
ifdef COVER
	$(BIN)/coverage erase
	$(BIN)/coverage run $(BIN)/trial tests
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report --fail-under=95
	$(BIN)/coverage report --include='$(PURE)' --fail-under=100
else
	$(BIN)/trial tests
endif

lint: .venv/dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --verbose

faults: .venv/dev
	@$(BIN)/python -m devtools.faults run $(ARGS)

attack: .venv/dev
	@$(BIN)/python -m devtools.attacks run $(ARGS)

conformance: .venv/dev
	@$(BIN)/python -m devtools.conformance $(ARGS)

# A quarter of an hour of a quiet machine; ARGS="--quick" looks whether it works.
bench: .venv/run
	$(BIN)/python -m devtools.bench setup
	$(BIN)/python -m devtools.bench run --plot docs/performance.png $(ARGS)

# In an environment of its own: what it needs is nobody else's affair.
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

# The pins without the line for the project itself, which is installed in place of it so that edits are seen.
.venv/run: requirements.txt setup.cfg setup.py pyproject.toml | .venv/bin/python
	@grep -v '^\.' requirements.txt > .venv/pins.txt
	$(PIP) install -r .venv/pins.txt -e .
	@touch $@

.venv/dev: .venv/run requirements-dev.txt
	$(PIP) install -r .venv/pins.txt -r requirements-dev.txt -e '.[test,lint]'
	@touch $@

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'wsrelay needs Python 3.11 or newer; say which with: make PYTHON=python3.12'; exit 1; }
	@$(PYTHON) -m venv .venv || \
		{ echo 'No environment could be made. On Debian and Ubuntu: apt-get install python3-venv'; rm -rf .venv; exit 1; }

clean:
	rm -rf .venv .venv-audit devtools/bench/.cache devtools/conformance/.cache build dist _trial_temp* .coverage* .mypy_cache .ruff_cache .hypothesis *.egg-info
