#!/usr/bin/env bash
# Runs seeded fault schedules on simulated groups and adds up what they found: scripts/schedules.sh [number] [first seed].
#
# A schedule is a sequence of faults with its own seed, after which all is healed and the group has to work again. There
# are three tiers, each with a share of the number:
#   members   half: whole relays (node, Raft, mutual TLS, links) in front of a simulated network
#   fleets    a quarter: relays and links in front of the network, with a stand-in for the group that keeps Raft's promises and no more
#   cluster   a quarter: Raft, its storage and membership, without a relay
# The run can be cut in pieces, and goes on where another one ended when it is given its first seed.
set -euo pipefail
cd "$(dirname "$0")/.."

number=${1:-4000}
first=${2:-1}
go=${GO:-go}
# So many schedules a process: each one tells what it found when it ends.
batch=${BATCH:-2000}

dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
counts=$dir/counts
touch "$counts"

declare -A package=([members]=cmd/relayd [fleets]=relay [cluster]=cluster)
declare -A run=([members]='^TestGroupSchedules$' [fleets]='^TestRandomSchedules$' [cluster]='^TestSchedules$')
declare -A seeds=([members]=group.seeds [fleets]=schedules [cluster]=schedules)
declare -A begin=([members]=group.first [fleets]=schedules.first [cluster]=seed)
declare -A share=([members]=$(((number + 1) / 2)) [fleets]=$(((number + 2) / 4)) [cluster]=$((number / 4)))

status=0
for tier in members fleets cluster; do
  "$go" test -c -o "$dir/$tier" "./${package[$tier]}"
  left=${share[$tier]}
  seed=$first
  while [ "$left" -gt 0 ] && [ "$status" -eq 0 ]; do
    n=$((left < batch ? left : batch))
    (cd "${package[$tier]}" && "$dir/$tier" -test.timeout 0 -test.run "${run[$tier]}" "-${seeds[$tier]}" "$n" "-${begin[$tier]}" "$seed") \
      >"$dir/log" 2>&1 || status=1
    grep '^schedules tier=' "$dir/log" | tee -a "$counts" | sed -E 's/ fault\..*//'
    [ "$status" -eq 0 ] || cat "$dir/log" >&2
    left=$((left - n))
    seed=$((seed + n))
  done
done

awk -v first="$first" '
  {
    for (i = 2; i <= NF; i++) {
      split($i, kv, "=")
      if (kv[1] == "tier") { tier = kv[2]; continue }
      if (kv[1] ~ /^fault\./) { kind = substr(kv[1], 7); faults[kind] += kv[2]; all += kv[2]; continue }
      sum[kv[1]] += kv[2]
      if (kv[1] == "n") per[tier] += kv[2]
    }
  }
  END {
    printf "%d schedules from seed %d (%d members, %d fleets, %d cluster), %d faults, %d blocks of ours: %d double, %d unlinked, %d lowered marks; %d s\n",
      sum["n"], first, per["members"], per["fleets"], per["cluster"], all, sum["blocks"], sum["double"], sum["unlinked"], sum["lowered"], sum["seconds"]
    n = 0
    for (kind in faults) names[++n] = kind
    for (i = 2; i <= n; i++) for (j = i; j > 1 && names[j] < names[j-1]; j--) { t = names[j]; names[j] = names[j-1]; names[j-1] = t }
    printf "faults:"
    for (i = 1; i <= n; i++) printf " %s %d%s", names[i], faults[names[i]], i < n ? "," : "\n"
  }' "$counts"
exit "$status"
