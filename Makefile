# Everything a developer or CI runs. `make` alone lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --warn-undefined-variables --no-builtin-rules
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

GO ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)

# Tools run from the module proxy at these versions; nothing is installed and go.mod stays free of them.
GOFUMPT := mvdan.cc/gofumpt@v0.12.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Knobs: make fuzz FUZZTIME=1m, make bench BENCH=Fanout, make demo DEMO="--drill --for 60s", make test PKG=./relay/...,
# make drill COUNT=10, make e2e E2E=Faults/leader, make e2e E2E_SHORT=1, make schedules N=100000 FIRST=1,
# make chaos SEED=7 FAULTS=40 KINDS=kill,cut, make storm-mutants STORMS=1000
PKG ?= ./...
FUZZTIME ?= 5s
FUZZLONG ?= 10m
FUZZ ?= .
FUZZDONE ?= bin/fuzz-long.done
PARALLEL ?=
BENCH ?= .
BENCHTIME ?= 1s
DEMO ?=
PEERS ?=
GROUP ?=
COUNT ?= 5
E2E ?= .
E2E_SHORT ?=
N ?= 4000
FIRST ?= 1
SEED ?= 1
FAULTS ?= 12
KINDS ?=
MUTANTS ?= .
STORMS ?= 2000
DOCKER ?=
LONGEST ?= 8s
LEGS ?= 6
REPORT ?= bin/chaos.json

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

.PHONY: build
build: ## Build bin/relayd and bin/relayctl: static, stamped with the version
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -ldflags '$(LDFLAGS)' -o bin/ ./cmd/...

.PHONY: test
test: ## Run the tests
	$(GO) test -timeout 10m $(if $(filter ./...,$(PKG)),./scripts/proctest ./relay/gate) $(PKG) # the longest first: one waits most of its time, the other explores on one processor

.PHONY: race
race: ## Run the tests under the race detector (needs gcc), but for those of built programs, which it does not see
	GO='$(GO)' scripts/race.sh $(PKG)

.PHONY: lint
lint: ## gofumpt, vet, staticcheck, and the house rules
	@unformatted=$$($(GO) run $(GOFUMPT) -l .); \
	if [ -n "$$unformatted" ]; then echo "gofumpt would change (run: make format):"; echo "$$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags e2e ./scripts/e2e/...
	$(GO) run $(STATICCHECK) ./...
	scripts/houserules.sh

.PHONY: format
format: ## Rewrite the sources as gofumpt wants them
	$(GO) run $(GOFUMPT) -w .

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME each (default 5s), or those that match FUZZ
	GO='$(GO)' FUZZ='$(FUZZ)' scripts/fuzz.sh '$(FUZZTIME)'

.PHONY: fuzz-long
fuzz-long: ## Run every fuzz target for 10 minutes; started again, it goes on where it was stopped
	GO='$(GO)' FUZZ='$(FUZZ)' PARALLEL='$(PARALLEL)' DONE='$(FUZZDONE)' scripts/fuzz.sh '$(FUZZLONG)'

.PHONY: corpus
corpus: ## Keep what fuzzing has found and covers something new: into testdata/fuzz
	GO='$(GO)' FUZZ='$(FUZZ)' scripts/corpus.sh

.PHONY: schedules
schedules: ## Run N seeded fault schedules on simulated groups (default 4000), from seed FIRST on
	GO='$(GO)' scripts/schedules.sh '$(N)' '$(FIRST)'

.PHONY: bench
bench: ## Run the benchmarks with allocation counts
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchtime '$(BENCHTIME)' -benchmem $(PKG)

.PHONY: bench-peers
bench-peers: build ## Measure beside HAProxy, nginx and socat, in turns (docs/performance.md)
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=false -tags benchpeers -o bin/bench-peers ./scripts/bench
	bin/bench-peers $(PEERS)

.PHONY: bench-group
bench-group: ## Emission in groups at 0, 80, 160 ms beside a group of one, and the cost of up to 200 replicas (docs/performance.md)
	$(MAKE) bench-peers PEERS="--tests quorum,replicas --sizes 1024,102400 --seconds 5 $(GROUP)"

.PHONY: demo
demo: build ## Three relays and a simulated network in one process, live
	bin/relayd demo $(DEMO)

.PHONY: image
image: ## Build the image thinrelay:local from static binaries; pulls nothing
	GO='$(GO)' VERSION='$(VERSION)' LDFLAGS='$(LDFLAGS)' scripts/stack.sh image

.PHONY: up
up: image ## Three regions on this host by compose, with a simulated network; waits until they are well
	scripts/stack.sh up

.PHONY: drill
drill: ## Hand leadership around in what make up started: make drill COUNT=10
	COUNT='$(COUNT)' scripts/stack.sh drill

.PHONY: down
down: ## Remove what make up started: containers, networks, volumes (the image stays)
	scripts/stack.sh down

.PHONY: e2e
e2e: image ## Break the three regions on the real engine, one part after another; E2E=Faults/leader for some of it, E2E_SHORT=1 as CI
	$(GO) test -tags e2e -count 1 -timeout 30m -v $(if $(E2E_SHORT),-short) -run '$(E2E)' ./scripts/e2e

.PHONY: chaos
chaos: $(if $(DOCKER),image) ## Faults by a seed on three real relays, judged from outside: make chaos SEED=7 FAULTS=40 (SEED=0: a random one; DOCKER=1: containers)
ifneq ($(DOCKER),)
	$(GO) test -tags e2e -count 1 -timeout 30m -v -run '^TestChaos$$' ./scripts/e2e -args -seed $(SEED) -faults $(FAULTS)
else
	$(GO) test -count 1 -timeout 30m -v -run '^TestChaos$$' ./scripts/proctest -args -seed $(SEED) -faults $(FAULTS) -kinds '$(KINDS)' -longest $(LONGEST)
endif

.PHONY: chaos-long
chaos-long: ## At least 500 faults in LEGS groups of their own, mutants in storms, and 100,000 simulated schedules; prints the tables of docs/evidence.md
	mkdir -p $(dir $(REPORT)) && rm -f $(REPORT)
	for leg in $$(seq 1 $(LEGS)); do \
	  $(GO) test -count 1 -timeout 30m -v -run '^TestChaos$$' ./scripts/proctest -args \
	    -seed $$(($(SEED) + leg - 1)) -faults 85 -longest 1m -report $(abspath $(REPORT)); \
	done
	$(MAKE) storm-mutants STORMS=600
	$(MAKE) schedules N=100000

.PHONY: chaos-mutants
chaos-mutants: ## Which mutants of the emit rule the faults of a chaos run bring to light: make chaos-mutants MUTANTS='any source' FAULTS=40
	$(GO) test -count 1 -timeout 120m -v -run '^TestChaosMutants$$' ./scripts/proctest -args -seed $(SEED) -faults $(FAULTS) -longest $(LONGEST) -kinds '$(KINDS)' -mutants '$(MUTANTS)'

.PHONY: storm-mutants
storm-mutants: ## Which mutants of the emit rule simulated storms bring to light, STORMS each at most: make storm-mutants MUTANTS='any source'
	$(GO) test -count 1 -timeout 120m -v -run '^TestStormMutants$$' ./scripts/proctest -args -storms $(STORMS) -mutants '$(MUTANTS)'

.PHONY: tidy-check
tidy-check: ## Fail when go.mod or go.sum is not what go mod tidy writes
	$(GO) mod tidy -diff
	$(GO) mod verify

.PHONY: clean
clean: ## Remove what the other targets built
	rm -rf bin dist

# Each step of ci says at its end how long it took.
timed = @TIMEFORMAT='ci: $(1) took %0R s'; time $(MAKE) $(2)

# chaos waits most of its time, so fuzzing runs beside it; of its targets those of the wire, since to build nine more packages for it takes three minutes.
.PHONY: ci
ci: ## What CI runs, cheapest first
	+$(call timed,tidy-check,tidy-check)
	+$(call timed,build,build)
	+$(call timed,lint,lint)
	+$(call timed,test,test)
	+$(call timed,schedules,schedules N=500)
	+$(call timed,race,race)
	+$(call timed,chaos and fuzz,-j2 --output-sync=target chaos fuzz SEED=2 FUZZTIME=3s FUZZ='in ./relay/wire$$$$')
	+$(call timed,e2e,e2e E2E_SHORT=1)
