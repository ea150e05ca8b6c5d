# Every target makes the set-up it needs in .venv the first time, and is quick from then on.
# PyTorch without CUDA (200 MB instead of 3 GB):
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make demo
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-all test-colab test-newest lessons lab site claims lint clean

demo: .venv/.ready-demo
	$(BIN)/python -m sdnb demo

# Two at a time with a core each are faster than one with two: half of the work is not PyTorch's.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --maxschedchunk 1

# Everything that a change can break, in minutes; every notebook runs too, quickly.
test: .venv/.ready-test
	$(PYTEST) -m "not thorough"

# The notebooks at full length, held to what they say; and the demo.
lessons: .venv/.ready-test
	$(PYTEST) tests/lessons.py

# The rest: what is thorough, the lessons, and the other versions. Weekly, and before a release.
test-all: .venv/.ready-test
	$(PYTEST)
	$(MAKE) lessons
	$(MAKE) test-colab ALL=--all
	$(MAKE) test-newest

# What Colab has, and every notebook on it, quickly. ALL=--all: all other tests too
test-colab: .venv-colab/.ready
	.venv-colab/bin/python colab/try_it.py $(ALL)

# The newest of everything, whatever .ci/constraints.txt says.
test-newest: .venv-newest/.ready
	OMP_NUM_THREADS=1 .venv-newest/bin/python -m pytest -n 2 --maxschedchunk 1 -m "not thorough and not one_set"

lab: .venv/.ready-lab
	$(BIN)/jupyter lab notebooks $(if $(filter 0,$(shell id -u)),--allow-root)

# Static pages in site/. The first time it runs every notebook, then only those that have changed.
site: .venv/.ready-site
	$(BIN)/python .github/site/build.py

# Every claim over three seeds, with what is not yet in results.jsonl: ANEW=--anew measures all again.
claims: .venv/.ready-demo
	$(BIN)/python tests/benchmarks/claims $(ANEW)

lint: .venv/.ready-dev
	$(BIN)/ruff check .

clean:
	rm -rf .venv .venv-colab .venv-newest site

# .venv/.ready-NAME: the package is installed with the extra NAME ("demo" is the package alone).
.venv/.ready-%: pyproject.toml .ci/constraints.txt | $(BIN)/python
	@echo "Setting up .venv for 'make $(MAKECMDGOALS)': once, with a large download (PyTorch) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c .ci/constraints.txt \
		-e ".$(subst [demo],,[$*])"
	@touch $@

# What Colab has installed; the set-up cell of the Colab editions does the rest.
.venv-colab/.ready: colab/requirements-2026-08.txt
	@echo "Setting up .venv-colab with Colab's versions: once, with a large download (PyTorch) ..."
	rm -rf .venv-colab && $(PYTHON) -m venv .venv-colab
	.venv-colab/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	@touch $@

# TORCH="torch==2.13.0": that one, where a newer would be another large download.
TORCH ?= torch
.venv-newest/.ready: pyproject.toml
	rm -rf .venv-newest && $(PYTHON) -m venv .venv-newest
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check $(TORCH)
	.venv-newest/bin/python -m pip install --quiet --disable-pip-version-check -e ".[test]"
	@touch $@

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo \
		"sdnb needs Python 3.11 or newer as '$(PYTHON)'. Name another: make PYTHON=python3.12 ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip' || { echo \
		"This Python cannot make environments. On Debian or Ubuntu: sudo apt install python3-venv"; exit 1; }
	$(PYTHON) -m venv .venv
