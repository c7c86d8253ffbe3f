package downstream_test

import (
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/eoscanada/eos-go/ecc"

	"github.com/thinrelay/thinrelay/relay/downstream"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// TestEcho checks our answer to a handshake field by field, and that nothing is said before.
func TestEcho(t *testing.T) {
	for _, tc := range []struct {
		name      string
		theirs    uint16
		version   uint16
		wantVotes bool
	}{
		{"EOSIO 2.0", wire.VersionBase + 1, wire.Version9, false},
		{"EOSIO 2.1", wire.VersionBase + 5, wire.Version1, false},
		{"Leap 5", wire.VersionBase + 7, wire.Version9, false},
		{"Spring 1.2", wire.Version11, wire.Version9, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, downstream.Config{NodeName: "eu-1", Agent: "relay-agent"})
				defer r.end()
				n := r.dial("a")
				asked := time.Now().UnixNano()
				n.send(&wire.Time{Xmt: asked})
				h := hello(wire.ID{1})
				h.NetworkVersion = tc.theirs
				n.send(h)
				f := n.expect(wire.TypeTime) // the answer goes before the handshake, as in nodeos
				if m, err := wire.ParseTime(f.Body()); err != nil || m.Org != asked {
					t.Errorf("answer = %+v, %v, want org %d", m, err, asked)
				}
				f.Release()
				f = n.expect(wire.TypeHandshake)
				got, err := wire.ParseHandshake(f.Body())
				if err != nil {
					t.Fatal(err)
				}
				f.Release()
				if err := got.Valid(); err != nil {
					t.Errorf("our handshake: %v", err)
				}
				if !regexp.MustCompile(`^eu-1:9876 - [0-9a-f]{7}$`).MatchString(got.P2PAddress) || !strings.HasSuffix(got.P2PAddress, got.NodeID.String()[:7]) {
					t.Errorf("p2p_address = %q for node_id %s", got.P2PAddress, got.NodeID)
				}
				if got.NodeID == h.NodeID || got.NodeID.IsZero() {
					t.Errorf("node_id = %s, want one of our own", got.NodeID)
				}
				if !got.Key.Empty() || !got.Sig.Empty() || !got.Token.IsZero() {
					t.Error("handshake is signed, want it unsigned")
				}
				want := *h
				want.NetworkVersion, want.NodeID, want.P2PAddress, want.Agent = tc.version, got.NodeID, got.P2PAddress, "relay-agent"
				want.Key, want.Sig = got.Key, got.Sig
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("our handshake = %+v,\nwant the echo %+v", got, want)
				}
				n.expect(wire.TypeTime).Release() // our own first one
				up := <-r.sink.up
				if up.Agent() != "nodeos-a" || up.NodeID() != h.NodeID || up.Version() != wire.DecodeVersion(tc.theirs) || up.Addr().Addr() != r.net.IP("a") {
					t.Errorf("replica = %s %s %d %s", up.Agent(), up.NodeID(), up.Version(), up.Addr())
				}
			})
		})
	}
}

func TestIdentityIsNewPerConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, downstream.Config{})
		defer r.end()
		seen := map[wire.ID]bool{}
		for i := range 5 {
			n := r.dial(fmt.Sprint("host", i))
			n.send(hello(wire.ID{byte(i)}))
			f := n.expect(wire.TypeHandshake)
			h, err := wire.ParseHandshake(f.Body())
			f.Release()
			if err != nil || seen[h.NodeID] {
				t.Errorf("connection %d got node_id %s again (%v)", i, h.NodeID, err)
			}
			seen[h.NodeID] = true
		}
	})
}

func TestAgentIsCleaned(t *testing.T) {
	for raw, want := range map[string]string{
		`"fin-1"`: "fin-1", "fin-1": "fin-1", "": "unnamed", `""`: "unnamed", " a b ": "a b",
		"x\x1b[31m\n\xff": "x?[31m??", strings.Repeat("é", 100): strings.Repeat("é", 64),
	} {
		t.Run(want, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, downstream.Config{})
				defer r.end()
				h := hello(wire.ID{1})
				h.Agent = raw
				r.dial("a").send(h)
				if got := (<-r.sink.up).Agent(); got != want {
					t.Errorf("agent of %q = %q, want %q", raw, got, want)
				}
			})
		})
	}
}

func TestUnknownChainIsTheReplicas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, downstream.Config{ChainID: func() (wire.ID, bool) { return wire.ID{}, false }})
		defer r.end()
		h := hello(wire.ID{1})
		h.ChainID = wire.ID{9, 9}
		n := r.dial("a")
		n.send(h)
		f := n.expect(wire.TypeHandshake)
		defer f.Release()
		if got, err := wire.ParseHandshake(f.Body()); err != nil || got.ChainID != h.ChainID {
			t.Errorf("echoed chain %s (%v), want %s", got.ChainID, err, h.ChainID)
		}
	})
}

// TestRefusals: who is not wanted is closed without a word, with one log line that says why, and never meets the sink.
func TestRefusals(t *testing.T) {
	listed, other := newKey(t), newKey(t)
	signed := func(t *testing.T, key *ecc.PrivateKey, change func(*wire.Handshake)) *wire.Handshake {
		h := hello(wire.ID{1})
		if err := wire.SignHandshake(h, key); err != nil {
			t.Fatal(err)
		}
		if change != nil {
			change(h)
		}
		return h
	}
	keys := downstream.Config{PeerKeys: []ecc.PublicKey{listed.PublicKey()}}
	edit := func(change func(*wire.Handshake)) func(*testing.T, *node) {
		return func(_ *testing.T, n *node) {
			h := hello(wire.ID{1})
			change(h)
			n.send(h)
		}
	}
	shake := func(key *ecc.PrivateKey, change func(*wire.Handshake)) func(*testing.T, *node) {
		return func(t *testing.T, n *node) { n.send(signed(t, key, change)) }
	}
	for _, tc := range []struct {
		name   string
		config downstream.Config
		do     func(*testing.T, *node)
		reason string
		after  time.Duration
	}{
		{"stranger", downstream.Config{Allow: []netip.Prefix{netip.MustParsePrefix("192.168.0.0/16")}}, nil, "not_allowed", 0},
		{"nobody is allowed by default", downstream.Config{Allow: []netip.Prefix{}}, nil, "not_allowed", 0},
		{"silent", downstream.Config{}, nil, "no_handshake", 5 * time.Second},
		{"time messages only", downstream.Config{}, func(_ *testing.T, n *node) {
			n.send(&wire.Time{Org: 1})
		}, "no_handshake", 5 * time.Second},
		{"claims 8 MiB", downstream.Config{}, func(_ *testing.T, n *node) { n.Write([]byte{0, 0, 128, 0, 7}) }, "no_handshake", 5 * time.Second},
		{"sends 8 MiB", downstream.Config{}, func(_ *testing.T, n *node) {
			b := make([]byte, 8<<20)
			b[2], b[4] = 127, 7
			n.Write(b)
		}, "protocol", 0},
		{"too long", downstream.Config{}, func(_ *testing.T, n *node) { n.Write([]byte{1, 0, 128, 0}) }, "protocol", 0},
		{"HTTP", downstream.Config{}, func(_ *testing.T, n *node) { n.Write([]byte("GET / HTTP/1.1\r\n\r\n")) }, "protocol", 0},
		{"block first", downstream.Config{}, func(_ *testing.T, n *node) {
			f := block(5, 200)
			n.Write(f.Bytes())
			f.Release()
		}, "not_handshake", 0},
		{"go_away first", downstream.Config{}, func(_ *testing.T, n *node) { n.send(&wire.GoAway{Reason: wire.GoAwayFatal}) }, "go_away", 0},
		{"short handshake", downstream.Config{}, func(_ *testing.T, n *node) { n.Write([]byte{3, 0, 0, 0, 0, 1, 2}) }, "bad_handshake", 0},
		{"wrong chain", downstream.Config{}, edit(func(h *wire.Handshake) { h.ChainID = wire.ID{6} }), "wrong_chain", 0},
		{"generation 2", downstream.Config{}, edit(func(h *wire.Handshake) { h.Generation = 2 }), "not_handshake", 0},
		{"root above head", downstream.Config{}, edit(func(h *wire.Handshake) { h.RootNum = 101 }), "bad_handshake", 0},
		{"token of another time", downstream.Config{}, edit(func(h *wire.Handshake) { h.Token[0] = 1 }), "bad_handshake", 0},
		{"unsigned", keys, edit(func(*wire.Handshake) {}), "peer_key", 0},
		{"unlisted key", keys, shake(other, nil), "peer_key", 0},
		{"listed key, other's signature", keys, func(t *testing.T, n *node) {
			mine, theirs := signed(t, listed, nil), signed(t, other, nil)
			mine.Sig = theirs.Sig
			n.send(mine)
		}, "peer_key", 0},
		{"signature of another time", keys, shake(listed, func(h *wire.Handshake) { h.Time++ }), "bad_handshake", 0},
		{"broken signature", keys, shake(listed, func(h *wire.Handshake) { h.Sig[20] ^= 1 }), "peer_key", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := start(t, tc.config)
				begin := time.Now()
				n := r.dial("a")
				if tc.do != nil {
					tc.do(t, n)
				}
				n.closedSilently()
				synctest.Wait()
				if got := time.Since(begin); got != tc.after {
					t.Errorf("closed after %s, want %s", got, tc.after)
				}
				if lines := r.logs.lines("reason=" + tc.reason); len(lines) != 1 {
					t.Errorf("%d log lines with reason %s, want 1; log: %s", len(lines), tc.reason, r.logs.b.String())
				}
				if got := r.sink.log(); len(got) > 0 {
					t.Errorf("sink was told %v", got)
				}
				r.end()
			})
		})
	}
}

// TestRelayIsNoReplica: a relay whose upstream.peers names a relay, or itself, is told so, and is nobody's replica: it would be
// made the active one, and count as an upstream there.
func TestRelayIsNoReplica(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, downstream.Config{Agent: "thinrelay"})
		defer r.end()
		begin := time.Now()
		n := r.dial("a")
		h := hello(wire.ID{1})
		h.Agent, h.ChainID = "thinrelay", wire.ID{} // neither knows the chain
		n.send(h)
		f := n.expect(wire.TypeGoAway)
		m, err := wire.ParseGoAway(f.Body())
		f.Release()
		if err != nil || m.Reason != wire.GoAwaySelf {
			t.Errorf("told %v, %v, want %s", m.Reason, err, wire.GoAwaySelf)
		}
		n.closedSilently()
		if got := time.Since(begin); got != 5*time.Second {
			t.Errorf("one that does not hang up is closed after %s, want 5s", got)
		}
		synctest.Wait()
		if lines := r.logs.lines("reason=relay"); len(lines) != 1 {
			t.Errorf("%d log lines, want 1; log: %s", len(lines), r.logs.b.String())
		}
		if got := r.sink.log(); len(got) > 0 {
			t.Errorf("sink was told %v", got)
		}
	})
}

func TestPeerKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		theirs, ours := newKey(t), newKey(t)
		r := start(t, downstream.Config{PeerKeys: []ecc.PublicKey{newKey(t).PublicKey(), theirs.PublicKey()}, PeerKey: ours})
		defer r.end()
		h := hello(wire.ID{1})
		if err := wire.SignHandshake(h, theirs); err != nil {
			t.Fatal(err)
		}
		n := r.dial("a")
		n.send(h)
		f := n.expect(wire.TypeHandshake)
		defer f.Release()
		got, err := wire.ParseHandshake(f.Body())
		if err != nil {
			t.Fatal(err)
		}
		if key, err := wire.CheckHandshake(&got); err != nil || key.String() != ours.PublicKey().String() {
			t.Errorf("our handshake is signed by %s (%v), want %s", key, err, ours.PublicKey())
		}
	})
}

func newKey(t *testing.T) *ecc.PrivateKey {
	t.Helper()
	key, err := ecc.NewRandomPrivateKey()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestGoAwayIsTheCause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, downstream.Config{})
		defer r.end()
		n, _ := r.join("a", wire.ID{1})
		n.send(&wire.GoAway{Reason: wire.GoAwayForked})
		err := <-r.sink.down
		if !errors.Is(err, downstream.ErrGoAway) || !strings.Contains(err.Error(), "forked") {
			t.Errorf("ReplicaDown with %v, want go_away forked", err)
		}
		n.closedSilently()
		if lines := r.logs.lines("forked"); len(lines) != 1 {
			t.Errorf("%d log lines name the reason, want 1", len(lines))
		}
	})
}
