package main

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/control"
)

// note is what members tell each other for status (relay.Note).
type note struct {
	Member    control.Member     `json:"member"`
	Upstreams []control.Upstream `json:"upstreams"`
	Active    string             `json:"active"`
	ActiveID  string             `json:"active_id"`           // its short node id: names need not differ
	Quorum    control.Quorum     `json:"quorum"`              // as its author counts it
	Stuck     bool               `json:"unresolved,omitzero"` // it leads, and waits for the network to move past the mark
}

// shortError is what is left of an upstream's last error where a note has no room for all of it.
const shortError = 40

// encoded is the note in at most limit bytes: one that is cut off anywhere says nothing, and its author is taken for one that is gone. What is
// worth least goes first: the words of errors, then replicas that only stand by.
func (n note) encoded(limit int) ([]byte, error) {
	body, err := json.Marshal(n)
	for _, keep := range []int{shortError, 0} {
		if err != nil || len(body) <= limit {
			return body, err
		}
		n.Upstreams = slices.Clone(n.Upstreams)
		for i := range n.Upstreams {
			u := &n.Upstreams[i]
			u.LastError = u.LastError[:min(len(u.LastError), keep)]
		}
		body, err = json.Marshal(n)
	}
	all := slices.Clone(n.Member.Replicas)
	slices.SortStableFunc(all, func(a, b control.Replica) int { return worth(b) - worth(a) })
	for kept := len(all); err == nil && len(body) > limit && kept > 0; {
		kept /= 2
		n.Member.Replicas = all[:kept]
		n.Member.Note = fmt.Sprintf("%d more replicas", len(all)-kept)
		body, err = json.Marshal(n)
	}
	return body, err
}

// worth ranks a replica by what status could not do without.
func worth(r control.Replica) int {
	switch {
	case r.Active:
		return 2
	case r.Observer:
		return 1
	}
	return 0
}

func noteAge(n relay.Note, now time.Time) time.Duration { return n.Age + now.Sub(n.At) }

func decodeNote(n relay.Note) (out note, ok bool) {
	return out, n.Body != nil && json.Unmarshal(n.Body, &out) == nil
}

// unresolved is the problem of a leader that waits for the network to move past the mark.
func unresolved(leader string, mark uint32) control.Problem {
	return control.Problem{
		Level: control.HealthDown, Code: "unresolved", Node: leader,
		Text:   fmt.Sprintf("lets no block out: an earlier leader may have sent the one after #%d, and no upstream shows a higher one", mark),
		Remedy: "the network's next block ends it: if it lasts, see whether the upstreams go on at all; where nobody else produces set failover.unresolved_after",
	}
}
