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
# Minimising is bounded: where one input runs a whole session it would take all of the time.
options=(-test.run '^$' -test.fuzztime "$fuzztime" -test.fuzzminimizetime 5x)
[ -z "${PARALLEL:-}" ] || options+=(-test.parallel "$PARALLEL")

built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
log=$built/log
cache=$("$go" env GOCACHE)/fuzz # where go test -fuzz keeps what it has found

# fuzz TARGET PACKAGE: go test -fuzz, but that a package is linked once for all of its targets.
fuzz() {
  local import binary
  import=$("$go" list "$2")
  binary=$built/${import//\//-}
  [ -e "$binary" ] || "$go" test -c -fuzz . -o "$binary" "$2"
  (cd "$2" && "$binary" "${options[@]}" -test.fuzz "^$1\$" -test.fuzzcachedir "$cache/$import")
}

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
  if fuzz "$target" "$package" </dev/null 2>&1 | tee "$log" ||
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
