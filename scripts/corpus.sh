#!/usr/bin/env bash
# Keeps what fuzzing has found, where it covers statements that the committed inputs do not: scripts/corpus.sh
#
# Go leaves what it finds in its cache. Each cached input of a target is run against a build that counts coverage, the
# shortest first, and copied to the target's testdata/fuzz when it reaches a statement of the package that nothing
# before it has. FUZZ=regexp takes only the targets whose name or package matches.
set -euo pipefail
cd "$(dirname "$0")/.."

go=${GO:-go}
only=${FUZZ:-.}
most=4096 # bytes: longer inputs are not kept
cache=$("$go" env GOCACHE)/fuzz
module=$("$go" list -m)
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT

# covered PROFILE: the statements that a profile has reached.
covered() { awk 'NR > 1 && $NF > 0 { print $1 }' "$1" | sort -u; }

kept=0
while IFS=: read -r file target; do
  package=$(dirname "$file")
  [[ "$target in ./$package" =~ $only ]] || continue
  found=$cache/$module/$package/$target
  [ -d "$found" ] || continue
  "$go" test -c -cover -covermode set -o "$dir/test" "./$package"
  corpus=$package/testdata/fuzz/$target
  run() { (cd "$package" && "$dir/test" -test.run "$1" -test.coverprofile "$dir/profile" >/dev/null 2>&1); }
  run "^$target\$" || { echo "$target in ./$package fails on its corpus" >&2; exit 1; }
  covered "$dir/profile" >"$dir/have"
  before=$kept
  while read -r size input; do
    [ "$size" -le "$most" ] || break
    name=$(basename "$input")
    [ -e "$corpus/$name" ] && continue
    mkdir -p "$corpus"
    cp "$input" "$corpus/$name"
    if run "^$target\$/^$name\$" && covered "$dir/profile" >"$dir/got" && [ -n "$(comm -13 "$dir/have" "$dir/got")" ]; then
      sort -u "$dir/have" "$dir/got" -o "$dir/have"
      kept=$((kept + 1))
    else
      rm "$corpus/$name"
      rmdir --ignore-fail-on-non-empty -p "$corpus"
    fi
  done < <(find "$found" -type f -printf '%s %p\n' | sort -n)
  echo "$target in ./$package: $((kept - before)) kept of $(find "$found" -type f | wc -l) in the cache, $(wc -l <"$dir/have") statements covered"
done < <(grep -rHoE --include='*_test.go' '^func Fuzz[A-Za-z0-9_]*' . | sed -E 's|^\./||; s/:func /:/' | sort)
echo "$kept inputs kept"
