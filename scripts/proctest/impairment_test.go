package proctest_test

import (
	"math/rand/v2"
	"net"
	"slices"
	"sync/atomic"
	"time"
)

// impairment is what else can be wrong with a way. Bytes come late: by delay at
// least, and by twice as much when they were sent while others were under way.
// Or a share of the connections suffers, by its mode; of datagrams, that share
// is lost.
type impairment struct {
	delay time.Duration
	share float64
	mode  harm
	seed  uint64
	over  chan struct{} // closed when it ends
	felt  atomic.Uint64 // how often something was late, lost, slow or reset by it
}

// harm is what happens to a connection that is hit.
type harm string

const (
	reset   harm = "reset" // it is reset when something is sent
	swallow harm = "loss"  // what is sent does not arrive, and nobody is told
	drip    harm = "drip"  // it carries 2 to 20 KB/s
)

// dripEvery is how often a piece of a slow connection arrives.
const dripEvery = 50 * time.Millisecond

// worsen makes ways bad, until better is called with it.
func (f *fabric) worsen(i *impairment, ways ...way) {
	i.over = make(chan struct{})
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range ways {
		f.bad[w] = append(f.bad[w], i)
	}
}

// improve ends an impairment.
func (f *fabric) improve(i *impairment, ways ...way) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range ways {
		f.better(w, i)
	}
}

// better takes an impairment off a way, or all if it is nil. f.mu is held.
func (f *fabric) better(w way, i *impairment) {
	f.bad[w] = slices.DeleteFunc(f.bad[w], func(have *impairment) bool {
		if i != nil && have != i {
			return false
		}
		select {
		case <-have.over:
		default:
			close(have.over)
		}
		return true
	})
}

// hit reports whether an impairment hits a connection or a datagram: always the
// same for the same one.
func (i *impairment) hit(serial uint64) bool {
	return i.share > 0 && rand.New(rand.NewPCG(i.seed, serial)).Float64() < i.share
}

// hits is how late a datagram is, and whether it is lost.
func hits(list []*impairment, serial uint64) (late time.Duration, lost bool) {
	for _, i := range list {
		late += i.delay
		hit := i.hit(serial) && i.mode != drip
		lost = lost || hit
		if hit || i.delay > 0 {
			i.felt.Add(1)
		}
	}
	return late, lost
}

// suffer lets what was sent on a connection wait as long as the way is bad, and
// says what makes it arrive slowly (nil: nothing), or that it does not and the
// connection breaks.
func (f *fabric) suffer(w way, serial uint64, n int) (slow *impairment, arrives bool) {
	if n == 0 {
		return nil, true
	}
	f.mu.Lock()
	list := slices.Clone(f.bad[w])
	f.mu.Unlock()
	for _, i := range list {
		if !f.wait(i.delay, nil) {
			return nil, false
		}
		hit := i.hit(serial)
		if hit || i.delay > 0 {
			i.felt.Add(1)
		}
		if !hit {
			continue
		}
		switch i.mode {
		case reset:
			return nil, false
		case swallow:
			f.wait(time.Hour, i.over)
			return nil, false
		case drip:
			slow = i
		}
	}
	return slow, true
}

// wait lets time pass, until over at most; it reports false at the fabric's end.
func (f *fabric) wait(d time.Duration, over <-chan struct{}) bool {
	if d <= 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-over:
	case <-f.ctx.Done():
		return false
	}
	return true
}

// deliver writes, in pieces while the way is slow.
func (f *fabric) deliver(dst *net.TCPConn, b []byte, slow *impairment) error {
	if slow == nil {
		_, err := dst.Write(b)
		return err
	}
	for part := range slices.Chunk(b, 100+int(slow.seed%900)) {
		if !f.wait(dripEvery, slow.over) {
			return net.ErrClosed
		}
		if _, err := dst.Write(part); err != nil {
			return err
		}
	}
	return nil
}
