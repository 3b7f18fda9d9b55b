#!/usr/bin/env bash
# Runs conformance.py with the official Python SDK against the simulator of a debug build. Without pip or its registry it
# says so and ends with 0. About half a minute.
set -euo pipefail
cd "$(dirname "$0")/../.."
program=${1:-target/debug/imagebaked}
venv=target/sdk-venv
packages="alibabacloud-appstream-center20210901==5.9.0 alibabacloud-ecd20200930==5.5.0 alibabacloud-sts20150401==1.2.0"

if ! { [ -x "$venv/bin/python" ] || python3 -m venv "$venv"; } >/dev/null 2>&1 ||
  ! timeout 90 "$venv/bin/pip" install --quiet --disable-pip-version-check $packages; then
  echo "the official SDK could not be installed; skipped"
  exit 0
fi

log=$(mktemp)
trap 'kill "$sim" 2>/dev/null || true; rm -f "$log"' EXIT
"$program" sim --listen 127.0.0.1:0 --build-time 3s --power-time 1s >"$log" &
sim=$!
for _ in $(seq 100); do
  address=$(sed -n 's|.*listens on http://\([0-9.:]*\);.*|\1|p' "$log")
  [ -n "$address" ] && break
  sleep 0.1
done
"$venv/bin/python" tests/sdk/conformance.py "$address"
