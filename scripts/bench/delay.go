//go:build benchpeers

package main

import (
	"net"
	"sync"
	"time"
)

// delayed is a TCP proxy on which every byte takes a while, each way: the distance between two regions. Any number of
// bytes may be under way.
type delayed struct {
	ln     net.Listener
	target string
	oneWay time.Duration

	mu    sync.Mutex
	conns []net.Conn
	wg    sync.WaitGroup
}

func newDelayed(target string, oneWay time.Duration) (*delayed, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d := &delayed{ln: ln, target: target, oneWay: oneWay}
	d.wg.Go(d.accept)
	return d, nil
}

func (d *delayed) addr() string { return d.ln.Addr().String() }

func (d *delayed) accept() {
	for {
		in, err := d.ln.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", d.target)
		if err != nil {
			in.Close()
			continue
		}
		d.mu.Lock()
		d.conns = append(d.conns, in, out)
		d.mu.Unlock()
		d.wg.Go(func() { d.carry(in, out) })
		d.wg.Go(func() { d.carry(out, in) })
	}
}

// chunk is bytes on their way, and when they arrive. Without bytes it is the end.
type chunk struct {
	at    time.Time
	bytes []byte
}

// carry moves bytes one way until either end is gone, and then ends both.
func (d *delayed) carry(src, dst net.Conn) {
	way := make(chan chunk, 4096)
	d.wg.Go(func() {
		defer close(way)
		for {
			b := make([]byte, 32<<10)
			n, err := src.Read(b)
			if n > 0 {
				way <- chunk{time.Now().Add(d.oneWay), b[:n]}
			}
			if err != nil {
				return
			}
		}
	})
	var failed error
	for c := range way {
		time.Sleep(time.Until(c.at))
		if failed == nil {
			if _, failed = dst.Write(c.bytes); failed != nil {
				src.Close()
			}
		}
	}
	src.Close()
	dst.Close()
}

func (d *delayed) close() {
	d.ln.Close()
	d.mu.Lock()
	for _, c := range d.conns {
		c.Close()
	}
	d.mu.Unlock()
	d.wg.Wait()
}
