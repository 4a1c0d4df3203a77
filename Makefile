# Every command of the project. The work is done by scripts/, one step a file, Python's standard library only.
# `make` alone prints this list out of the ## comments.

PYTHON ?= python3
COMPOSE := docker compose

.DEFAULT_GOAL := help

##@ Run
.PHONY: up
up: python ## start everything; on a bare machine also install, build and configure what is missing
	@$(PYTHON) -m scripts.up

.PHONY: demo
demo: python ## convert a small sample mod through the running stack and print the ledger's totals
	@$(PYTHON) -m scripts.demo

.PHONY: ps
ps: .env ## show the containers
	@$(COMPOSE) ps --all

.PHONY: status
status: .env ## show how all services are, as the supervisor sees it (exit status 1: something is not well)
	@$(PYTHON) -m scripts.status

.PHONY: logs
logs: .env ## follow the logs: make logs SERVICE=backend (all services without SERVICE)
	@$(COMPOSE) logs --follow --tail 100 $(SERVICE)

.PHONY: scale
scale: .env ## change the number of containers: make scale SERVICE=backend REPLICAS=5
	@$(PYTHON) -m scripts.scale "$(SERVICE)" "$(REPLICAS)"

.PHONY: deploy rollback
deploy: python .env ## build a service and roll it out without a lost request: make deploy SERVICE=backend [IMAGE=...]
	@$(PYTHON) -m scripts.deploy "$(SERVICE)" $(if $(IMAGE),--image "$(IMAGE)")
rollback: .env ## take a service back to the image before: make rollback SERVICE=backend
	@$(PYTHON) -m scripts.rollback "$(SERVICE)"

.PHONY: down
down: .env ## stop everything and keep the data
	@$(COMPOSE) down --remove-orphans

.PHONY: clean
clean: python ## stop everything and remove the data (asks first; CONFIRM=yes answers)
	@$(PYTHON) -m scripts.clean

##@ Set up
.PHONY: init
init: python ## write .env, the passwords and the certificate; keeps what is there
	@$(PYTHON) -m scripts.env

.PHONY: trust untrust
trust: .env ## make this machine's browsers accept the local certificate
	@$(PYTHON) -m scripts.trust
untrust: .env ## take that back
	@$(PYTHON) -m scripts.trust --undo

.PHONY: images
images: python ## build or pull all container images
	@$(PYTHON) -m scripts.images $(if $(IMAGES),--mode $(IMAGES))

##@ Data
.PHONY: migrate migration-status
migrate: .env ## bring the database schema to the newest revision
	@$(COMPOSE) run --rm --no-TTY migrate
migration-status: .env ## show the revision of the database and the newest one
	@$(COMPOSE) run --rm --no-TTY migrate /opt/app/bin/python -m backend.db.migrate status

.PHONY: graph-rebuild
graph-rebuild: .env ## empty the graph of concepts and fill it again from the database
	@$(COMPOSE) exec -T ai-engine /opt/app/bin/python -m ai_engine graph-rebuild

##@ Develop
.PHONY: dev
dev: python ## start with reload on edit and the stores' ports on this machine
	@$(PYTHON) -m scripts.up --dev

.PHONY: test
test: python ## all tests: unit, contract, integration, e2e, browser (in a stack of their own; KEEP=1 leaves it running)
	@$(PYTHON) -m scripts.test

.PHONY: check
check: venv ## format, lint, types, imports, configuration
	@$(PYTHON) -m scripts.check

.PHONY: bench
bench: python ## measure a stack of its own and print a table (ONLY=scaling,killing for some of it)
	@$(PYTHON) -m scripts.bench

.PHONY: bench-supervisor
bench-supervisor: python ## measure the supervisor beside Compose alone and Docker Swarm (root; ONLY=kill,hang PEERS= LONG=1 SEED=7)
	@$(PYTHON) -m scripts.bench_supervisor

.PHONY: chaos
chaos: python ## do 50 random things to a stack of its own, then look whether all is well (root; SEED=7 repeats, ACTIONS=20)
	@$(PYTHON) -m scripts.chaos

.PHONY: venv
venv: python ## make .venv with everything for development, and `modporter` for this machine
	@$(PYTHON) -m scripts.venv

.PHONY: lock
lock: python ## resolve and pin all Python packages again (UPGRADE=yes takes the newest versions)
	@$(PYTHON) -m scripts.lock $(if $(UPGRADE),--upgrade)

.PHONY: help
help:
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@/ { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z][a-z-]*:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: python
python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "This needs Python 3.11 or newer as $(PYTHON); `$(PYTHON) --version 2>&1`. Say make PYTHON=/path/to/python3.11 ..."; exit 1; }

.env:
	@echo "There is no .env yet: run make up (or make init, which only writes the settings)."; exit 1
