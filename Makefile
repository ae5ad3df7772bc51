SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --warn-undefined-variables --no-print-directory

UV_VERSION := 0.13.9
NODE := node_modules/.bin/node
UV := .local/uv/bin/uv
PYTHON := trainer/.venv/bin/python
TEST_ARGS ?=
UP_ARGS ?=
DEMO_ARGS ?=
BENCH_ARGS ?=
BENCH_PYTHON := .local/bench/venv/bin/python

##@ General

.PHONY: help
help: ## Show this help.
	@awk 'BEGIN {FS = ":.*##"; printf "\nUsage:\n  make \033[36m<target>\033[0m\n"} \
	  /^[a-zA-Z0-9_-]+:.*?##/ { printf "  \033[36m%-18s\033[0m %s\n", $$1, $$2 } \
	  /^##@/ { printf "\n\033[1m%s\033[0m\n", substr($$0, 5) }' $(MAKEFILE_LIST)

.PHONY: demo
demo: setup ## The main job on an embedded cluster: pre-train and fine-tune a POLAR model, show curves and scores.
	@$(NODE) demo/demo.ts $(DEMO_ARGS)

##@ Embedded cluster

.PHONY: up
up: setup ## Start the embedded cluster with the operator and leave it running; prints the KUBECONFIG line.
	@$(NODE) local/src/cli.ts up --example-data $(UP_ARGS)

.PHONY: down
down: setup-node ## Stop the embedded cluster and remove its data.
	@$(NODE) local/src/cli.ts down

.PHONY: status
status: setup-node ## Show what of the embedded cluster runs.
	@$(NODE) local/src/cli.ts status

##@ Develop

.PHONY: setup
setup: setup-node setup-python ## Install everything the project needs below node_modules, trainer/.venv and .local.

.PHONY: setup-node
setup-node: node_modules/.package-lock.json
node_modules/.package-lock.json: package.json package-lock.json operator/package.json local/package.json test/package.json
	@command -v npm >/dev/null || { echo "npm is not on the PATH: install Node.js 20 or newer with npm; the project brings its own Node 24" >&2; exit 1; }
	@echo "installing Node 24 and the TypeScript packages (npm ci, about half a minute)"
	@npm ci --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: setup-python
setup-python: trainer/.venv/.synced
trainer/.venv/.synced: trainer/pyproject.toml trainer/uv.lock $(UV)
	@echo "installing the trainer's Python packages (uv sync; torch is large, a minute on a fresh machine)"
	@$(UV) sync --frozen --quiet --project trainer
	@touch $@

OFFICIAL := .local/official/venv
.PHONY: setup-official
setup-official: setup-python $(OFFICIAL)/.synced ## Install the official POLAR code that tests compare with (xtuner from PyPI, own environment).
$(OFFICIAL)/.synced: trainer/tests/official/requirements.txt trainer/.venv/.synced
	@echo "installing the official POLAR code (xtuner and the transformers it needs; it uses the trainer's torch)"
	@$(UV) venv --quiet --clear --python trainer/.venv/bin/python $(OFFICIAL)
	@$(UV) pip install --quiet --no-deps --python $(OFFICIAL)/bin/python -r trainer/tests/official/requirements.txt
	@$(PYTHON) -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])' \
	  > "$$($(OFFICIAL)/bin/python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')/trainer.pth"
	@touch $@

$(UV):
	@command -v python3 >/dev/null || { echo "python3 is not on the PATH: install Python 3.11 or newer" >&2; exit 1; }
	@echo "installing uv $(UV_VERSION)"
	@python3 -m venv .local/uv || { echo "python3 -m venv failed: on Debian install the package python3-venv" >&2; exit 1; }
	@.local/uv/bin/pip install --quiet uv==$(UV_VERSION)

.PHONY: generate
generate: setup ## Regenerate CRDs, docs and the run-config schema from the zod sources, and the protobuf stubs.
	@$(NODE) hack/generate.ts
	@hack/generate-proto.sh

.PHONY: fmt
fmt: setup ## Fix what eslint and ruff can fix.
	@node_modules/.bin/eslint --fix .
	@trainer/.venv/bin/ruff check --fix trainer demo bench
	@trainer/.venv/bin/ruff format trainer demo bench

.PHONY: lint
lint: setup ## eslint (budgets, import direction), tsc, ruff and mypy.
	@$(NODE) hack/test.ts lint

##@ Test

.PHONY: test
test: setup ## Everything CI runs: lint, generated files, unit, trainer and integration tests on a real API server.
	@$(NODE) hack/test.ts $(TEST_ARGS)

.PHONY: test-e2e
test-e2e: setup ## Runs, faults and bad input end to end on an embedded cluster (about three minutes).
	@$(NODE) hack/test.ts e2e

.PHONY: test-kueue
test-kueue: setup ## Runs in queues of the real Kueue manager (two to four minutes; it is built on first use, about three).
	@$(NODE) hack/test.ts kueue

.PHONY: test-s3
test-s3: setup ## Checkpoints in a bucket of a real S3 server (two minutes; the server is built on first use, about two).
	@$(NODE) hack/test.ts s3

.PHONY: test-faults
test-faults: test-faults-checkpoints test-faults-operator ## All fault tests (about twelve minutes on two quiet cores).

.PHONY: test-faults-checkpoints
test-faults-checkpoints: setup ## Checkpoints broken at every system call, storage error and byte (about two minutes).
	@cd trainer && POLAR_EXHAUSTIVE=1 OMP_NUM_THREADS=1 .venv/bin/pytest -q tests/test_checkpoint_faults.py tests/test_checkpoint.py

.PHONY: test-faults-operator
test-faults-operator: setup ## The operator behind a fault proxy (docs/faults.md): SEED=n chooses other plans, PLANS=all runs every one (hours).
	@$(NODE) local/src/cli.ts build
	@$(NODE) test/faults/run.ts $(TEST_ARGS)

.PHONY: verify
verify: setup ## Lint, then prove that generated files are fresh.
	@$(NODE) hack/test.ts lint generated

##@ Measure

.PHONY: bench
bench: bench-trainer bench-effective bench-operator ## All measurements (35 minutes on two quiet cores).

.PHONY: bench-trainer
bench-trainer: setup-python .local/bench/venv/.synced ## Training speed and memory beside TRL's RewardTrainer (under ten minutes on two quiet cores).
	@PYTHONPATH=trainer $(PYTHON) bench/trainer/bench.py --trl-python $(BENCH_PYTHON) $(BENCH_ARGS)

.PHONY: bench-effective
bench-effective: setup-python ## Restarts of real workers that are killed and hang, and the effective training time that follows (four minutes).
	@PYTHONPATH=trainer:bench/effective $(PYTHON) bench/effective/bench.py $(BENCH_ARGS)

.PHONY: bench-operator
bench-operator: setup-node ## Scale beside Kubeflow Trainer on a real control plane (22 minutes on two quiet cores).
	@$(NODE) bench/operator/bench.ts $(BENCH_ARGS)

.PHONY: bench-sweep
bench-sweep: setup ## A scaling law measured by a real PolarSweep on the toy pool (docs/scaling.md; up to 90 minutes on two quiet cores).
	@$(NODE) bench/sweep/bench.ts $(BENCH_ARGS)

REAL_DATA ?= ../shared/data
.PHONY: sweep-real
sweep-real: setup ## The same on answers of real models: trajectories.jsonl.gz in REAL_DATA (hours on a CPU).
	@$(NODE) bench/sweep/bench.ts --data $(REAL_DATA) $(BENCH_ARGS)

.PHONY: bench-fit
bench-fit: setup-node ## Coverage of the intervals of scaling-law fits, and how long fits take (three minutes on a quiet core).
	@$(NODE) bench/fit/bench.ts $(BENCH_ARGS)

.PHONY: bench-corpus
bench-corpus: setup-node ## The generate worker beside a local echo endpoint: requests per second of CPU, memory up to a million rows (ten minutes on two quiet cores).
	@$(NODE) bench/corpus/bench.ts $(BENCH_ARGS)

.PHONY: bench-score
bench-score: setup ## Scoring with shared prefixes beside unshared and PyTorch, one thread each (four minutes on two quiet cores).
	@$(NODE) bench/reward/score.ts $(BENCH_ARGS)

.PHONY: bench-requirements
bench-requirements: .local/bench/venv/.synced ## Pin the newest TRL for the bench.
	@cd bench/trainer && $(CURDIR)/$(UV) pip compile --quiet --upgrade --no-annotate --python $(CURDIR)/$(BENCH_PYTHON) \
	  --override overrides.txt --custom-compile-command "make bench-requirements" requirements.in -o requirements.txt

# The bench's environment sees the trainer's packages behind its own, so that both sides run the same torch.
.local/bench/venv/.synced: bench/trainer/requirements.txt trainer/.venv/.synced $(UV)
	@echo "installing TRL for the bench"
	@mkdir -p .local/bench
	@$(UV) venv --quiet --clear --python $(PYTHON) .local/bench/venv
	@$(UV) pip install --quiet --no-deps --python $(BENCH_PYTHON) -r bench/trainer/requirements.txt
	@$(PYTHON) -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	  > "$$($(BENCH_PYTHON) -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/trainer.pth"
	@touch $@
