# `make demo` and `make test` set everything up themselves; both use one virtual environment in .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test check format lint types docs clean

demo: $(VENV)/.ready
	$(BIN)/tl-advise demo

test: $(VENV)/.ready
	$(BIN)/python -m pytest -n 2 --dist loadfile

check: lint types test

format: $(VENV)/.ready
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

lint: $(VENV)/.ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.ready
	$(BIN)/mypy

docs: $(VENV)/.ready
	$(BIN)/python -m pip install --quiet -e '.[docs]'
	$(BIN)/python -m mkdocs build --strict --site-dir build/site

$(VENV)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -e '.[dev,lite,timm,onnx,openvino]'
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info tl-advise-demo tl-advise-runs
