# `make demo` and `make test` need Python 3.11 or newer (with venv) and make, nothing else.
# Stamp files under .venv remember what is installed: a second call is instant, a change of what is installed installs again.

PYTHON ?= python3
VENV ?= .venv
PROTO_VENV ?= .venv-proto
PEERS_VENV ?= .venv-peers
SUPPLY_VENV ?= .venv-supply
CLIPS ?= ../shared/data/shaky
PYTEST_ARGS ?=
LOCK_ARGS ?=
FUZZ_SECONDS ?= 600
FUZZ_MESSAGES ?= 1000000

BIN := $(VENV)/bin
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check
GPU := engines/flowgimbal/engines/gpu
# What decides what an installation is: a change of these installs again.
INSTALLED := pyproject.toml engines/compile_native.py $(wildcard engines/flowgimbal/engines/native/*.[ch])
PROTO := flowgimbal/v1/stabilizer.proto
STUBS := $(addprefix proto/flowgimbal/v1/stabilizer_pb2,.py .pyi _grpc.py _grpc.pyi)

# $(1): the environment to make
define new_venv
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "flowgimbal needs Python 3.11 or newer; '$(PYTHON)' is older or missing. Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "'$(PYTHON)' cannot make virtual environments. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(1)
endef

# $(1): a name in docker/locks, $(2): what it locks. For every platform and Python from 3.11 on; what is pinned already stays.
define lock
	@$(SUPPLY_VENV)/bin/uv --quiet --no-config pip compile --universal --python-version 3.11 --generate-hashes $(LOCK_ARGS) \
		--custom-compile-command 'make lock' --output-file docker/locks/$(1).txt $(2) >/dev/null
endef

# $(1): where the stubs go
define generate
	@$(PROTO_VENV)/bin/python -m grpc_tools.protoc --plugin=protoc-gen-mypy_grpc=$(PROTO_VENV)/bin/protoc-gen-mypy_grpc \
		-Iproto --python_out=$(1) --pyi_out=$(1) --grpc_python_out=$(1) --mypy_grpc_out=quiet:$(1) proto/$(PROTO)
endef

.PHONY: help setup demo test lint lint-rules lint-format lint-shell lint-types lint-docker wheel-check container-check lock sbom quality fuzz proto proto-check ptx clean

help:  ## Say what there is to make
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

setup: $(VENV)/.dev  ## Install everything for work on the code into .venv (torch included)

demo: $(VENV)/.base  ## Shake meets gimbal: stabilize the bundled clip, write both videos to out/
	@$(BIN)/flowgimbal demo

test: $(VENV)/.dev  ## Run the tests (PYTEST_ARGS="-k window" for some of them)
	@$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: lint-rules lint-format lint-shell lint-docker lint-types  ## ruff (rules and format), shellcheck, hadolint, mypy --strict

lint-rules: $(VENV)/.dev
	@$(BIN)/ruff check .

lint-format: $(VENV)/.dev
	@$(BIN)/ruff format --check .

lint-shell: $(VENV)/.dev
	@$(BIN)/shellcheck .ci/run .ci/check_container.sh .ci/programs.sh docker/install.sh examples/*/*.sh

lint-docker: $(VENV)/.dev
	@$(BIN)/hadolint docker/Dockerfile.cpu docker/Dockerfile.gpu

lint-types: $(VENV)/.dev
	@$(BIN)/mypy

wheel-check: $(VENV)/.dev  ## Build sdist and wheel, install the wheel in a bare environment, look at both
	@$(BIN)/python .ci/check_wheel.py

container-check: $(VENV)/.dev $(SUPPLY_VENV)/.tools  ## Do what the image does, without Docker: install.sh, serve, health, demo; check its parts
	@.ci/check_container.sh $(BIN)/python $(SUPPLY_VENV)/bin/python

sbom: $(SUPPLY_VENV)/.tools  ## What the CPU image installs, as CycloneDX, to build/flowgimbal-cpu.cdx.json
	@rm -rf build/cpu && mkdir -p build && PYTHON=$(PYTHON) docker/install.sh . build/cpu
	@$(SUPPLY_VENV)/bin/python .ci/bom.py build/cpu/bin/python build/flowgimbal-cpu.cdx.json

lock: $(SUPPLY_VENV)/.tools  ## Pin what the images install, with hashes (LOCK_ARGS=--upgrade for newer releases)
	$(call lock,cpu,pyproject.toml)
	$(call lock,gpu,--extra gpu --constraints docker/locks/cpu.txt pyproject.toml)
	$(call lock,build,--constraints docker/locks/cpu.txt docker/locks/build.in)
	$(call lock,tools,docker/locks/tools.in)

# A peer that cannot be installed is left out of the tables, which say so.
quality: $(VENV)/.base $(PEERS_VENV)/.peers  ## Measure us and our peers on the clips of a folder (CLIPS=DIR), write docs/quality.md
	@PYTHONPATH=tests/tools $(BIN)/python -m quality --clips "$(CLIPS)" --peers-python $(PEERS_VENV)/bin/python

fuzz: $(VENV)/.fuzz  ## Fuzz decoder, stream and socket, half an hour and more (FUZZ_SECONDS=600 each, FUZZ_MESSAGES=1000000)
	@for target in decoder session; do mkdir -p "build/fuzz/$$target" && \
		PYTHONPATH=tests $(BIN)/python -m fuzz.guided --target=$$target -max_total_time=$(FUZZ_SECONDS) \
			-artifact_prefix=build/fuzz/ "build/fuzz/$$target" "tests/fuzz/corpus/$$target" || exit 1; \
	done
	@PYTHONPATH=tests:tests/tools/hostile $(BIN)/python -m fuzz.over_socket --messages $(FUZZ_MESSAGES)

proto: $(PROTO_VENV)/.tools  ## Generate the stubs again
	$(call generate,proto)

proto-check: $(PROTO_VENV)/.tools  ## buf lint, and the committed stubs are those of the .proto
	@$(PROTO_VENV)/bin/buf lint proto
	@rm -rf build/proto && mkdir -p build/proto
	$(call generate,build/proto)
	@for stub in $(STUBS); do \
		diff -u $$stub build/$$stub || { echo "$$stub is not what the .proto says: run 'make proto' and commit" >&2; exit 1; }; \
	done

# The checksum in the first line is held against kernels.cu by the tests. Newer versions of CUDA need newer drivers.
ptx:  ## Compile the kernels again; needs nvcc (CUDA 13.0)
	@mkdir -p build && nvcc -ptx -arch=compute_75 -o build/kernels.ptx $(GPU)/kernels.cu
	@{ echo "// of kernels.cu, sha256 $$(sha256sum <$(GPU)/kernels.cu | cut -c1-64)"; cat build/kernels.ptx; } >$(GPU)/kernels.ptx

clean:  ## Remove environments, builds and caches (out/ and runs/ stay)
	rm -rf $(VENV) $(PROTO_VENV) $(PEERS_VENV) $(SUPPLY_VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find client engines proto server tests -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	$(call new_venv,$(VENV))

$(VENV)/.base: $(INSTALLED) | $(BIN)/python
	@echo "Installing flowgimbal into $(VENV): a minute or two the first time."
	@$(BIN)/python $(PIP_INSTALL) -e .
	@touch $@

$(VENV)/.dev: $(INSTALLED) | $(BIN)/python
	@echo "Installing flowgimbal and its tools, torch included, into $(VENV): a few minutes the first time."
	@$(BIN)/python $(PIP_INSTALL) -e '.[dev,train]'
	@touch $(VENV)/.base $@

$(VENV)/.fuzz: pyproject.toml | $(VENV)/.dev
	@$(BIN)/python $(PIP_INSTALL) -e '.[fuzz]'
	@touch $@

$(PEERS_VENV)/bin/python:
	$(call new_venv,$(PEERS_VENV))

$(PEERS_VENV)/.peers: pyproject.toml | $(PEERS_VENV)/bin/python
	@echo "Installing the stabilizers that we are measured beside into $(PEERS_VENV)."
	@if $(PEERS_VENV)/bin/python $(PIP_INSTALL) -e '.[peers]'; then touch $@; fi

$(PROTO_VENV)/bin/python:
	$(call new_venv,$(PROTO_VENV))

$(PROTO_VENV)/.tools: proto/requirements.txt | $(PROTO_VENV)/bin/python
	@$(PROTO_VENV)/bin/python $(PIP_INSTALL) -r $<
	@touch $@

$(SUPPLY_VENV)/bin/python:
	$(call new_venv,$(SUPPLY_VENV))

$(SUPPLY_VENV)/.tools: docker/locks/tools.txt | $(SUPPLY_VENV)/bin/python
	@$(SUPPLY_VENV)/bin/python $(PIP_INSTALL) --require-hashes --only-binary :all: -r $<
	@touch $@
