#!/usr/bin/env bash
# The rules of this house that no linter knows. Prints every breach as file:line and fails if there is one.
set -euo pipefail
cd "$(dirname "$0")/.."

max_lines=400
bad=0

sources() { find . -name '*.go' -not -path './.*' -not -path '*/testdata/*' -type f "$@" | sort; }

# breach RULE MATCHES: reports the matches, if any, under the rule's sentence.
breach() {
  [ -n "$2" ] || return 0
  printf '%s\n%s\n\n' "$1" "$2" | sed '2,$s/^/  /'
  bad=1
}

# Inside a bubble of testing/synctest the clock is fake, and sleeping is how a test moves it.
breach "A test must not wait by sleeping: use testing/synctest, a channel or a condition." \
  "$(sources -name '*_test.go' | xargs -r grep -L '"testing/synctest"' | xargs -r grep -nE '\btime\.Sleep\(' | grep -v '// fake time' || true)"

breach "Only programs (cmd, scripts) print; everything else logs through the logger it was given or returns." \
  "$(sources -not -name '*_test.go' -not -path './cmd/*' -not -path './scripts/*' | xargs -r grep -nE '\bfmt\.Print(f|ln)?\(|\bprint(ln)?\(|\blog\.(Print|Fatal|Panic)' || true)"

breach "Finish it or open an issue: no notes to self in the source." \
  "$( { sources; find scripts deploy .ci -type f; echo Makefile; } | grep -v '/houserules.sh$' | xargs -r grep -nE '\b(TODO|FIXME|XXX)\b' || true)"

breach "A file holds one idea in at most $max_lines lines: split it." \
  "$(sources -not -name '*_test.go' | while read -r file; do
    lines=$(wc -l <"$file")
    [ "$lines" -le "$max_lines" ] || echo "$file: $lines lines"
  done)"

for script in scripts/*.sh .ci/run; do
  bash -n "$script" || bad=1
  [ -x "$script" ] || breach "A script can be executed: chmod +x." "$script"
done

exit "$bad"
