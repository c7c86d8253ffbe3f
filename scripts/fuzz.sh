#!/usr/bin/env bash
# Runs the fuzz targets of the module for a while each: scripts/fuzz.sh [duration], default 5s.
#
#   FUZZ=regexp      only the targets whose name or package matches
#   PARALLEL=n       so many at once, instead of one per CPU
#   DONE=file        remembers the targets that have had this duration without a finding, and skips them: the run can be
#                    stopped and started again; it says first what it will take
set -euo pipefail
cd "$(dirname "$0")/.."

fuzztime=${1:-5s}
go=${GO:-go}
only=${FUZZ:-.}
done=${DONE:-}
options=(-fuzztime "$fuzztime" -fuzzminimizetime 5x) # Minimising is bounded: where one input runs a whole session it would take all of the time.
[ -z "${PARALLEL:-}" ] || options+=(-parallel "$PARALLEL")

log=$(mktemp)
trap 'rm -f "$log"' EXIT

targets=()
skipped=0
while IFS=: read -r file target; do
  name="$target in ./$(dirname "$file")"
  [[ $name =~ $only ]] || continue
  if [ -n "$done" ] && [ -e "$done" ] && grep -qxF "$fuzztime $name" "$done"; then
    skipped=$((skipped + 1))
    continue
  fi
  targets+=("$name")
done < <(grep -rHoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed -E 's|^\./||; s/:func /:/' | sort)

if [ -n "$done" ]; then
  mkdir -p "$(dirname "$done")"
  echo "${#targets[@]} fuzz targets to run for $fuzztime each, one after another; $skipped have had that ($done)"
fi

failed=()
for name in "${targets[@]}"; do
  target=${name%% in *}
  package=${name#* in }
  echo "=== $name"
  # Go ends a run that is inside an input when the time is up with a bare "context deadline exceeded" and no
  # failing input (golang/go#75804): that is the end of the run, not a finding.
  if "$go" test -run '^$' -fuzz "^$target\$" "${options[@]}" "$package" </dev/null 2>&1 | tee "$log" ||
    { grep -q 'context deadline exceeded' "$log" && ! grep -qE 'Failing input written|panic:|--- FAIL: [^ ]+/|build failed' "$log"; }; then
    [ -z "$done" ] || echo "$fuzztime $name" >>"$done"
    continue
  fi
  failed+=("$name")
done

if [ ${#failed[@]} -gt 0 ]; then
  printf 'FAIL: %s\n' "${failed[@]}" >&2
  exit 1
fi
echo "${#targets[@]} fuzz targets, $fuzztime each, nothing found"
