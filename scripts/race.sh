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

bubbles=()
plain=()
while read -r package imports; do
  [[ $package != */scripts/* ]] || continue
  case " $imports " in
    *\ testing/synctest\ *)
      case $package in
        # The hub's take as long as all others together: first, or they run alone at the end.
        */relay) bubbles=("$package" "${bubbles[@]}") ;;
        *) bubbles+=("$package") ;;
      esac
      ;;
    *) plain+=("$package") ;;
  esac
done <<<"$list"

status=0
[ ${#bubbles[@]} -eq 0 ] || "$go" test -race -timeout 15m -cpu 1 "${bubbles[@]}" || status=1
[ ${#plain[@]} -eq 0 ] || "$go" test -race -timeout 15m "${plain[@]}" || status=1
exit "$status"
