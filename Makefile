# SPDX-License-Identifier: BSD-3-Clause
# The tiers of checks; see CONTRIBUTING.md. `pip install -e ".[test,bench,dev]"` brings what they need.
PYTHON ?= python
export PYTHONDONTWRITEBYTECODE = 1

.PHONY: check lint build quick test deep reliability bench bench-compare instructions sanitize clean

check: lint build quick ## before every commit, under 3 minutes

lint:
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m ruff check .
	$(PYTHON) tools/stubs.py --check
	$(PYTHON) -m mypy

build: ## in place; compiles only what changed
	$(PYTHON) setup.py --quiet build_ext --inplace

SLOW = $(patsubst %,tests/test_%.py,accuracy ctc_accuracy guard_pages reference vecmath ctc_memory ctc_errors benchmarks)
quick: ## all but the slow tests
	$(PYTHON) -m pytest -q -n auto $(filter-out $(SLOW),$(wildcard tests/test_*.py))

test:
	$(PYTHON) -m pytest -q -n auto

DEEP = FASTLOSS_DEEP=1 FASTLOSS_HOSTILE=1000000 FASTLOSS_SIEGE=60 FASTLOSS_CALLS=12000 FASTLOSS_KERNEL_JOBS=200000 \
    FASTLOSS_FUZZ_SECONDS=3600 HYPOTHESIS_PROFILE=deep
deep: build ## all 2^32 float32 inputs of the vector maths, long searches, mutation, emulated processors: hours
	$(DEEP) $(PYTHON) -m pytest -q --timeout 14400
	$(PYTHON) tools/emulate.py
	$(PYTHON) tools/mutate.py --count 100 --json docs/mutants.json

reliability: build ## docs/reliability.md, at the sizes of the suite
	$(PYTHON) tools/reliability.py

bench: build
	$(PYTHON) benchmarks/run.py

bench-compare: ## this tree against BASE=rev (or HEAD=rev against it), both built in temporary folders
	$(PYTHON) benchmarks/compare.py $(BASE) $(if $(HEAD),--head $(HEAD)) $(WORDS)

instructions: build ## after a kernel has changed: count anew with this compiler
	$(PYTHON) tools/instructions.py --write

sanitize: ## the suite under AddressSanitizer and UndefinedBehaviorSanitizer, in an environment of its own
	bash .ci/sanitize.sh

clean:
	rm -rf build dist fastloss/*.so
