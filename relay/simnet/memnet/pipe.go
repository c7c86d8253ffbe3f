package memnet

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const firstBuffer = 4 << 10

// pipe is one direction of a connection: a ring of bytes addressed by their offset in the stream, and the packets that
// say up to which offset the reader may read, and when. acked <= r <= arrived <= w.
type pipe struct {
	from, to string
	limit    int
	back     *pipe // the other direction; its lock is never taken while this one's is held

	mu       sync.Mutex
	readers  sync.Cond
	writers  sync.Cond
	ring     []byte
	w        uint64 // end of what was written
	arrived  uint64 // end of what may be read
	r        uint64 // end of what was read
	acked    uint64 // end of what the writer knows to be read: its room
	flights  []flight
	clock    *time.Timer // fires when flights[0] arrives
	delay    time.Duration
	cut      bool // packets are held
	ackCut   bool // acknowledgements are held
	held     flight
	isHeld   bool
	writing  bool // one Write at a time, whole
	shut     bool // FIN sent: CloseWrite or Close
	wclosed  bool // writing end closed
	rclosed  bool // reading end closed
	fin      bool // FIN arrived
	rst      bool // RST arrived
	broken   bool // the writing end got an RST
	readDue  due
	writeDue due
}

// flight is a packet on its way: bytes up to end, perhaps FIN, perhaps RST.
type flight struct {
	end      uint64
	at       time.Time
	fin, rst bool
}

func newPipe(from, to string, limit int) *pipe {
	p := &pipe{from: from, to: to, limit: limit}
	p.readers.L, p.writers.L = &p.mu, &p.mu
	return p
}

func (p *pipe) setLine(delay time.Duration, cut, ackCut bool) {
	p.mu.Lock()
	p.delay = delay
	p.ackCut = ackCut
	if !ackCut && p.acked != p.r {
		p.acked = p.r
		p.writers.Broadcast()
	}
	p.cut = cut
	var o outcome
	if !cut && p.isHeld {
		p.isHeld = false
		o = p.launch(p.held)
		p.held = flight{}
	}
	p.mu.Unlock()
	p.react(o)
}

// outcome is what an arrival means for the other direction: the caller passes it to react after unlocking.
type outcome struct {
	reset  bool // an RST has arrived: writes of this end fail
	answer bool // bytes have arrived at a closed end: it answers with an RST
}

func (p *pipe) react(o outcome) {
	if o.reset {
		p.back.mu.Lock()
		p.back.broken = true
		p.back.writers.Broadcast()
		p.back.mu.Unlock()
	}
	if o.answer {
		p.back.mu.Lock()
		answered := p.back.send(flight{rst: true})
		p.back.mu.Unlock()
		p.back.react(answered)
	}
}

// send puts a packet on the line, up to what was written.
func (p *pipe) send(f flight) outcome {
	f.end = p.w
	if p.cut {
		f.fin, f.rst = f.fin || p.held.fin, f.rst || p.held.rst
		p.held, p.isHeld = f, true
		return outcome{}
	}
	return p.launch(f)
}

func (p *pipe) launch(f flight) outcome {
	if p.delay <= 0 && len(p.flights) == 0 {
		return p.land(f)
	}
	f.at = time.Now().Add(p.delay)
	if k := len(p.flights); k > 0 {
		last := &p.flights[k-1]
		if f.at.Before(last.at) {
			f.at = last.at // a shorter delay overtakes nothing
		}
		if f.at.Equal(last.at) {
			last.end, last.fin, last.rst = f.end, last.fin || f.fin, last.rst || f.rst
			return outcome{}
		}
	}
	p.flights = append(p.flights, f)
	if len(p.flights) == 1 {
		p.arm()
	}
	return outcome{}
}

func (p *pipe) arm() {
	wait := time.Until(p.flights[0].at)
	if p.clock == nil {
		p.clock = time.AfterFunc(wait, p.tick)
		return
	}
	p.clock.Reset(wait)
}

func (p *pipe) tick() {
	p.mu.Lock()
	now := time.Now()
	var all outcome
	k := 0
	for k < len(p.flights) && !p.flights[k].at.After(now) {
		o := p.land(p.flights[k])
		all.reset, all.answer = all.reset || o.reset, all.answer || o.answer
		k++
	}
	p.flights = append(p.flights[:0], p.flights[k:]...)
	if len(p.flights) > 0 {
		p.arm()
	}
	p.mu.Unlock()
	p.react(all)
}

func (p *pipe) land(f flight) outcome {
	o := outcome{reset: f.rst, answer: p.rclosed && f.end > p.arrived}
	p.arrived = f.end
	if p.rclosed {
		p.r, p.acked = p.arrived, p.arrived
	}
	p.fin = p.fin || f.fin
	p.rst = p.rst || f.rst
	p.readers.Broadcast()
	return o
}

func (p *pipe) read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		switch {
		case p.rclosed:
			return 0, net.ErrClosed
		case p.readDue.expired:
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case p.arrived > p.r:
			n := p.take(b)
			if !p.ackCut {
				p.acked = p.r
				p.writers.Broadcast()
			}
			return n, nil
		case p.rst:
			return 0, os.NewSyscallError("read", syscall.ECONNRESET)
		case p.fin:
			return 0, io.EOF
		}
		p.readers.Wait()
	}
}

func (p *pipe) take(b []byte) int {
	total := 0
	for total < len(b) && p.r < p.arrived {
		at := int(p.r % uint64(len(p.ring)))
		end := min(len(p.ring), at+int(p.arrived-p.r))
		n := copy(b[total:], p.ring[at:end])
		p.r += uint64(n)
		total += n
	}
	return total
}

func (p *pipe) write(b []byte) (int, error) {
	n, o, err := p.put(b)
	p.react(o)
	return n, err
}

func (p *pipe) put(b []byte) (total int, o outcome, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	mine := false
	defer func() {
		if mine {
			p.writing = false
			p.writers.Broadcast()
		}
	}()
	for {
		switch {
		case p.wclosed:
			return total, o, net.ErrClosed
		case p.writeDue.expired:
			return total, o, os.ErrDeadlineExceeded
		case p.shut:
			return total, o, os.NewSyscallError("write", syscall.EPIPE)
		case p.broken:
			return total, o, os.NewSyscallError("write", syscall.ECONNRESET)
		case p.writing && !mine:
			p.writers.Wait()
			continue
		}
		p.writing, mine = true, true
		if len(b) == 0 {
			return total, o, nil
		}
		if p.rclosed {
			p.w += uint64(len(b)) // nobody will read them; their arrival is answered by an RST
			return total + len(b), p.send(flight{}), nil
		}
		n := min(len(b), p.limit-int(p.w-p.acked))
		if n == 0 {
			p.writers.Wait()
			continue
		}
		p.store(b[:n])
		o = p.send(flight{})
		total += n
		b = b[n:]
		if len(b) == 0 {
			return total, o, nil
		}
	}
}

func (p *pipe) store(b []byte) {
	if need := int(p.w-p.r) + len(b); need > len(p.ring) {
		size := max(len(p.ring), firstBuffer)
		for size < need {
			size *= 2
		}
		ring := make([]byte, min(size, max(p.limit, need)))
		for at := p.r; at < p.w; {
			from, to := int(at%uint64(len(p.ring))), int(at%uint64(len(ring)))
			end := min(len(p.ring), from+int(p.w-at))
			at += uint64(copy(ring[to:], p.ring[from:end]))
		}
		p.ring = ring
	}
	for len(b) > 0 {
		n := copy(p.ring[int(p.w%uint64(len(p.ring))):], b)
		p.w += uint64(n)
		b = b[n:]
	}
}

func (p *pipe) shutdown() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.wclosed:
		return net.ErrClosed
	case p.broken:
		return os.NewSyscallError("shutdown", syscall.ENOTCONN)
	case p.shut:
		return nil
	}
	p.shut = true
	p.send(flight{fin: true})
	p.writers.Broadcast()
	return nil
}

// closeRead closes the reading end. It says whether arrived bytes are lost by that, and whether this is the first call.
func (p *pipe) closeRead() (unread, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.rclosed {
		return false, false
	}
	p.rclosed = true
	unread = p.arrived > p.r
	p.readDue.stop()
	p.r, p.acked = p.arrived, p.arrived
	p.ring = nil
	p.readers.Broadcast()
	p.writers.Broadcast()
	return unread, true
}

func (p *pipe) closeWrite(abort bool) {
	p.mu.Lock()
	p.wclosed = true
	p.writeDue.stop()
	var o outcome
	if abort || !p.shut {
		o = p.send(flight{fin: !abort, rst: abort})
	}
	p.shut = true
	p.writers.Broadcast()
	p.mu.Unlock()
	p.react(o)
}
