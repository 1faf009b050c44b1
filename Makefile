# `make demo` and `make test` are the README's two commands; `make check` comes first in CI.
# Another interpreter: make test PYTHON=python3.12

PYTHON ?= python3
# Test files that run at once; what needs gigabytes is spread over them.
JOBS ?= 2
PIP := -m pip install --disable-pip-version-check
# PyPI's torch for x86 brings gigabytes of CUDA along; torch's own index has the build for CPUs. Where
# that cannot be reached, pip takes what it finds.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
TORCH := $(shell sed -n 's/^ *"\(torch==[^"]*\)".*/\1/p' pyproject.toml)

.PHONY: demo quick test check wheel bundle

# The runtime as a board has it: numpy, the audio reader and one engine, never torch.
demo: .venv-demo/.stamp
	@.venv-demo/bin/echo-edge run demo/conversation.flac --latency-s 2

# The tests that the runtime and one engine are enough for: no torch, 0.2 GB in .venv-quick.
quick: .venv-quick/.stamp
	.venv-quick/bin/python -m pytest -n $(JOBS) --dist loadfile -m "not slow and not board" \
	  tests/runtime tests/attacks tests/demo tests/docs

test: .venv/.stamp
	.venv/bin/python -m pytest -n $(JOBS) --dist loadfile

check: .venv/.stamp
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache
	.venv/bin/python docs/lint.py
	.venv/bin/python docs/decisions/index.py --check

# The wheel in fresh environments: with the newest dependencies, and with the oldest.
wheel: .venv/.stamp
	.ci/wheel

# The bundle that ships in the package, made again from the checkpoint; byte for byte the same.
# The labelled recording comes from the one that is there.
bundle: .venv/.stamp
	rm -rf build/bundle
	mkdir -p build
	.venv/bin/echo-edge export models/echo-25m.safetensors --out build/bundle \
	  --language-model models/english.npz
	rm -rf echo_edge/default_bundle
	mv build/bundle echo_edge/default_bundle

.venv-demo/.stamp: pyproject.toml
	@echo "installing the runtime into .venv-demo"
	@$(PYTHON) -m venv .venv-demo
	@.venv-demo/bin/python $(PIP) -qq -e ".[onnx]"
	@touch $@

.venv-quick/.stamp: pyproject.toml
	@echo "installing the runtime and the tests' tools into .venv-quick"
	@$(PYTHON) -m venv .venv-quick
	@.venv-quick/bin/python $(PIP) -qq -e ".[onnx,sign,test]"
	@touch $@

.venv/.stamp: pyproject.toml
	@echo "Once: the runtime, torch, the export toolchain and the tests' tools go into .venv: 3 GB of"
	@echo "disk, 5 to 15 minutes. All tests then take about 40 minutes on two cores (make quick: six)."
	@$(PYTHON) -m venv .venv
	@if [ "$$(uname -sm)" = "Linux x86_64" ]; then \
	  .venv/bin/python $(PIP) --no-deps --retries 0 --index-url $(TORCH_INDEX) $(TORCH) || \
	    echo "$(TORCH_INDEX) cannot be reached: pip chooses the build of torch"; fi
	@.venv/bin/python $(PIP) -e ".[dev,onnx]"
	@touch $@
