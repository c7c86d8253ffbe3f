package simnet_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/simnet"
)

// The order of messages at the beginning of a connection, as captured between
// real nodes (Spring 1.2.2): connections 12 (x1 behind, to bpc), 05 (a3 one
// behind, to boot) and 01 (a2 level with bpc).
func TestOpeningMatchesCaptures(t *testing.T) {
	for _, tc := range []struct {
		name             string
		behind           int
		dialer, listener []string
	}{
		{
			"far behind", 35,
			[]string{"time", "handshake 1", "sync_request", "handshake 2", "request 1 1 ids"},
			[]string{"time answer", "notice 2,2", "handshake 1", "signed_block", "notice 0,1", "signed_block"},
		},
		{
			"one behind", 1,
			[]string{"time", "handshake 1", "request 1 1 ids", "request 0 0 ids"},
			[]string{"time answer", "notice 0,1", "handshake 1", "signed_block"},
		},
		{
			"level", 0,
			[]string{"time", "handshake 1"},
			[]string{"time answer", "handshake 1", "signed_block"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, mem := start(t, simnet.Config{History: 120, NoSignatures: true})
				mem.SetDefaultDelay(time.Millisecond)
				// between two blocks, so that nothing live mixes in
				time.Sleep(12*time.Second + 600*time.Millisecond)
				blocks := w.Upstream(0).Blocks()
				wire := &tap{Transport: mem.Host("late")}
				n, err := simnet.NewNode(simnet.NodeConfig{
					Name: "late", Chain: w.Chain, Transport: wire, Peers: []string{"up-1:9876"},
					Blocks: blocks[:len(blocks)-tc.behind],
				})
				if err != nil {
					t.Fatal(err)
				}
				if err := n.Start(); err != nil {
					t.Fatal(err)
				}
				defer n.Close()
				time.Sleep(2 * time.Second)
				for _, side := range []struct {
					dialer bool
					want   []string
				}{{true, tc.dialer}, {false, tc.listener}} {
					got := wire.script(side.dialer)
					if got := got[:min(len(got), len(side.want))]; !slices.Equal(got, side.want) {
						t.Errorf("dialer %v: got  %q\nwant %q", side.dialer, got, side.want)
					}
				}
			})
		})
	}
}

// A listener says nothing before the first handshake.
func TestListenerSpeaksSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, mem := start(t, simnet.Config{NoSignatures: true})
		conn, err := mem.Host("mute").Dial(t.Context(), "up-1:9876")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if err := conn.SetReadDeadline(time.Now().Add(9 * time.Second)); err != nil {
			t.Fatal(err)
		}
		var b [1]byte
		if n, err := conn.Read(b[:]); n != 0 || err == nil {
			t.Errorf("read %d bytes, error %v, want silence", n, err)
		}
	})
}
