# `make demo` and `make test` are the README's two commands; `make check` comes first in CI.
# Another interpreter: make test PYTHON=python3.12

PYTHON ?= python3
# Test files that run at once; what needs gigabytes is spread over them.
JOBS ?= 2
INSTALL := -m pip install -qq --disable-pip-version-check

.PHONY: demo test check bundle

# The runtime as a board has it: numpy, the audio reader and one engine, never torch.
demo: .venv-demo/.stamp
	@.venv-demo/bin/echo-edge run demo/conversation.flac --latency-s 2

test: .venv/.stamp
	.venv/bin/python -m pytest -n $(JOBS) --dist loadfile

check: .venv/.stamp
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache
	.venv/bin/python docs/lint.py
	.venv/bin/python docs/decisions/index.py --check

# The bundle that ships in the package, made again from the checkpoint; byte for byte the same.
bundle: .venv/.stamp
	rm -rf echo_edge/default_bundle
	.venv/bin/echo-edge export models/echo-25m.safetensors --out echo_edge/default_bundle \
	  --language-model models/english.npz

.venv-demo/.stamp: pyproject.toml
	@echo "installing the runtime into .venv-demo"
	@$(PYTHON) -m venv .venv-demo
	@.venv-demo/bin/python $(INSTALL) -e ".[onnx]"
	@touch $@

.venv/.stamp: pyproject.toml
	@echo "installing the runtime, the export toolchain and the tests' tools into .venv"
	@$(PYTHON) -m venv .venv
	@.venv/bin/python $(INSTALL) -e ".[dev,onnx]"
	@touch $@
