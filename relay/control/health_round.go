package control

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

const (
	// lostDegraded is how many slots of a round without a block are worth a word: a takeover costs one, a fork of two producers one more.
	lostDegraded = 3
	// roundCounts is for how long a round says something about now: some rounds of a schedule of 21 producers.
	roundCounts = 10 * time.Minute
)

// lostSlots counts the slots of our last round that passed without a block, of those that are decided.
func (s *Status) lostSlots() (lost, decided int) {
	if s.Round == nil {
		return 0, 0
	}
	for _, slot := range s.Round.Slots {
		if slot.State == SlotPending || s.Time.Sub(slot.Time) > roundCounts {
			continue
		}
		decided++
		if slot.State == SlotMissed {
			lost++
		}
	}
	return lost, decided
}

// assessAccounts looks for replicas whose blocks are refused since they are by an account that nobody has listed: all else is well then, and
// no block leaves. The leader alone sees what is refused.
func (s *Status) assessAccounts() {
	var names []string
	for _, e := range s.Events {
		if e.Kind == KindRefused && e.Reason == "not_ours" && s.Time.Sub(e.Time) <= roundCounts && !slices.Contains(names, e.Source) {
			names = append(names, e.Source)
		}
	}
	if len(names) == 0 {
		return
	}
	slices.Sort(names)
	s.problem(HealthDegraded, "not_ours", "",
		fmt.Sprintf("blocks of %s are not sent: they are by an account that is not in producers", strings.Join(names, ", ")),
		"relayctl blocks shows the account: list it in producers of every relay, or correct producer-name of the replica; this is said for ten minutes after the last one")
}

// assessRound looks at what became of our last round, and at what the vote gate cannot work without. Replicas are live.
func (s *Status) assessRound(observers int) {
	lost, decided := s.lostSlots()
	bad := lost >= lostDegraded && s.Quorum.OK && s.Leader != ""
	unheard := s.Mode == ModeVotes && observers == 0
	if unheard {
		level := HealthNotice
		if bad {
			level = HealthDegraded
		}
		s.problem(level, "no_finalizer", "",
			"no finalizer node is connected: with its key on a replica our votes end with that replica, and without our votes the replicas pause",
			"run the BLS key on a node of its own (relayctl nodeos-config --finalizer) and list it in downstream.observers of every relay")
	}
	if !bad {
		return
	}
	level := HealthDegraded
	if lost == len(s.Round.Slots) {
		level = HealthDown
	}
	s.problem(level, "slots_missed", "",
		fmt.Sprintf("%d of the last %d slots of ours passed without a block", lost, decided),
		"see that the finalizer node runs and votes, that no replica is paused, and what relayctl blocks says was refused; \"slots without a block\" in the operations guide has the causes in order")
}
