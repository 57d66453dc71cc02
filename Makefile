# Every target does its own set-up: a virtual environment in .venv with the project and what its tests need.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test parity lint types bench clean
demo: $(STAMP)
	$(BIN)/jwst-dask demo --output-dir demo
	$(BIN)/jwst-dask demo --mode mos --output-dir demo/mos
	$(BIN)/jwst-dask demo --uncal --integrations 20 --output-dir demo/ramps

test: $(STAMP) lint types
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not peer and not slow"

# Against the reference implementation, which it installs into an environment of its own (JWST_DASK_ORACLE: folder of the oracle).
parity: $(STAMP)
	JWST_DASK_ORACLE=$${JWST_DASK_ORACLE:-../shared/oracle} $(BIN)/python -m pytest tests/parity tests/benchmarks -m "peer or not peer" -s

bench: $(STAMP)
	JWST_DASK_ORACLE=$${JWST_DASK_ORACLE:-../shared/oracle} $(BIN)/python tests/benchmarks/side_by_side.py

lint: $(STAMP)
	$(BIN)/ruff check jwst_dask tests deploy
	$(BIN)/python tests/check_dependencies.py

types: $(STAMP)
	$(BIN)/mypy

$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[test,notebook]"
	touch $(STAMP)

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
