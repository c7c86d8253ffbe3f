//go:build benchpeers

package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// inFlight bounds the blocks of a feed that have not arrived; a power of two.
const inFlight = 4096

// base is what moments are counted from.
var base = time.Now()

func now() int64 { return int64(time.Since(base)) }

// feed is the blocks that one peer writes and one or more others must get. Its send, drain and finish are for one
// goroutine; arrived is for the receivers'.
type feed struct {
	chain    *chain
	producer wire.Name
	from     *peer
	to       int // how many receive

	sent [inFlight]atomic.Int64
	left [inFlight]atomic.Int32
	done chan struct{} // one for each block that all have got
	out  int           // blocks sent and not yet taken from done

	mu      sync.Mutex
	record  uint32 // first height to record; 0: none
	latency []int64
}

func newFeed(c *chain, producer string, from *peer, to int) *feed {
	name, err := wire.ParseName(producer)
	if err != nil {
		panic(err) // a constant of this program
	}
	return &feed{chain: c, producer: name, from: from, to: to, done: make(chan struct{}, inFlight)}
}

// send writes one block. Its time begins before the write, which for a large block lasts as long as the other side needs
// to take it.
func (f *feed) send(size int) error {
	bufs, num := f.chain.next(f.producer, size)
	f.left[num%inFlight].Store(int32(f.to))
	f.sent[num%inFlight].Store(now())
	f.out++
	if _, err := bufs.WriteTo(f.from.c); err != nil {
		return fmt.Errorf("write block %d: %w", num, err)
	}
	return nil
}

// arrived notes that one receiver has read the whole block.
func (f *feed) arrived(num uint32) {
	at := now()
	if f.left[num%inFlight].Add(-1) != 0 {
		return
	}
	f.mu.Lock()
	if f.record != 0 && num >= f.record {
		f.latency = append(f.latency, at-f.sent[num%inFlight].Load())
	}
	f.mu.Unlock()
	f.done <- struct{}{}
}

// begin starts recording with the next block.
func (f *feed) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.record, f.latency = f.chain.last.Num()+1, f.latency[:0]
}

// end stops recording and returns the latencies, in nanoseconds; they are valid until the next begin.
func (f *feed) end() []int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.record = 0
	return f.latency
}

// drain waits until at most n blocks are under way.
func (f *feed) drain(n int, failed <-chan error) error {
	for f.out > n {
		select {
		case <-f.done:
			f.out--
		case err := <-failed:
			return err
		}
	}
	return nil
}

// poll takes what has arrived, without waiting.
func (f *feed) poll() {
	for {
		select {
		case <-f.done:
			f.out--
		default:
			return
		}
	}
}
