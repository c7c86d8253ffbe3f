package members_test

import (
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/cluster/members"
)

// A container that was killed comes back with another address, before it counts as gone.
func TestKilledMemberComesBackElsewhere(t *testing.T) {
	key := keyFile(t)
	a := start(t, key, "a", nil)
	b := start(t, key, "b", joining(a))
	a.waits("a/alive/ b/alive/")
	b.Close() // without a goodbye
	b = start(t, key, "b", joining(a))
	a.logged("a member is heard from another address")
	late := time.After(patience)
	for {
		changed := a.Changed()
		if m, _ := a.Member("b"); m.State == members.Alive && m.Addr == b.Addr() {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("b is not at %s\n%s", b.Addr(), a.logs.tail())
		}
	}
}
