package link

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"
)

// Purpose says what a stream is for.
type Purpose uint8

// The purposes of streams.
const (
	Feed Purpose = 1 // a follower's stream to the leader; one per follower
	Sync Purpose = 2 // past blocks for a follower's replica
	Call Purpose = 3 // one request to the leader, and its answer
)

// String returns the purpose's name.
func (p Purpose) String() string {
	switch p {
	case Feed:
		return "feed"
	case Call:
		return "call"
	case Sync:
		return "sync"
	}
	return fmt.Sprintf("purpose %d", uint8(p))
}

// The hello is "TRLK", version, purpose and two zero bytes; the answer is the same with a code instead of the purpose.
// Both are 8 bytes and stay that long in later versions, so that any two relays can tell each other what is wrong.
const (
	helloSize = 8
	magic     = "TRLK"
	version   = 1
)

// Code is the answer to a hello.
type Code uint8

// The answers to a hello.
const (
	codeWelcome Code = 0
	CodeVersion Code = 1 // this relay speaks another version of the link
	CodePurpose Code = 2 // this relay does not know the purpose
	CodeBusy    Code = 3 // the member has too many streams of this purpose open here
)

// ErrNotLink is returned when the other side does not speak this protocol.
var ErrNotLink = errors.New("the other side does not speak the link protocol")

// ErrNoAnswer is returned when the other side took a connection and did not answer the hello in time.
var ErrNoAnswer = errors.New("no answer to the hello")

// RefusedError is returned when a member has refused a stream.
type RefusedError struct {
	Member string
	Code   Code
}

// Error says who refused and why.
func (e *RefusedError) Error() string {
	switch e.Code {
	case CodeVersion:
		return fmt.Sprintf("%s speaks another version of the link: upgrade the older relay", e.Member)
	case CodePurpose:
		return fmt.Sprintf("%s does not know this kind of stream: upgrade it", e.Member)
	case CodeBusy:
		return fmt.Sprintf("%s has too many streams of this kind open from this relay", e.Member)
	}
	return fmt.Sprintf("%s refused the stream with code %d", e.Member, e.Code)
}

func appendHello(dst []byte, p Purpose) []byte {
	return append(append(dst, magic...), version, byte(p), 0, 0)
}

// parseHello returns the purpose and, when the hello is to be refused, the code to answer with.
func parseHello(b []byte) (Purpose, Code, error) {
	if len(b) != helloSize || string(b[:len(magic)]) != magic {
		return 0, 0, ErrNotLink
	}
	p := Purpose(b[5])
	switch {
	case b[4] != version:
		return p, CodeVersion, nil
	case p < Feed || p > Call:
		return p, CodePurpose, nil
	}
	return p, codeWelcome, nil
}

func appendAnswer(dst []byte, code Code) []byte {
	return append(append(dst, magic...), version, byte(code), 0, 0)
}

func parseAnswer(b []byte) (Code, error) {
	if len(b) != helloSize || string(b[:len(magic)]) != magic {
		return 0, ErrNotLink
	}
	return Code(b[5]), nil
}

// opened is a stream of which the answer to the hello has not been read yet.
type opened struct {
	net.Conn
	name    string
	timeout time.Duration // for the answer, from the first Read
	late    atomic.Bool

	// Only the reader uses these.
	got     [helloSize]byte
	n       int // bytes of the answer read
	failure error
	timer   *time.Timer
}

// Read reads the answer first. One goroutine reads at a time.
func (o *opened) Read(b []byte) (int, error) {
	if o.n < helloSize || o.failure != nil {
		if err := o.answer(); err != nil {
			return 0, err
		}
	}
	return o.Conn.Read(b)
}

func (o *opened) answer() error {
	if o.failure != nil {
		return o.failure
	}
	if o.timer == nil {
		o.timer = time.AfterFunc(o.timeout, func() {
			o.late.Store(true)
			_ = o.Conn.Close()
		})
	}
	for o.n < helloSize {
		n, err := o.Conn.Read(o.got[o.n:])
		o.n += n
		if o.n == helloSize {
			break
		}
		switch {
		case o.late.Load():
			o.failure = fmt.Errorf("%s: %w", o.name, ErrNoAnswer)
			return o.failure
		case err == io.EOF:
			o.failure = fmt.Errorf("%s hung up before it answered the hello: %w", o.name, io.ErrUnexpectedEOF)
			return o.failure
		case err != nil:
			return err // a deadline of the caller's, perhaps: it may read again
		}
	}
	o.timer.Stop()
	code, err := parseAnswer(o.got[:])
	if err == nil && code != codeWelcome {
		err = &RefusedError{Member: o.name, Code: code}
	}
	o.failure = err
	return err
}
