package main

import (
	"context"
	"testing"

	"github.com/thinrelay/thinrelay/cluster/members"
)

// hearsay is a gossip that says what it is told to.
type hearsay []members.Member

func (hearsay) Run(context.Context) error   { return nil }
func (h hearsay) Members() []members.Member { return h }
func (hearsay) Update(members.Meta)         {}
func (hearsay) Changed() <-chan struct{}    { return nil }

// A host that was replaced under another name keeps its address; the former name stays in gossip for days. A dial must not insist on
// that one.
func TestNameOfAnAddress(t *testing.T) {
	at := func(name string, state members.State) members.Member {
		return members.Member{Name: name, State: state, Meta: members.Meta{ClusterAddr: "10.0.0.3:8300"}}
	}
	tests := map[string]struct {
		heard hearsay
		want  string
	}{
		"alive":                   {hearsay{at("ap-1", members.Alive)}, "ap-1"},
		"replaced after a crash":  {hearsay{at("ap-1", members.Gone), at("ap-2", members.Alive)}, "ap-2"},
		"replaced after goodbye":  {hearsay{at("ap-1", members.Left), at("ap-2", members.Alive)}, "ap-2"},
		"gone":                    {hearsay{at("ap-1", members.Gone)}, ""},
		"ourselves":               {hearsay{at("eu-1", members.Alive)}, ""},
		"nobody is known by that": {nil, ""},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			m := &member{cfg: Config{Node: "eu-1"}, gossip: tt.heard}
			got, ok := m.nameOf("10.0.0.3:8300")
			if got != tt.want || ok != (tt.want != "") {
				t.Errorf("got %q, %v, want %q", got, ok, tt.want)
			}
		})
	}
}
