package relay_test

import (
	"testing"
	"testing/synctest"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
)

// Three replicas with one key, transactions flowing: one block per slot leaves,
// twelve a round, and in votes mode only the active replica signs.
func TestTwelveOfTwelve(t *testing.T) {
	for _, mode := range []director.Mode{director.Votes, director.Passive} {
		t.Run(mode.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, worldConfig{mode: mode, replicas: 3, load: 4})
				defer w.close()
				rounds(2)
				w.net.Oracle.Begin(w.now())
				rounds(5)
				got := w.net.Report()
				if got.Double != 0 || got.Unlinked != 0 || got.Missed != 0 || got.SlotsOurs < 4*12 {
					w.dump(200)
					t.Fatalf("report=%+v, want nothing double, unlinked or missed in at least 48 slots", brief(got))
				}
				if mode == director.Votes && got.SignedExtra != 0 {
					t.Fatalf("SignedExtra=%d (%v), want 0", got.SignedExtra, got.Signed)
				}
				if w.count(relay.Forwarded) < got.Emitted {
					t.Fatalf("forwarded records=%d, want at least %d", w.count(relay.Forwarded), got.Emitted)
				}
			})
		})
	}
}
