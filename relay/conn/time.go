package conn

import (
	"fmt"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// maxRTT is what may be believed of an answer to our time message.
const maxRTT = time.Minute

// heard treats a time message (net_plugin.cpp:3476-3529). One without org asks: it is answered, unless it repeats the
// one before. One with org answers ours: it gives the round-trip time and is not answered.
func (c *Conn) heard(f *wire.Frame, lastXmt *int64) error {
	now := time.Now()
	t, err := wire.ParseTime(f.Body())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if t.Org != 0 {
		if rtt := now.Sub(time.Unix(0, wire.Nanoseconds(t.Org))); rtt >= 0 && rtt <= maxRTT {
			c.rtt.Store(int64(rtt))
			c.answerMu.Lock()
			c.answer = Answer{now.Add(-rtt), now}
			c.answerMu.Unlock()
		}
		return nil
	}
	if t.Xmt == 0 || t.Xmt == *lastXmt {
		return nil
	}
	*lastXmt = t.Xmt
	c.sendTime(t.Xmt, now.UnixNano())
	return nil
}

// sendTime queues a time message: a question when org is zero, else the answer to the one sent at org and received at
// rec. If the queue is full the peer does not read, and will not miss it.
func (c *Conn) sendTime(org, rec int64) {
	f := wire.Encode(&wire.Time{Org: org, Rec: rec, Xmt: time.Now().UnixNano()})
	c.queue.add(Control, f)
	f.Release()
}
