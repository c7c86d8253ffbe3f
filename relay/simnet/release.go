package simnet

import "fmt"

// A Release is a nodeos version, as far as peers can tell it from others.
type Release uint8

// The releases that are modelled.
const (
	Spring12 Release = iota
	Spring11
	Spring10
	Leap5
	Leap4
	EOSIO21
	EOSIO20
)

// siblingRule is what a producing node does with a block that arrives while it
// is in producing mode (p2p notes, 7.1).
type siblingRule uint8

const (
	siblingStored  siblingRule = iota // kept, applied after the round
	siblingApplied                    // kept, and every start_block may switch to it
	siblingPoison                     // dropped, and its id stays known: re-sending is ignored
	siblingDropped                    // dropped and forgotten
)

type release struct {
	name     string
	version  int // protocol version announced
	votes    bool
	nacks    bool
	siblings siblingRule
	span     uint32 // sync-fetch-span
	distance uint32 // head distance that counts as behind, in blocks
	early    bool   // broadcasts after header validation, before applying
	cache    bool   // keeps unlinkable blocks for their parent
	fast     bool   // retries after a plain close at once
}

var releases = [...]release{
	Spring12: {"v1.2.2", 11, true, true, siblingStored, 1000, 10, true, false, false},
	Spring11: {"v1.1.5", 10, true, true, siblingStored, 1000, 10, true, false, false},
	Spring10: {"v1.0.5", 9, true, false, siblingApplied, 1000, 10, true, true, false},
	Leap5:    {"v5.0.3", 7, false, false, siblingPoison, 1000, 10, true, true, true},
	Leap4:    {"v4.0.6", 7, false, false, siblingDropped, 100, 0, true, false, true},
	EOSIO21:  {"v2.1.0", 5, false, false, siblingDropped, 100, 0, false, false, true},
	EOSIO20:  {"v2.0.13", 1, false, false, siblingDropped, 100, 0, false, false, true},
}

func (r Release) facts() release {
	if int(r) >= len(releases) {
		return releases[Spring12]
	}
	return releases[r]
}

// String is the release's version.
func (r Release) String() string { return r.facts().name }

// ParseRelease reads "spring-1.2", "leap-5" and the like.
func ParseRelease(s string) (Release, error) {
	names := map[string]Release{
		"spring-1.2": Spring12, "spring-1.1": Spring11, "spring-1.0": Spring10,
		"leap-5": Leap5, "leap-4": Leap4, "eosio-2.1": EOSIO21, "eosio-2.0": EOSIO20,
	}
	r, ok := names[s]
	if !ok {
		return 0, fmt.Errorf("unknown release %q", s)
	}
	return r, nil
}

// forkChoice is the rule of this release on a chain.
func (r Release) forkChoice(legacy bool) forkRule {
	switch {
	case r.facts().siblings == siblingPoison || r.facts().siblings == siblingDropped:
		return forkFirst
	case legacy:
		return forkLegacy
	}
	return forkSavanna
}
