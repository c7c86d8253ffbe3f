package members

import (
	"errors"
	"net"
	"sync"

	"github.com/hashicorp/memberlist"

	"github.com/thinrelay/thinrelay/cluster/internal/crowd"
)

const (
	// maxStreams bounds the streams that others have opened here. Members need one at a time each.
	maxStreams = 64
	// maxStreamBytes bounds what is read of one. memberlist keeps all of it, 20 MiB by its own bound, before it finds whether a key
	// fits. Ours is what members tell of each other, half a kilobyte each, and what they remember of logs, 64 KiB.
	maxStreamBytes = 256 << 10
)

var errLongStream = errors.New("more bytes than members have to tell")

// admission hands the streams that others open on to memberlist, of which everybody may open some before a key is asked for.
type admission struct {
	streams chan net.Conn
	crowd   *crowd.Crowd
	closed  chan struct{}
	once    sync.Once
	over    sync.WaitGroup
}

// admit begins with the streams of a transport.
func admit(t *memberlist.NetTransport, warn func(format string, args ...any)) *admission {
	a := &admission{streams: make(chan net.Conn), crowd: crowd.New(maxStreams), closed: make(chan struct{})}
	a.over.Go(func() {
		for {
			select {
			case conn := <-t.StreamCh():
				guest, full := a.crowd.Enter(conn)
				if full {
					warn("[WARN] memberlist: more than %d streams at once, closed one", maxStreams)
				}
				s := &admitted{Conn: conn, left: maxStreamBytes, leave: func() { a.crowd.Leave(guest) }}
				select {
				case a.streams <- s:
				case <-a.closed:
					_ = s.Close()
				}
			case <-a.closed:
				return
			}
		}
	})
	return a
}

// close ends it. The transport must have stopped accepting.
func (a *admission) close() {
	a.once.Do(func() { close(a.closed) })
	a.over.Wait()
}

// admitted is a stream that somebody has opened here. One goroutine reads.
type admitted struct {
	net.Conn
	left  int
	once  sync.Once
	leave func()
}

func (s *admitted) Read(b []byte) (int, error) {
	if s.left <= 0 {
		return 0, errLongStream
	}
	n, err := s.Conn.Read(b[:min(len(b), s.left)])
	s.left -= n
	return n, err
}

func (s *admitted) Close() error {
	s.once.Do(s.leave)
	return s.Conn.Close()
}
