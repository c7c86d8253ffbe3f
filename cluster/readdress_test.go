package cluster_test

import (
	"testing"
	"testing/synctest"
	"time"
)

// Containers that are all started again may all come back with other addresses. None of those in the configuration reaches anybody then, and
// nobody leads who could change them: the members have to find each other by what they announce.
func TestAllAddressesChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := world3(t)
		defer w.close()
		last := w.leader().mustAdvance()
		w.agreed(last)
		for _, m := range w.members {
			if err := m.quit(); err != nil {
				t.Fatal(err)
			}
			m.port = 8301
		}
		time.Sleep(time.Second) // fake time
		w.startAll()
		l := w.leader()
		if got := l.group.State().Mark; got != last {
			t.Errorf("mark: got %v, want %v", got, last)
		}
		w.agreed(l.mustAdvance())
		w.until("the others' addresses to be corrected", 10*time.Second, func() bool {
			for _, x := range l.group.Status().Members {
				if x.Name != l.name && x.Addr != x.Name+":8301" {
					return false
				}
			}
			return true
		})
	})
}
