# Belfry. `make` lists the targets.
GO      ?= go
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -X main.version=$(VERSION)
EDGE    := -trimpath -tags edge -ldflags '-s -w -buildid= $(LDFLAGS)'

export CGO_ENABLED ?= 0
# Only the race detector needs a C compiler; without one the tests run without it.
RACE := $(shell command -v $${CC:-cc} >/dev/null 2>&1 && echo -race)

.PHONY: help run test check lint bench crash fuzz clean build build-edge cross vuln

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

run: build ## the whole thing: broker, NATS, a simulated town and the gateway, until Ctrl-C
	bin/belfry demo $(ARGS)

# The end-to-end tests measure the program against a broker that drops what nobody takes in time: they run alone.
END_TO_END := ./gateway/cmd/belfry

test: ## all tests
	CGO_ENABLED=$(if $(RACE),1,0) $(GO) test $(RACE) -timeout 20m $$($(GO) list ./... | grep -v '/cmd/belfry$$')
	CGO_ENABLED=$(if $(RACE),1,0) $(GO) test $(RACE) -timeout 20m $(END_TO_END)

check: lint test fuzz cross ## lint, tests, a few seconds of fuzzing, cross-builds

lint: ## gofmt, vet, staticcheck
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "run gofmt -w on: $$unformatted"; exit 1; fi
	$(GO) vet ./...
	$(GO) vet -tags edge ./...
	$(GO) tool staticcheck ./...

vuln: ## known vulnerabilities in what is linked
	scripts/vuln

bench: ## benchmarks of every step, and one run of the whole way through Mosquitto and nats-server
	scripts/bench

crash: ## kills, power cuts and failing disks, and mutants that must be noticed (4 minutes; FOR=1h for more; some of it needs root)
	scripts/crash $(if $(FOR),-for $(FOR)) $(ARGS)

fuzz: ## every fuzz target for FUZZTIME (default 5s)
	scripts/fuzz $(FUZZTIME)

build: ## bin/belfry, with the demo
	$(GO) build -trimpath -ldflags '$(LDFLAGS)' -o bin/belfry ./gateway/cmd/belfry

build-edge: ## bin/belfry-edge, stripped, without the demo
	$(GO) build $(EDGE) -o bin/belfry-edge ./gateway/cmd/belfry
	@size=$$(wc -c < bin/belfry-edge); echo "bin/belfry-edge: $$size bytes"; \
	if [ $$size -gt 29000000 ]; then echo "larger than 29 MB"; exit 1; fi

cross: ## stripped binaries for linux/amd64, arm64 and armv7 in dist/
	scripts/cross

clean: ## remove what was built
	rm -rf bin dist
