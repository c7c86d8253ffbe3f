#!/usr/bin/env bash
# Runs the tests under the race detector: scripts/race.sh [packages], default ./...
#
# Packages that use testing/synctest run with one P each (-cpu 1): with more, Go's own race detector crashes now and then
# in the timers of a bubble (docs/decisions/0018 says what that costs).
# Those that run built programs are left out: it does not see into them.
set -euo pipefail
cd "$(dirname "$0")/.."

go=${GO:-go}
# A line for each package: its path, and what its tests import.
list=$("$go" list -f '{{.ImportPath}} {{join .TestImports " "}} {{join .XTestImports " "}}' "${@:-./...}")

hub=
bubbles=()
plain=()
while read -r package imports; do
  [[ $package != */scripts/* ]] || continue
  case " $imports " in
    *\ testing/synctest\ *)
      case $package in
        */relay) hub=$package ;;
        *) bubbles+=("$package") ;;
      esac
      ;;
    *) plain+=("$package") ;;
  esac
done <<<"$list"

status=0

# The hub's tests take twice as long as all others together, and a package of bubbles has one P: every other one of them in a process of its own.
if [ -n "$hub" ]; then
  dir=$(mktemp -d)
  trap 'rm -rf "$dir"' EXIT
  "$go" test -race -c -o "$dir/hub" "$hub"
  cd relay
  half="^($("$dir/hub" -test.list '^Test' | awk 'NR % 2' | paste -sd '|'))$"
  echo "$hub in halves"
  "$dir/hub" -test.timeout 15m -test.cpu 1 -test.run "$half" >"$dir/log" 2>&1 &
  first=$!
  "$dir/hub" -test.timeout 15m -test.cpu 1 -test.skip "$half" || status=1
  wait "$first" || status=1
  cat "$dir/log"
  cd ..
fi

[ ${#bubbles[@]} -eq 0 ] || "$go" test -race -timeout 15m -cpu 1 "${bubbles[@]}" || status=1
[ ${#plain[@]} -eq 0 ] || "$go" test -race -timeout 15m "${plain[@]}" || status=1
exit "$status"
