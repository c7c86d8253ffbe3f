package conn_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/conn"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// TestLanes fills all lanes while the peer does not read, and checks what order the rest is written in.
func TestLanes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, peer := pair(t, 64)
		s := serve(t.Context(), t, ours, conn.Config{})
		synctest.Wait()
		var frames []*wire.Frame
		put := func(lane conn.Lane, n uint32) {
			f := numbered(t, wire.TypeVote, n, 100)
			frames = append(frames, f)
			if !s.Send(lane, f) {
				t.Fatalf("Send on %s refused", lane)
			}
		}
		put(conn.Bulk, 1) // is being written: fills the socket
		synctest.Wait()
		put(conn.Bulk, 30)
		put(conn.Sync, 20)
		put(conn.Blocks, 10)
		put(conn.Bulk, 31)
		put(conn.Control, 11)
		put(conn.Sync, 21)
		put(conn.Blocks, 12)

		r := readPeer(t, peer)
		var got []uint32
		for range frames {
			f := r.next()
			got = append(got, number(f))
			f.Release()
		}
		if want := []uint32{1, 10, 11, 12, 20, 21, 30, 31}; !slices.Equal(got, want) {
			t.Errorf("peer got %v, want %v", got, want)
		}
		s.shut()
		mustBeFree(t, frames...)
	})
}

// TestLiveOvertakesSync checks that a live frame waits for at most one small batch of sync frames.
func TestLiveOvertakesSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, peer := pair(t, 1024)
		s := serve(t.Context(), t, ours, conn.Config{SyncFrames: 1000})
		for n := range uint32(100) {
			f := numbered(t, wire.TypeBlock, n, 16<<10)
			s.Send(conn.Sync, f)
			f.Release()
		}
		synctest.Wait()
		live := numbered(t, wire.TypeBlock, 1000, 500)
		s.Send(conn.Blocks, live)
		r := readPeer(t, peer)
		for before := 0; ; before++ {
			f := r.next()
			n := number(f)
			f.Release()
			if n == 1000 {
				if before > 4 { // 64 KiB
					t.Errorf("%d sync frames went before a live one", before)
				}
				break
			}
		}
		s.shut()
		mustBeFree(t, live)
	})
}

func TestOverflowDropAndDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, peer := pair(t, 64)
		drained := 0
		s := serve(t.Context(), t, ours, conn.Config{LiveFrames: 4, OnDrained: func() { drained++ }})
		synctest.Wait()
		frames := make([]*wire.Frame, 8)
		var sent []bool
		for i := range frames {
			frames[i] = numbered(t, wire.TypeBlock, uint32(i), 100)
			sent = append(sent, s.Send(conn.Blocks, frames[i]))
			synctest.Wait() // the first is taken by the writer, which then blocks
		}
		if want := []bool{true, true, true, true, true, false, false, false}; !slices.Equal(sent, want) {
			t.Fatalf("Send returned %v, want %v", sent, want)
		}
		if got, want := s.Drop(), 4; got != want {
			t.Fatalf("Drop forgot %d frames, want %d", got, want)
		}
		mustBeFree(t, frames[1:]...)
		synctest.Wait()
		if drained != 0 {
			t.Fatal("OnDrained called while a frame was being written")
		}
		r := readPeer(t, peer)
		f := r.next() // the one being written arrives whole
		if number(f) != 0 || f.Len() != 100 {
			t.Errorf("peer got frame %d of %d bytes, want 0 of 100", number(f), f.Len())
		}
		f.Release()
		synctest.Wait()
		if drained != 1 {
			t.Errorf("OnDrained called %d times, want once", drained)
		}
		next := numbered(t, wire.TypeBlock, 9, 100)
		if !s.Send(conn.Blocks, next) {
			t.Error("Send after Drop refused")
		}
		r.next().Release()
		synctest.Wait()
		if drained != 1 {
			t.Errorf("OnDrained called %d times, want once", drained)
		}
		s.Drop() // nothing queued, but asked for again
		synctest.Wait()
		if drained != 2 {
			t.Errorf("OnDrained called %d times after a second Drop, want 2", drained)
		}
		s.shut()
		mustBeFree(t, frames[0], next)
	})
}

// TestDrainedMeansEmpty: after a refusal OnDrained waits for every queued live frame, and may queue new ones itself.
func TestDrainedMeansEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, peer := pair(t, 64)
		s := serve(t.Context(), t, ours, conn.Config{LiveFrames: 200})
		synctest.Wait()
		more := numbered(t, wire.TypeBlock, 1000, 100)
		calls := 0
		s.SetOnDrained(func() {
			calls++
			if got := s.Stats().QueuedFrames; got != 0 {
				t.Errorf("OnDrained with %d frames queued", got)
			}
			s.Send(conn.Blocks, more)
		})
		f := numbered(t, wire.TypeBlock, 1, 100)
		sent := 0
		for s.Send(conn.Blocks, f) {
			sent++
			synctest.Wait()
		}
		r := readPeer(t, peer)
		for range sent {
			if got := r.next(); got.Type() != wire.TypeBlock || number(got) != 1 {
				t.Fatalf("peer got %s %d before the queue was written", got.Type(), number(got))
			}
		}
		if got := number(r.next()); got != 1000 || calls != 1 {
			t.Errorf("peer got frame %d after %d calls, want 1000 after 1", got, calls)
		}
		s.shut()
		mustBeFree(t, f, more)
	})
}

// TestLimits checks the bounds of each lane in frames and bytes, and that an empty lane takes a frame over its bytes.
func TestLimits(t *testing.T) {
	config := conn.Config{
		LiveFrames: 3, LiveBytes: 1000, SyncFrames: 3, SyncBytes: 1000, BulkFrames: 3, BulkBytes: 1000,
	}
	for _, lane := range []conn.Lane{conn.Control, conn.Blocks, conn.Sync, conn.Bulk} {
		for _, tc := range []struct {
			name  string
			sizes []int
			want  []bool
		}{
			{"frames", []int{10, 10, 10, 10}, []bool{true, true, true, false}},
			{"bytes", []int{600, 400, 10}, []bool{true, true, false}},
			{"one large", []int{5000, 10}, []bool{true, false}},
		} {
			t.Run(lane.String()+" "+tc.name, func(t *testing.T) {
				ours, _ := pair(t, 64)
				c := conn.New(ours, config) // not served: nothing is taken out
				var frames []*wire.Frame
				for i, size := range tc.sizes {
					f := numbered(t, wire.TypeBlock, 0, size)
					frames = append(frames, f)
					if got := c.Send(lane, f); got != tc.want[i] {
						t.Errorf("Send %d = %t, want %t", i, got, tc.want[i])
					}
				}
				c.Close(nil)
				if c.Send(lane, frames[0]) {
					t.Error("Send on a closed connection succeeded")
				}
				mustBeFree(t, frames...)
			})
		}
	}
}

func TestSendWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, peer := pair(t, 64)
		s := serve(t.Context(), t, ours, conn.Config{SyncFrames: 2})
		const total = 50
		frames := make([]*wire.Frame, total)
		for i := range frames {
			frames[i] = numbered(t, wire.TypeBlock, uint32(i), 100)
		}
		queued := 0
		go func() {
			for _, f := range frames {
				if err := s.SendWait(t.Context(), conn.Sync, f); err != nil {
					t.Errorf("SendWait: %v", err)
				}
				queued++
			}
		}()
		synctest.Wait()
		if queued > 4 {
			t.Errorf("%d frames queued, want the sender held back after the lane is full", queued)
		}
		r := readPeer(t, peer)
		for i := range uint32(total) {
			f := r.next()
			if number(f) != i {
				t.Fatalf("peer got %d, want %d", number(f), i)
			}
			f.Release()
		}
		synctest.Wait()
		if queued != total {
			t.Errorf("%d frames queued, want %d", queued, total)
		}
		s.shut()
		mustBeFree(t, frames...)
	})
}

// TestSendWaitEnds checks every way out of a wait that finds no room, with several waiters.
func TestSendWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, _ := pair(t, 64)
		s := serve(t.Context(), t, ours, conn.Config{SyncFrames: 1, WriteTimeout: time.Hour, ReadTimeout: time.Hour})
		f := numbered(t, wire.TypeBlock, 0, 100)
		for range 2 {
			s.Send(conn.Sync, f)
			synctest.Wait()
		}
		why := errors.New("enough")
		errs := make(chan error, 3)
		wait := func(ctx context.Context) { errs <- s.SendWait(ctx, conn.Sync, f) }
		ctx, cancel := context.WithCancelCause(t.Context())
		go wait(ctx)
		synctest.Wait()
		cancel(why)
		if err := <-errs; !errors.Is(err, why) {
			t.Errorf("SendWait returned %v, want the cause of its context", err)
		}
		for range 3 {
			go wait(t.Context())
		}
		synctest.Wait()
		if got := s.DropSync(); got != 1 {
			t.Errorf("DropSync forgot %d frames, want 1", got)
		}
		synctest.Wait() // one waiter got the room
		if err := <-errs; err != nil {
			t.Errorf("SendWait after DropSync: %v", err)
		}
		s.Close(why)
		for range 2 {
			if err := <-errs; !errors.Is(err, why) {
				t.Errorf("SendWait returned %v, want the connection's cause", err)
			}
		}
		s.ended(why)
		mustBeFree(t, f)
	})
}

func TestBulkOverflowIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ours, _ := pair(t, 64)
		drained := 0
		s := serve(t.Context(), t, ours, conn.Config{BulkFrames: 2, OnDrained: func() { drained++ }})
		f := numbered(t, wire.TypeTransaction, 0, 100)
		for range 10 {
			s.Send(conn.Bulk, f)
			synctest.Wait()
		}
		if got, want := s.Stats().RefusedBulk, uint64(7); got != want {
			t.Errorf("RefusedBulk = %d, want %d", got, want)
		}
		if drained != 0 {
			t.Error("OnDrained called for transactions")
		}
		s.shut()
		mustBeFree(t, f)
	})
}
