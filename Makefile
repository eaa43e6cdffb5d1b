# Two commands do everything from a bare clone: `make run` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: run test lint docs translations clean

run: $(VENV)/installed
	$(BIN)/backproof run

test: $(VENV)/installed-test
	$(BIN)/python -m pytest -n auto --dist loadgroup

lint: $(VENV)/installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

translations: $(VENV)/installed-test
	$(BIN)/python -m compare.translation

docs: $(VENV)/installed-docs
	$(BIN)/sphinx-build --builder html --conf-dir docs --fresh-env --nitpicky --fail-on-warning --keep-going --quiet . docs/_build

clean:
	rm -rf $(VENV)

$(VENV)/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[test]'
	touch $@

$(VENV)/installed-docs: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --editable '.[docs]'
	touch $@

$(VENV)/installed-lint: $(VENV)/installed-test
	$(BIN)/python -m pip install --quiet --editable '.[lint,test]'
	touch $@
