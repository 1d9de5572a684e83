# make bench   installs into .venv and runs the pocket suite
# make test    installs what tests need, checks style and types, runs the tests
# make lint    style and types alone
# make docs    builds the pages of docs/ into build/docs; a link that leads nowhere is an error

PYTHON ?= python3
PY      = .venv/bin/python
MYPY_TREE = build/types/medrival

.PHONY: bench test lint format docs

bench: .venv/installed
	$(PY) -m pytest benchmarks --device cpu -n auto --maxprocesses 4

test: .venv/installed-for-tests lint
	$(PY) -m pytest tests -n auto --maxprocesses 4

lint: .venv/installed-for-tests
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	rm -rf $(MYPY_TREE) && mkdir -p $(MYPY_TREE)
	ln -s $(CURDIR)/medrival/* $(CURDIR)/benchmarks $(CURDIR)/fixtures $(CURDIR)/models $(CURDIR)/regimes $(CURDIR)/reports $(CURDIR)/tasks $(MYPY_TREE)
	cd build/types && $(CURDIR)/.venv/bin/mypy --config-file $(CURDIR)/pyproject.toml -p medrival

format: .venv/installed-for-tests
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

docs: .venv/installed-for-docs
	.venv/bin/mkdocs build --strict
	@echo "docs: build/docs/index.html"

.venv/installed: pyproject.toml
	test -x $(PY) || $(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --editable .
	touch $@

.venv/installed-for-tests: .venv/installed
	$(PY) -m pip install --quiet --editable '.[test]'
	touch $@

.venv/installed-for-docs: .venv/installed
	$(PY) -m pip install --quiet --editable '.[docs]'
	touch $@
