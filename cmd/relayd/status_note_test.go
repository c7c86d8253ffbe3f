package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/control"
)

// TestNoteFits keeps a note readable however much there is to tell: it was cut off in the middle, and the others took its author for gone, which
// is when all of many upstreams fail with long errors, or with some hundred replicas.
func TestNoteFits(t *testing.T) {
	many := func(upstreams, replicas int) note {
		n := note{Member: control.Member{Name: "eu-1", Role: control.RoleLeader, Upstream: "0 connected", Mark: 7}, Active: "nodeos-0", ActiveID: "00000000"}
		for i := range upstreams {
			n.Upstreams = append(n.Upstreams, control.Upstream{
				Addr: fmt.Sprintf("seed%d.example.org:9876", i), State: control.UpstreamUnreachable, Node: "eu-1", LastError: strings.Repeat("dial tcp: é ", 20),
			})
		}
		for i := range replicas {
			n.Member.Replicas = append(n.Member.Replicas, control.Replica{Name: fmt.Sprint(strings.Repeat("<", 50), i), NodeID: fmt.Sprintf("%08x", i), Version: "8"})
		}
		if replicas > 2 {
			n.Member.Replicas[replicas-1].Observer, n.Member.Replicas[replicas-2].Active = true, true
		}
		return n
	}
	for name, test := range map[string]struct {
		n                   note
		upstreams, replicas int // that are told at least
		errors              int // bytes of an upstream's error, at least
	}{
		"little":          {many(2, 3), 2, 3, 200},
		"all upstreams":   {many(maxUpstreams, 3), maxUpstreams, 3, shortError - 1},
		"many replicas":   {many(2, 300), 2, 20, 0},
		"much of all":     {many(maxUpstreams, 1000), maxUpstreams, 3, 0},
		"nothing at all ": {note{}, 0, 0, 0},
	} {
		body, err := test.n.encoded(relay.MaxNote)
		if err != nil || len(body) > relay.MaxNote {
			t.Errorf("%s: %d bytes, %v, want at most %d", name, len(body), err, relay.MaxNote)
		}
		got, ok := decodeNote(relay.Note{Body: body})
		if !ok || got.Member.Mark != test.n.Member.Mark || len(got.Upstreams) < test.upstreams || len(got.Member.Replicas) < test.replicas {
			t.Errorf("%s: readable: %v; %d upstreams and %d replicas, want %d and %d or more", name, ok, len(got.Upstreams), len(got.Member.Replicas), test.upstreams, test.replicas)
			continue
		}
		if len(got.Upstreams) > 0 && len(got.Upstreams[0].LastError) < test.errors {
			t.Errorf("%s: the error is %q, want %d bytes or more", name, got.Upstreams[0].LastError, test.errors)
		}
		if all, told := len(test.n.Member.Replicas), len(got.Member.Replicas); told < all {
			if want := fmt.Sprintf("%d more replicas", all-told); got.Member.Note != want || !got.Member.Replicas[0].Active || !got.Member.Replicas[1].Observer {
				t.Errorf("%s: note %q, want %q, and the active replica and the observer first", name, got.Member.Note, want)
			}
		}
	}
	if whole, err := json.Marshal(many(maxUpstreams, 3)); err != nil || len(whole) <= relay.MaxNote {
		t.Errorf("%d bytes for %d upstreams: the test shows nothing", len(whole), maxUpstreams)
	}
}
