package downstream_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/downstream"
	"github.com/thinrelay/thinrelay/relay/simnet/memnet"
	"github.com/thinrelay/thinrelay/relay/wire"
	"github.com/thinrelay/thinrelay/relay/wire/captures"
)

func TestSinkOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, downstream.Config{})
		n := r.dial("a")
		var all []byte // in one segment: nothing may overtake ReplicaUp
		all = wire.Append(all, &wire.Time{Xmt: 1})
		all = wire.Append(all, hello(wire.ID{1}))
		all = wire.Append(all, &wire.SyncRequest{Start: 1, End: 2})
		second := hello(wire.ID{1})
		second.Generation = 2
		all = wire.Append(all, second)
		f := wire.RawFrame(wire.Type(77), []byte{1})
		all = append(all, f.Bytes()...)
		f.Release()
		if _, err := n.Write(all); err != nil {
			t.Fatal(err)
		}
		n.Close()
		if err := <-r.sink.down; !errors.Is(err, conn.ErrPeerClosed) {
			t.Errorf("ReplicaDown with %v, want ErrPeerClosed", err)
		}
		synctest.Wait()
		want := []string{"up 1", "frame 1 sync_request", "frame 1 handshake", "frame 1 type_77", "down 1"}
		if got := r.sink.log(); !slices.Equal(got, want) {
			t.Errorf("sink was told %v, want %v", got, want)
		}
		r.end()
	})
}

// TestNewerConnectionWins: the sink never sees two connections of one node at once, however slowly it lets the old go.
func TestNewerConnectionWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, downstream.Config{})
		r.sink.hold = make(chan struct{})
		id := wire.ID{1}
		old, _ := r.join("a", id)
		second, third := r.dial("a"), r.dial("a")
		third.send(hello(id)) // the newest shakes hands before the one in between
		synctest.Wait()
		second.send(hello(id))
		old.closedSilently()
		synctest.Wait()
		if got, want := r.sink.log(), []string{"up 1"}; !slices.Equal(got, want) {
			t.Errorf("sink was told %v while the old connection is being taken down, want %v", got, want)
		}
		close(r.sink.hold)
		third.expect(wire.TypeHandshake).Release()
		synctest.Wait()
		got := r.sink.log()
		switch { // whether the one in between gets its moment depends on who is quicker
		case slices.Equal(got, []string{"up 1", "down 1", "up 3"}):
		case slices.Equal(got, []string{"up 1", "down 1", "up 2", "down 2", "up 3"}):
		default:
			t.Errorf("sink was told %v", got)
		}
		if err := <-r.sink.down; !errors.Is(err, downstream.ErrReplaced) {
			t.Errorf("old connection went down with %v, want ErrReplaced", err)
		}
		second.SetReadDeadline(time.Now().Add(time.Second))
		bytes.NewBuffer(nil).ReadFrom(second)
		other, _ := r.join("b", wire.ID{2}) // another node is not touched
		other.send(&wire.SyncRequest{Start: 1})
		synctest.Wait()
		if lines := r.sink.log(); lines[len(lines)-1] != "frame 4 sync_request" {
			t.Errorf("sink was told %v", lines)
		}
		r.end()
	})
}

func TestServeEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, downstream.Config{})
		for i := range 5 {
			r.join(fmt.Sprint("host", i), wire.ID{byte(i)})
			r.dial("pending")
		}
		synctest.Wait()
		r.end()
		downs := 0
		for _, e := range r.sink.log() {
			if strings.HasPrefix(e, "down") {
				downs++
			}
		}
		if downs != 5 {
			t.Errorf("%d replicas went down at the end, want 5", downs)
		}
		if lines := r.logs.lines("refused"); len(lines) > 0 {
			t.Errorf("refused at the end: %v", lines)
		}
	})
}

// TestDrained: the callback names the replica whose queue has room again.
func TestDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		drained := make(chan *downstream.Replica, 10)
		r := start(t, downstream.Config{
			Conn: conn.Config{LiveFrames: 4}, Drained: func(r *downstream.Replica) { drained <- r },
		})
		n, up := r.join("a", wire.ID{1})
		f := block(101, 300<<10)
		for up.Conn().Send(conn.Blocks, f) {
			synctest.Wait()
		}
		up.Conn().Drop()
		n.block() // the one being written
		if got := <-drained; got != up {
			t.Errorf("drained %v, want the replica", got)
		}
		r.end()
		f.Release()
	})
}

// TestFlood: 1 000 connects a second for ten seconds, from the host of a replica and from another, with and without bytes.
// Replicas stay, a new one gets in, the number of connections stays bounded, and the log is one line a second.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, downstream.Config{MaxPending: 20, MaxPendingPerAddr: 5})
		old, up := r.join("a", wire.ID{1})
		stop := make(chan struct{})
		var flood sync.WaitGroup
		most := 0
		for _, host := range []string{"a", "evil"} {
			flood.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					case <-time.After(2 * time.Millisecond):
					}
					c, err := r.net.Host(host).Dial(t.Context(), "relay:9876")
					if err != nil {
						continue
					}
					if i%2 == 0 {
						c.Write([]byte{40, 0, 0, 0, 3})
					}
					if i%3 == 0 {
						c.Close()
					}
				}
			})
		}
		go func() {
			for range 20 {
				<-time.After(100 * time.Millisecond)
				f := block(101, 500)
				up.Conn().Send(conn.Blocks, f)
				f.Release()
			}
		}()
		begin := time.Now()
		for range 20 {
			old.block()
			most = max(most, r.net.Conns()/2)
		}
		if took := time.Since(begin); took != 2*time.Second {
			t.Errorf("20 blocks took %s under the flood, want 2s", took)
		}
		r.join("a", wire.ID{2})
		r.join("c", wire.ID{3})
		pass(8 * time.Second)
		close(stop)
		flood.Wait()
		if most > 2000 { // both ends of what the flood itself never closes are counted
			t.Errorf("%d connections", most)
		}
		if lines := r.logs.lines("crowded"); len(lines) < 5 || len(lines) > 12 || !strings.Contains(lines[3], "more=") {
			t.Errorf("%d log lines of 10 s of flood, want about one a second with a count: %v", len(lines), lines)
		}
		if got := len(r.sink.log()); got != 3 {
			t.Errorf("sink was told %v", r.sink.log())
		}
		r.end()
	})
}

// TestOldestMakesRoom: beyond the bounds of connections without a handshake the one that waits longest is closed at once.
func TestOldestMakesRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, downstream.Config{MaxPending: 4, MaxPendingPerAddr: 2})
		begin := time.Now()
		b := r.dial("b")
		a1, _, _ := r.dial("a"), r.dial("a"), r.dial("a")
		a1.closedSilently() // the third of one address, although b has waited longer
		r.dial("c")
		r.dial("d")
		b.closedSilently() // the fifth in all
		if took := time.Since(begin); took != 0 {
			t.Errorf("closed after %s, want at once", took)
		}
		r.end()
	})
}

// TestFullHouse: established connections are never closed for new ones.
func TestFullHouse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, downstream.Config{MaxConns: 3, MaxConnsPerAddr: 2})
		r.join("a", wire.ID{1})
		r.join("a", wire.ID{2})
		r.dial("a").closedSilently()
		_, third := r.join("b", wire.ID{3})
		r.dial("c").closedSilently()
		third.Conn().Close(errors.New("room"))
		<-r.sink.down
		synctest.Wait() // its seat is given back after its end is told
		r.join("c", wire.ID{4})
		synctest.Wait()
		if lines := r.logs.lines("reason=full"); len(lines) == 0 {
			t.Error("nothing logged")
		}
		r.end()
	})
}

// TestCapturedReplicas plays what real replicas sent: every frame but time arrives, in order.
func TestCapturedReplicas(t *testing.T) {
	played := 0
	for _, name := range captures.Names() {
		if !strings.HasPrefix(name, "relay-") || !strings.Contains(name, "/r") || !strings.HasSuffix(name, ".from-node") {
			continue
		}
		played++
		t.Run(name, func(t *testing.T) {
			stream, err := captures.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			synctest.Test(t, func(t *testing.T) {
				r := start(t, downstream.Config{ChainID: func() (wire.ID, bool) { return wire.ID{}, false }})
				n := r.dial("a")
				go func() {
					n.Write(stream)
					n.Conn.(*memnet.Conn).CloseWrite()
				}()
				go bytes.NewBuffer(nil).ReadFrom(n)
				<-r.sink.down
				var want, got []wire.Type
				reader := wire.NewReader(bytes.NewReader(stream))
				for f, err := reader.Next(); err == nil; f, err = reader.Next() {
					if f.Type() != wire.TypeTime {
						want = append(want, f.Type())
					}
					f.Release()
				}
				for len(r.sink.frames) > 0 {
					f := <-r.sink.frames
					got = append(got, f.Type())
					f.Release()
				}
				if !slices.Equal(got, want[1:]) {
					t.Errorf("sink got %d frames, want %d", len(got), len(want)-1)
				}
				r.end()
			})
		})
	}
	if played == 0 {
		t.Fatal("no captured replica was played")
	}
}
