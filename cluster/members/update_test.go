package members_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"

	"github.com/thinrelay/thinrelay/cluster/members"
)

// asked counts how often memberlist takes what we tell, which it does to tell it to all.
type asked struct {
	memberlist.Delegate
	n atomic.Int32
}

func (a *asked) NodeMeta(limit int) []byte {
	a.n.Add(1)
	return a.Delegate.NodeMeta(limit)
}

// A member looks at itself twice a second and is most often what it was: that is not told again, each time to all.
func TestTheSameIsToldOnce(t *testing.T) {
	var told asked
	a := start(t, keyFile(t), "a", func(c *members.Config) {
		c.Tune = func(m *memberlist.Config) {
			local(m)
			told.Delegate = m.Delegate
			m.Delegate = &told
		}
	})
	reachable := members.Meta{Replicas: []string{"nodeos-a"}, UpstreamReachable: true}
	a.Update(reachable)
	a.waits("a/alive/nodeos-a")
	before := told.n.Load()
	for range 20 {
		a.Update(reachable)
		time.Sleep(5 * time.Millisecond)
	}
	if got := told.n.Load() - before; got != 0 {
		t.Errorf("told %d times, want 0", got)
	}
	for i := range 3 {
		a.Update(members.Meta{Replicas: []string{fmt.Sprint("nodeos-", i)}})
		a.waits(fmt.Sprint("a/alive/nodeos-", i))
	}
}
