#!/usr/bin/env bash
# Runs every fuzz target of the module for a while each: scripts/fuzz.sh [duration], default 5s.
set -euo pipefail
cd "$(dirname "$0")/.."

fuzztime=${1:-5s}
go=${GO:-go}

log=$(mktemp)
trap 'rm -f "$log"' EXIT

# Minimising is bounded: where one input runs a whole session it would take all of the time.
ran=0
failed=()
while IFS=: read -r file target; do
  package=./$(dirname "$file")
  echo "=== $target in $package"
  ran=$((ran + 1))
  if "$go" test -run '^$' -fuzz "^$target\$" -fuzztime "$fuzztime" -fuzzminimizetime 5x "$package" </dev/null 2>&1 | tee "$log"; then
    continue
  fi
  # Go ends a run that is inside an input when the time is up with a bare "context deadline exceeded" and no
  # failing input (golang/go#75804): that is the end of the run, not a finding.
  if grep -q 'context deadline exceeded' "$log" && ! grep -qE 'Failing input written|panic:|--- FAIL: [^ ]+/|build failed' "$log"; then
    echo "    (time was up inside an input; nothing found)"
    continue
  fi
  failed+=("$target in $package")
done < <(grep -rHoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed -E 's|^\./||; s/:func /:/' | sort)

if [ ${#failed[@]} -gt 0 ]; then
  printf 'FAIL: %s\n' "${failed[@]}" >&2
  exit 1
fi
echo "$ran fuzz targets, $fuzztime each, nothing found"
