package proctest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
	"github.com/thinrelay/thinrelay/relay/wire/captures"
)

// replay plays a recording of real nodeos at one relay.
type replay struct {
	t      *testing.T
	folder string
	relay  *relay
	up     *player
	nodes  []*player // r0 r1 r2
	at     func(time.Duration) time.Time
	stop   time.Duration
}

// speed is how much faster than recorded the streams are played.
func speed() time.Duration {
	if long {
		return 1
	}
	return 3
}

// newReplay starts a relay for a recording.
func newReplay(t *testing.T, folder, failover string) *replay {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := freeAddr(t, "127.0.0.1")
	r := &replay{t: t, folder: folder, stop: time.Hour, up: newPlayer(t, folder, "up")}
	for _, name := range []string{"r0", "r1", "r2"} {
		r.nodes = append(r.nodes, newPlayer(t, folder, name))
	}
	r.relay = newRelay(t, "solo", freeAddr(t, "127.0.0.1"), fmt.Sprintf(
		"chain_id: %s\nproducers: [bpa]\ndownstream: {listen: %q}\nupstream: {peers: [%q]}\ncluster: {bootstrap_expect: 1}\nfailover: %s\n",
		captures.SavannaChainID, listen, l.Addr().String(), failover))
	r.relay.start(t)
	r.accept(l)
	for _, n := range r.nodes {
		until(t, 10*time.Second, "the relay listens for replicas", func() bool {
			c, err := net.Dial("tcp", listen)
			n.conn = c
			return err == nil
		})
	}
	return r
}

// accept takes the relay's first connection that shakes hands, and no other
// beside it, as a nodeos does. A listening nodeos speaks when it has had a
// handshake.
func (r *replay) accept(l net.Listener) {
	r.t.Helper()
	_ = l.(*net.TCPListener).SetDeadline(time.Now().Add(20 * time.Second))
	for r.up.conn == nil {
		c, err := l.Accept()
		if err != nil {
			r.t.Fatal(err)
		}
		if !r.greeted(c) {
			c.Close() // a probe: can it be reached?
			continue
		}
		r.up.conn = c
	}
	_ = l.(*net.TCPListener).SetDeadline(time.Time{})
	var others sync.WaitGroup
	others.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	})
	r.t.Cleanup(func() { l.Close(); others.Wait() })
}

// greeted waits for the relay's handshake.
func (r *replay) greeted(c net.Conn) bool {
	for {
		f, err := readFrame(c)
		if err != nil {
			return false
		}
		r.up.got = append(r.up.got, received{time.Now(), f})
		if wire.Type(f[4]) == wire.TypeHandshake {
			return true
		}
	}
}

// run plays everything, up to r.stop of the recording.
func (r *replay) run() {
	r.t.Helper()
	start := time.Now()
	first := r.nodes[0].frames[0].At
	r.at = func(t time.Duration) time.Time { return start.Add((t - first) / speed()) }
	players := append([]*player{r.up}, r.nodes...)
	var sending, reading sync.WaitGroup
	for _, p := range players {
		reading.Go(p.listen)
		sending.Go(func() {
			if err := p.play(r.at, r.stop); err != nil {
				r.t.Errorf("the relay has closed the connection of %s: %v", p.name, err)
			}
		})
	}
	sending.Wait()
	pass(300 * time.Millisecond) // for what is on its way, and for what should not be
	for _, p := range players {
		p.conn.Close()
	}
	reading.Wait()
}

// decisions are what the recording's relay forwarded and what it refused, of
// the rounds asked for: "113:64b00244" and "106:30b829a2 of r1".
func (r *replay) decisions(firstRound, lastRound int) (emitted, refused []string) {
	r.t.Helper()
	log, err := captures.Notes(r.folder + ".decisions.log")
	if err != nil {
		r.t.Fatal(err)
	}
	round := 0
	for line := range strings.Lines(string(log)) {
		f := strings.Fields(line)
		if len(f) < 3 || f[1] != "EMIT" && f[1] != "REFUSE" {
			continue
		}
		if f[1] == "EMIT" && strings.Contains(line, "slot%12=0 ") {
			round++
		}
		switch {
		case round < firstRound || round > lastRound:
		case f[1] == "EMIT":
			emitted = append(emitted, f[2])
		default: // the word before a block is which refusal it was
			refused = append(refused, f[3]+" of "+f[len(f)-1])
		}
	}
	return emitted, refused
}

// forwarded checks that the relay did what the recording's did in these rounds:
// the same blocks went to the upstream, no other, once each, in order, the very
// bytes that a replica had sent; the same were refused, with a line each.
func (r *replay) forwarded(firstRound, lastRound int) {
	r.t.Helper()
	want, wantRefused := r.decisions(firstRound, lastRound)
	signed := make(map[wire.ID][]byte)
	for _, n := range r.nodes {
		for _, f := range n.sent(wire.TypeBlock, r.stop) {
			signed[blockOf(r.t, f.Bytes).ID] = f.Bytes
		}
	}
	var got []string
	for _, f := range r.up.all(wire.TypeBlock) {
		b := blockOf(r.t, f.bytes)
		got = append(got, fmt.Sprintf("%d:%s", b.Num(), b.ID.Short()))
		if !bytes.Equal(f.bytes, signed[b.ID]) {
			r.t.Errorf("block %d was not forwarded byte for byte", b.Num())
		}
	}
	if !slices.Equal(got, want) {
		r.t.Errorf("forwarded %d blocks\ngot  %v\nwant %v", len(got), got, want)
	}
	refused := r.refusals()
	slices.Sort(refused)
	slices.Sort(wantRefused)
	if !slices.Equal(refused, wantRefused) {
		r.t.Errorf("%d refusals logged\ngot  %v\nwant %v", len(refused), refused, wantRefused)
	}
	r.t.Logf("%d blocks signed, %d forwarded, %d refusals logged", len(signed), len(got), len(refused))
}

// refusals are the blocks that the relay's log says were refused.
func (r *replay) refusals() (list []string) {
	r.t.Helper()
	name := map[string]string{"a1": "r0", "a2": "r1", "a3": "r2"}
	for line := range strings.Lines(r.relay.log()) {
		var l struct {
			Message string `json:"@message"`
			Height  uint32
			ID      string
			Source  string
		}
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			r.t.Errorf("log line is no JSON: %s", line)
		}
		if l.Message == "block refused" {
			list = append(list, fmt.Sprintf("%d:%s of %s", l.Height, l.ID, name[l.Source]))
		}
	}
	return list
}

// kept checks what every connection needs: probes are answered, and nobody is
// sent go_away.
func (r *replay) kept() {
	r.t.Helper()
	for _, p := range append([]*player{r.up}, r.nodes...) {
		probes, answers := p.answered(r.t, min(r.stop, p.end)-200*time.Millisecond*speed())
		if probes == 0 || answers != probes {
			r.t.Errorf("%s: %d of %d probes answered", p.name, answers, probes)
		}
		if len(p.all(wire.TypeGoAway)) != 0 {
			r.t.Errorf("%s was sent go_away", p.name)
		}
	}
}

// spread checks that what the network sent reached the replicas: each block
// above their head and each transaction, once, byte for byte.
func (r *replay) spread() {
	r.t.Helper()
	for _, n := range r.nodes {
		stop := min(r.stop, n.end-100*time.Millisecond*speed())
		hs, err := wire.ParseHandshake(n.sent(wire.TypeHandshake, r.stop)[0].Bytes[5:])
		if err != nil {
			r.t.Fatal(err)
		}
		blocks := slices.DeleteFunc(r.up.sent(wire.TypeBlock, stop), func(f captures.Frame) bool {
			return blockOf(r.t, f.Bytes).Num() <= hs.HeadNum
		})
		for _, k := range []struct {
			what   string
			frames []captures.Frame
			got    []received
		}{
			{"blocks", blocks, n.all(wire.TypeBlock)},
			{"transactions", r.up.sent(wire.TypeTransaction, stop), n.all(wire.TypeTransaction)},
		} {
			if missing, repeated := times(k.frames, k.got); missing != 0 || repeated != 0 || len(k.frames) == 0 {
				r.t.Errorf("%s: of %d %s of the network %d did not arrive, %d more than once", n.name, len(k.frames), k.what, missing, repeated)
			}
		}
	}
}

// TestRecordedVotes plays real nodes with the vote gate on; the active replica
// is killed in mid-round.
func TestRecordedVotes(t *testing.T) {
	t.Parallel()
	r := newReplay(t, "relay-votes", "{mode: votes, prefer: [a2, a1, a3]}")
	r.run()
	r.forwarded(1, 4)
	r.kept()
	r.spread()
	r.gated()
}

// gated checks that others' votes reached one replica at a time: r1 until it
// was killed, then r0, which got the last ones again.
func (r *replay) gated() {
	t := r.t
	r0, r1, r2 := r.nodes[0].all(wire.TypeVote), r.nodes[1].all(wire.TypeVote), r.nodes[2].all(wire.TypeVote)
	killed := r.at(r.nodes[1].end)
	early := 0
	for _, v := range r0 {
		if v.at.Before(killed) {
			early++
		}
	}
	if len(r2) != 0 || early != 0 {
		t.Errorf("standbys have heard votes: r0 %d before its turn, r2 %d", early, len(r2))
	}
	votes := r.up.sent(wire.TypeVote, r.stop)
	if missing, _ := times(votes, append(slices.Clone(r1), r0...)); missing != 0 {
		t.Errorf("of %d votes of the network %d reached nobody", len(votes), missing)
	}
	t.Logf("%d votes: %d to r1, %d to r0", len(votes), len(r1), len(r0))
}

// secondRound is when the second round of relay-passive begins.
const secondRound = 28 * time.Second

// TestRecordedPassive plays real nodes that all produce. In the recording
// r0 spoke in the first round, r2 in the second until it was killed, and then
// r1. A relay does not change the speaker without need, so that the two rounds
// are played at two relays; the second sees the first round as the network's.
func TestRecordedPassive(t *testing.T) {
	t.Parallel()
	t.Run("one speaks", func(t *testing.T) {
		t.Parallel()
		r := newReplay(t, "relay-passive", "{mode: passive, prefer: [a1]}")
		r.stop = secondRound
		r.run()
		r.forwarded(1, 1)
		r.kept()
		r.spread()
		r.heard()
	})
	t.Run("the speaker is killed", func(t *testing.T) {
		t.Parallel()
		r := newReplay(t, "relay-passive", "{mode: passive, prefer: [a3, a2, a1]}")
		s, err := captures.Load("relay-passive/up-1.to-node")
		if err != nil {
			t.Fatal(err)
		}
		var round []captures.Frame
		for _, f := range s.Frames {
			if wire.Type(f.Bytes[4]) == wire.TypeBlock && f.At < secondRound {
				round = append(round, f)
			}
		}
		r.up.insert(round)
		for _, n := range r.nodes {
			n.without(wire.TypeBlock, secondRound)
		}
		r.run()
		r.forwarded(2, 3)
		r.kept()
		r.spread()
		r.heard()
	})
}

// heard checks that without the gate everyone has heard every vote.
func (r *replay) heard() {
	for _, n := range r.nodes {
		votes := r.up.sent(wire.TypeVote, min(r.stop, n.end-100*time.Millisecond*speed()))
		if missing, _ := times(votes, n.all(wire.TypeVote)); missing != 0 || len(votes) == 0 {
			r.t.Errorf("%s: of %d votes %d did not arrive", n.name, len(votes), missing)
		}
	}
}
