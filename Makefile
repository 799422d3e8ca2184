# Everything a fresh machine needs is Python 3.11 and make.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export HYPERLLM_DATA ?= ../shared/data

.PHONY: demo test test-browser check bench results dist clean
.DEFAULT_GOAL := demo

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $@

demo: $(VENV)/.installed  ## the main job on a generated catalogue
	$(BIN)/hyperllm demo --out demo-shop

test: $(VENV)/.installed  ## every test but the browser's
	@echo "the browser's tests are left out; make test-browser runs them in a real Chromium"
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not browser"

$(VENV)/.browser: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[browser]"
	touch $@

test-browser: $(VENV)/.browser  ## the page in a real Chromium, which has to be installed
	$(BIN)/python -m pytest -n 0 -m browser tests/browser

check: $(VENV)/.installed  ## style, types, floors
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright
	$(BIN)/lint-imports

bench: $(VENV)/.installed  ## tables and ratios; WHAT=step by default, ARGS its options
	$(BIN)/python benchmarks/$(or $(WHAT),step).py $(ARGS)

results: $(VENV)/.installed  ## docs/results.md from the finished runs of WORKSPACE
	$(BIN)/hyperllm paper all $(WORKSPACE) --tags keywords --set patience=20 --no-train --out $(WORKSPACE)/paper
	for n in 2 3 4 5; do cp $(WORKSPACE)/paper/figure$$n.png docs/figures/; done
	sed 's|](figure|](figures/figure|' $(WORKSPACE)/paper/results.md > docs/results.md

dist: $(VENV)/.installed  ## a wheel that works outside the checkout
	$(BIN)/python -m build --wheel --no-isolation

clean:
	rm -rf $(VENV) dist demo-shop .pytest_cache .ruff_cache
