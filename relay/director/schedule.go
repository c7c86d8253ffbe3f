package director

import "github.com/thinrelay/thinrelay/relay/wire"

// RoundSlots is the length of a producer's round (nodeos
// libraries/chain/include/eosio/chain/config.hpp, producer_repetitions).
const RoundSlots = 12

// maxCycle bounds the schedule's length in rounds: Antelope chains have 21
// producers, and 125 is nodeos' limit (config.hpp, max_producers).
const maxCycle = 125

// Schedule learns the producer schedule from the blocks that pass. The
// schedule is periodic: producer i of n owns the slots of which slot/12 mod n
// is i. A relay without chain state sees who signed which slot, and that is
// enough to tell whose the next one is.
type Schedule struct {
	ours map[wire.Name]bool
	// seen[r mod len(seen)] is who produced in round r (slot / 12).
	seen [2 * maxCycle]turn
	last uint32
	// cycle is the schedule's length in rounds, 0 while unknown.
	cycle uint32
}

type turn struct {
	round    uint32
	producer wire.Name
}

// NewSchedule returns a schedule that knows nothing but our producers.
func NewSchedule(ours []wire.Name) *Schedule {
	s := &Schedule{ours: make(map[wire.Name]bool, len(ours))}
	for _, n := range ours {
		s.ours[n] = true
	}
	return s
}

// IsOurs reports whether the producer is one of ours.
func (s *Schedule) IsOurs(p wire.Name) bool { return s.ours[p] }

// Observe records that producer signed a block of the network's chain for slot.
func (s *Schedule) Observe(slot wire.Slot, producer wire.Name) {
	round := uint32(slot) / RoundSlots
	if round < s.last || (round == s.last && s.at(round) == producer) {
		return
	}
	s.last = round
	s.seen[round%uint32(len(s.seen))] = turn{round, producer}
	for back := uint32(1); back <= maxCycle && back <= round; back++ {
		if s.at(round-back) != producer {
			continue
		}
		if s.cycle == 0 || back%s.cycle != 0 || s.at(round-s.cycle) != 0 { // else it missed its rounds since
			s.cycle = back
		}
		return
	}
}

// at returns who produced in the round, 0 when unknown.
func (s *Schedule) at(round uint32) wire.Name {
	if t := s.seen[round%uint32(len(s.seen))]; t.round == round {
		return t.producer
	}
	return 0
}

// Producer returns who the schedule gives the slot to, 0 when not known.
func (s *Schedule) Producer(slot wire.Slot) wire.Name {
	round := uint32(slot) / RoundSlots
	if p := s.at(round); p != 0 {
		return p
	}
	if s.cycle == 0 {
		return 0
	}
	for back := s.cycle; back <= 2*maxCycle-s.cycle && back <= round; back += s.cycle {
		if p := s.at(round - back); p != 0 {
			return p
		}
	}
	return 0
}

// Ours reports whether the slot is known to be one of ours.
func (s *Schedule) Ours(slot wire.Slot) bool { return s.ours[s.Producer(slot)] }

// NextRound returns the first slot, at from or later, at which a round of ours
// begins; false when the schedule is not known yet.
func (s *Schedule) NextRound(from wire.Slot) (wire.Slot, bool) {
	first := (uint32(from) + RoundSlots - 1) / RoundSlots * RoundSlots
	for i := range uint32(maxCycle + 1) {
		if slot := wire.Slot(first + i*RoundSlots); s.Ours(slot) {
			return slot, true
		}
	}
	return 0, false
}

// Cycle returns the schedule's length in rounds, 0 while unknown.
func (s *Schedule) Cycle() int { return int(s.cycle) }
