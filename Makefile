# Everything runs in .venv, which `make install` makes; every other target makes it first if it is not there.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all lint bench docs recipes notebooks gallery package clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make .venv with the pinned versions (PYTHON=python3.12 picks the interpreter)

$(INSTALLED): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "ontogeny needs Python 3.11 or newer, and $(PYTHON) is not ($$($(PYTHON) --version 2>&1 | head -n 1))."; \
	  echo "Name another interpreter, for example: make install PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install -c constraints.txt -e ".[dev]"
	@touch $@

demo: $(INSTALLED) ## follow a small language model through its stages, in one to four minutes
	$(BIN)/ontogeny study language --preset quick --out runs/demo

test: $(INSTALLED) ## run the quick tests
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile

test-all: $(INSTALLED) ## run every test, slow ones too, with annotations checked at run time
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist loadfile -m "" --jaxtyping-packages=ontogeny,beartype.beartype

lint: $(INSTALLED) ## check style, format, types and import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/pyrefly check
	$(BIN)/lint-imports --no-logo

bench: $(INSTALLED) ## measure the sampler against the bare forward and backward pass
	$(BIN)/python -m benchmarks

docs: .venv/.docs ## build the site into site/, offline, with warnings as errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

recipes: .venv/.docs ## build the site and the wheel, and run every recipe as a notebook, in less than ten minutes
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -m "" tests/examples/test_site.py tests/examples/test_recipes.py tests/architecture/test_package.py

notebooks: .venv/.docs ## make a notebook of every recipe, in notebooks/
	for recipe in docs/recipes/*.py; do $(BIN)/jupytext --to ipynb --output notebooks/$$(basename $$recipe .py).ipynb $$recipe; done

.venv/.docs: $(INSTALLED)
	$(BIN)/pip install -c constraints.txt -e ".[docs,paper]"
	@touch $@

gallery: $(INSTALLED) ## make the page of every study at its quick preset, and pictures of them: an hour or more
	$(BIN)/python -m benchmarks.gallery $(STUDIES)

package: $(INSTALLED) ## build wheel and sdist into dist/
	$(BIN)/pip install -q -c constraints.txt build
	$(BIN)/python -m build

clean: ## remove .venv, builds and caches; runs stay
	rm -rf .venv build dist site notebooks .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
