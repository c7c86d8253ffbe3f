package upstream_test

import (
	"errors"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/upstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// A peer that does not tell which blocks it has went away when it was asked for one that it has not. That
// one may have been above its head: ten minutes later it is counted on for old blocks again, although the
// connection stands.
func TestPrunedIsNotForGood(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		n := newNode(t, 40)
		n.start = 0
		w.listen("node", n.serve)
		w.run()
		time.Sleep(time.Second) // fake time
		w.sink.peer(0).RequestRange(39, 41)
		time.Sleep(5 * time.Second) // fake time
		if got := w.sink.lost(); len(got) != 1 || w.sink.connected() != 1 {
			t.Fatalf("lost %v, connected %d, want one connection that was lost and one that stands", got, w.sink.connected())
		}
		fetch := func() (n int, err error) {
			err = w.dialer.Fetch(t.Context(), 1, 30, func(*wire.Frame) error { n++; return nil })
			return n, err
		}
		if n, err := fetch(); n != 0 || !errors.Is(err, upstream.ErrNoSource) {
			t.Errorf("fetched %d blocks, %v, want none: it may have no block log", n, err)
		}
		time.Sleep(10 * time.Minute) // fake time
		if n, err := fetch(); n != 30 || err != nil {
			t.Errorf("fetched %d blocks, %v, want 30", n, err)
		}
	})
}
