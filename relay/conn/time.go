package conn

import (
	"fmt"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// maxQuestions is how many of our time messages may be answered yet: those of half a minute where one is sent each half second, and some hundred ms of a catch-up, in
// which the relay asks with each block.
const maxQuestions = 64

// questions are our last time messages. An answer tells by our wall clock which one it answers, and that clock may have been set since, so when that
// was is looked up here; what we never sent has no answer.
type questions struct {
	sent [maxQuestions]time.Time // with the monotonic clock
	next int
}

func (q *questions) add(at time.Time) {
	q.sent[q.next] = at
	q.next = (q.next + 1) % maxQuestions
}

// answered returns when the question was sent that an answer names by its time; it is answered once. Leap before 5 may name it in microseconds.
func (q *questions) answered(org int64) (time.Time, bool) {
	us := wire.Nanoseconds(org) / 1000
	for i, at := range q.sent {
		if !at.IsZero() && at.UnixNano()/1000 == us {
			q.sent[i] = time.Time{}
			return at, true
		}
	}
	return time.Time{}, false
}

// heard treats a time message (net_plugin.cpp:3476-3529). One without org asks: it is answered, unless it repeats the
// one before. One with org answers ours: it gives the round-trip time and is not answered.
func (c *Conn) heard(f *wire.Frame, lastXmt *int64) error {
	now := time.Now()
	t, err := wire.ParseTime(f.Body())
	if err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	if t.Org != 0 {
		c.answerMu.Lock()
		defer c.answerMu.Unlock()
		if at, ok := c.questions.answered(t.Org); ok {
			c.rtt.Store(int64(now.Sub(at)))
			c.answer = Answer{at, now}
		}
		return nil
	}
	if t.Xmt == 0 || t.Xmt == *lastXmt {
		return nil
	}
	*lastXmt = t.Xmt
	c.sendTime(wire.Time{Org: t.Xmt, Rec: now.UnixNano(), Xmt: time.Now().UnixNano()})
	return nil
}

// ask queues a time message that wants an answer.
func (c *Conn) ask() {
	now := time.Now()
	c.answerMu.Lock()
	c.questions.add(now)
	c.answerMu.Unlock()
	c.sendTime(wire.Time{Xmt: now.UnixNano()})
}

// sendTime queues a time message. If the queue is full the peer does not read, and will not miss it.
func (c *Conn) sendTime(t wire.Time) {
	f := wire.Encode(&t)
	c.queue.add(Control, f)
	f.Release()
}
