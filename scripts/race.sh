#!/usr/bin/env bash
# Runs the tests under the race detector: scripts/race.sh [packages], default ./...
#
# Packages that use testing/synctest run with one P each (-cpu 1): with more, Go's own race detector crashes now and then
# in the timers of a bubble (docs/decisions/0018). What it finds does not depend on two goroutines running at one time.
# Those that run built programs are left out: it does not see into them.
set -euo pipefail
cd "$(dirname "$0")/.."

go=${GO:-go}
bubbles=()
plain=()
while read -r kind package; do
  case $kind in
    bubbles) bubbles+=("$package") ;;
    plain) plain+=("$package") ;;
  esac
done < <("$go" list -f '{{$kind := "plain"}}{{range .XTestImports}}{{if eq . "testing/synctest"}}{{$kind = "bubbles"}}{{end}}{{end}}{{range .TestImports}}{{if eq . "testing/synctest"}}{{$kind = "bubbles"}}{{end}}{{end}}{{$kind}} {{.ImportPath}}' "${@:-./...}" | grep -v /scripts/)

status=0
[ ${#bubbles[@]} -eq 0 ] || "$go" test -race -timeout 15m -cpu 1 "${bubbles[@]}" || status=1
[ ${#plain[@]} -eq 0 ] || "$go" test -race -timeout 15m "${plain[@]}" || status=1
exit "$status"
