# Everything runs from .venv, which is made once from the locks; PYTHON chooses the interpreter it is made from.
PYTHON ?= python3.11
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input

# What the many processes of a stack or a test run share is compiled once, also where the environment says not to.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: setup run demo bench test chaos compose-test check lock

setup: .venv/dev.stamp

run: .venv/runtime.stamp
	$(BIN)/riskpool up --demo

demo: .venv/runtime.stamp
	$(BIN)/riskpool demo

bench: .venv/runtime.stamp
	$(BIN)/riskpool bench --save .bench/last.json $(if $(QUICK),--quick)

# Three files at a time: on two cores most of them wait for servers and browsers.
test: .venv/dev.stamp
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

# A random year with many faults; SEED=... repeats one (docs/faults.md).
chaos: .venv/dev.stamp
	FAULTS=$(or $(FAULTS),200) FUZZ=$(or $(FUZZ),100000) $(BIN)/pytest -s --show-capture=no -m "not compose" \
		tests/faults tests/system/test_faults.py tests/system/test_fuzz.py tests/system/test_mischief.py

# Builds the image, brings docker-compose.yml up in a container engine, plays a year through its published port.
compose-test: .venv/dev.stamp
	$(BIN)/pytest -m compose --timeout 900 --durations=5 tests/compose

check: .venv/dev.stamp
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/riskpool docs --check
	$(BIN)/riskpool dashboards --check

# New versions: edit requirements/*.in, then `make lock`. Add UPGRADE=--upgrade to move everything forward.
lock: .venv/dev.stamp
	cd requirements && ../$(BIN)/uv pip compile --generate-hashes --universal --no-header --quiet $(UPGRADE) \
		--python-version 3.11 runtime.in -o runtime.lock
	cd requirements && ../$(BIN)/uv pip compile --generate-hashes --universal --no-header --quiet $(UPGRADE) \
		--python-version 3.11 dev.in -o dev.lock

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/runtime.stamp: requirements/runtime.lock pyproject.toml | .venv/bin/python
	$(PIP) install --quiet --require-hashes -r requirements/runtime.lock
	$(PIP) install --quiet --no-deps --no-build-isolation --no-index -e .
	touch $@

.venv/dev.stamp: requirements/dev.lock .venv/runtime.stamp
	$(PIP) install --quiet --require-hashes -r requirements/dev.lock
	touch $@
