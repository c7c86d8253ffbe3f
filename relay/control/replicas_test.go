package control_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
)

// TestReplicaAtTwoMembers counts a replica once that is connected to two members, as nodeos-config advises: as two it hid that nothing
// stands by.
func TestReplicaAtTwoMembers(t *testing.T) {
	a := control.Replica{Name: "nodeos-a", NodeID: "1f00aa12", Active: true}
	b := control.Replica{Name: "nodeos-a", NodeID: "2e77bc01"} // of the same name: nodeos has one for all that were given none
	syncing := b
	syncing.Syncing = true
	for name, test := range map[string]struct {
		eu, us []control.Replica
		alone  bool
		live   string
	}{
		"one, at one member":           {[]control.Replica{a}, nil, true, "1"},
		"one, at two members":          {[]control.Replica{a}, []control.Replica{a}, true, "1"},
		"two":                          {[]control.Replica{a}, []control.Replica{b}, false, "2"},
		"two, at two members each":     {[]control.Replica{a, b}, []control.Replica{b, a}, false, "2"},
		"two, one of them syncing":     {[]control.Replica{a, syncing}, []control.Replica{a}, true, "1"},
		"two, one behind at one relay": {[]control.Replica{a, b}, []control.Replica{a, syncing}, false, "2"},
		"one, and a finalizer node":    {[]control.Replica{a, {Name: "fin-1", NodeID: "77", Observer: true}}, []control.Replica{a}, true, "1"},
	} {
		node, m := newFakeNode(), control.NewMetrics("")
		node.change(func(st *control.Status) { st.Members[0].Replicas, st.Members[1].Replicas = test.eu, test.us })
		st, _ := node.Status(t.Context())
		st.Assess()
		if got := slices.ContainsFunc(st.Problems, func(p control.Problem) bool { return p.Code == "one_replica" }); got != test.alone {
			t.Errorf("%s: said to be alone: %v, want %v", name, got, test.alone)
		}
		s := control.New(control.Config{Node: node, Metrics: m})
		if text := get(s, "/metrics").Body.String(); !strings.Contains(text, "thinrelay_live_replicas "+test.live+"\n") {
			t.Errorf("%s: /metrics does not tell of %s live replicas", name, test.live)
		}
	}
}

// TestStaleIsTheLinks sends whoever looks at old figures of a member to the port that figures come by: gossip is another one, and heard
// that member all the time.
func TestStaleIsTheLinks(t *testing.T) {
	node := newFakeNode()
	node.change(func(st *control.Status) { st.Members[1].Stale, st.Members[1].AgeMS = true, 3000 })
	st, _ := node.Status(t.Context())
	st.Assess()
	i := slices.IndexFunc(st.Problems, func(p control.Problem) bool { return p.Code == "stale" })
	if i < 0 || !strings.Contains(st.Problems[i].Remedy, "cluster.listen") || strings.Contains(st.Problems[i].Remedy, "gossip") {
		t.Errorf("problems %+v, want one about old figures that names cluster.listen", st.Problems)
	}
}

// TestOtherAccount: with a producer that is not listed everything worked but that no block left, and status said that all is well.
func TestOtherAccount(t *testing.T) {
	node := newFakeNode()
	node.change(func(st *control.Status) {
		refused := control.Event{Time: st.Time.Add(-time.Minute), Kind: control.KindRefused, Source: "nodeos-b", Reason: "not_ours"}
		old, unlinked := refused, refused
		old.Time, old.Source = st.Time.Add(-time.Hour), "nodeos-a"
		unlinked.Reason, unlinked.Source = "unlinked", "nodeos-c"
		st.Events = []control.Event{refused, unlinked, refused, old}
	})
	st, _ := node.Status(t.Context())
	st.Assess()
	i := slices.IndexFunc(st.Problems, func(p control.Problem) bool { return p.Code == "not_ours" })
	if i < 0 || st.Problems[i].Level != control.HealthDegraded || !strings.Contains(st.Problems[i].Text, "blocks of nodeos-b are") {
		t.Errorf("problems %+v, want one about the blocks of nodeos-b alone", st.Problems)
	}
}
