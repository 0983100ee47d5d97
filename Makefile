# `make` alone prints this list.
.DEFAULT_GOAL := help
YUQING := .venv/bin/yuqing
PYTEST := .venv/bin/python -m pytest
PROCESSES ?= 2

.PHONY: help setup run test test-fast test-slow lint format eval-extraction bench bench-long screenshots images images-test clean

help: ## print this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 12

setup: ## install everything (idempotent; as root also chromium and Java from Debian)
	@deploy/setup.sh

run: setup ## the whole pipeline over the demonstration newsroom; ONCE=1 exits after the summary
	@$(YUQING) demo $(if $(ONCE),--once)

test: setup ## all tests but the slow ones, on real services, two at a time (PROCESSES=1: one by one)
	@$(PYTEST) -m "not slow" -n $(PROCESSES) --dist loadgroup --no-loadscope-reorder

test-fast: setup ## the unit tests: seconds, no services
	@$(PYTEST) -m "not slow and not service"

test-slow: setup ## the long kill, soak and training tests
	@$(PYTEST) -m slow

lint: setup ## ruff, mypy --strict, import-linter, hadolint; known vulnerabilities of the locked packages, where osv.dev can be asked
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@.venv/bin/hadolint --config .hadolint.yaml deploy/images/*.Dockerfile
	@deploy/audit.sh

format: setup ## let ruff format and mend
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

images: ## build the cluster's images with docker, podman or buildah; REGISTRY, VERSION, PUSH=1, PIN=1 (docs/deploy.md)
	@deploy/images/build.sh $(if $(PIN),--pin)

images-test: ## build gateway and crawler on a debootstrap base with buildah, and run their commands (as root; minutes)
	@deploy/images/test.sh

eval-extraction: setup ## score main text, dates and authors on labelled pages; DATA=folder for pages from outside
	@PYTHONPATH=. .venv/bin/python benchmarks/extraction.py $(DATA)

bench: setup ## every benchmark, one JSON line each (starts the services unless they run); `yuqing plan --figures` reads them
	@gpus=$$(nvidia-smi --list-gpus 2>/dev/null | grep -c .); \
	$(YUQING) status >/dev/null 2>&1 || { $(YUQING) up --detach >&2 && ours=yes; }; \
	for file in benchmarks/*.py; do \
		if line=$$(.venv/bin/python $$file); then \
			printf '%s\n' "$$line" | sed "s/^{/{\"benchmark\": \"$$(basename $$file .py)\", \"cores\": $$(nproc), \"gpus\": $$gpus, /"; \
		else failed=yes; fi; \
	done; \
	if [ -n "$$ours" ]; then $(YUQING) down >&2; fi; test -z "$$failed"

bench-long: setup ## the cleaning of 100,000 documents (half an hour), API and pages over a million (half an hour, 10 GB kept in .yuqing/bench)
	@.venv/bin/python benchmarks/clean.py --documents 100000
	@.venv/bin/python benchmarks/gateway.py --documents 1000000 --smaller 100000 --folder .yuqing/bench
	@.venv/bin/python benchmarks/pages.py --documents 1000000 --folder .yuqing/bench

screenshots: setup ## every page of docs/analysts.md in both languages, themes and sizes, from a made-up press in headless Chromium
	@.venv/bin/python -m tests.gateway.screenshots

clean: ## remove the embedded services' data and all caches in this folder (asks services to stop first)
	@test ! -x $(YUQING) || $(YUQING) down
	rm -rf .yuqing .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache spark-warehouse
