#!/usr/bin/env bash
# Are Prometheus' configuration and rules what it takes, and do the alerts come when they should? No brain is needed.
set -euo pipefail
cd "$(dirname "$0")/.."

promtool=$(scripts/prometheus.sh)/promtool
"$promtool" check config --lint=all --lint-fatal observe/prometheus.yml
"$promtool" test rules observe/rules_test.yml
