package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// simTally is what schedules have done and found.
type simTally struct {
	schedules, blocks         int
	double, unlinked, lowered int
	faults                    map[string]int
}

func (a *simTally) add(b simTally) {
	a.schedules += b.schedules
	a.blocks += b.blocks
	a.double += b.double
	a.unlinked += b.unlinked
	a.lowered += b.lowered
	for kind, n := range b.faults {
		a.faults[kind] += n
	}
}

// line is the count that scripts/schedules.sh adds up.
func (a *simTally) line(tier string, took time.Duration) string {
	var b strings.Builder
	fmt.Fprintf(&b, "schedules tier=%s n=%d double=%d unlinked=%d lowered=%d blocks=%d seconds=%.1f",
		tier, a.schedules, a.double, a.unlinked, a.lowered, a.blocks, took.Seconds())
	for _, kind := range slices.Sorted(maps.Keys(a.faults)) {
		fmt.Fprintf(&b, " fault.%s=%d", kind, a.faults[kind])
	}
	return b.String()
}
