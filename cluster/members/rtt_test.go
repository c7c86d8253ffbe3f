package members_test

import (
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

// A probe that was answered late by a busy machine does not make a member look
// far away; a distance that has grown shows after a few probes.
func TestRoundTripIsTheShortestOfSome(t *testing.T) {
	m := start(t, keyFile(t), "eu-1", nil)
	probe := func(rtt, want time.Duration) {
		t.Helper()
		m.NotifyPingComplete(&memberlist.Node{Name: "eu-1"}, rtt, nil)
		if got := m.Members.Members()[0].RTT; got != want {
			t.Errorf("after a probe of %s: RTT %s, want %s", rtt, got, want)
		}
	}
	probe(490*time.Millisecond, 490*time.Millisecond)
	probe(2*time.Millisecond, 2*time.Millisecond)
	probe(490*time.Millisecond, 2*time.Millisecond)
	for range 6 {
		probe(80*time.Millisecond, 2*time.Millisecond)
	}
	probe(80*time.Millisecond, 80*time.Millisecond)
}
