package relay_test

import (
	"encoding/binary"
	"net"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/thinrelay/thinrelay/relay"
	"github.com/thinrelay/thinrelay/relay/director"
)

const (
	firstFeed = 64 // the first type byte of what relays say to each other
	note      = 70 // a relay's status: its body is JSON, whose fields are open as they are
)

// laterRelease is a link of a relay of a later release: its messages have a field more at
// the end, and among them is one of a type that this release does not know.
type laterRelease struct {
	net.Conn
	mu   sync.Mutex
	part []byte // of a frame that is not whole yet
}

func (l *laterRelease) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, b...)
	var out []byte
	for len(l.part) >= 4 {
		n := int(binary.LittleEndian.Uint32(l.part))
		if len(l.part) < 4+n {
			break
		}
		body := l.part[4 : 4+n]
		if kind := body[0]; kind >= firstFeed && kind != note {
			out = appendMessage(out, append(body[:n:n], 1, 2, 3))
			out = appendMessage(out, []byte{200, 1, 2, 3})
		} else {
			out = appendMessage(out, body)
		}
		l.part = l.part[4+n:]
	}
	if _, err := l.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(b), nil
}

func appendMessage(b, body []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(b, uint32(len(body))), body...)
}

// A rolling upgrade to a release whose relays say more to each other than this one's:
// links stand, and no slot is lost.
func TestLinksOfALaterRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, fleetConfig{
			relays: 3, mode: director.Votes, load: 4, dials: [][]int{{1}, {1}, {2}}, finalizer: []int{2},
			link: func(nc net.Conn) net.Conn { return &laterRelease{Conn: nc} },
		})
		defer f.close()
		rounds(2)
		f.net.Oracle.Begin(f.now())
		down := f.count(relay.LinkDown)
		rounds(2)
		got := f.net.Report()
		if down = f.count(relay.LinkDown) - down; down != 0 {
			t.Errorf("%d links ended, want none", down)
		}
		if got.Double != 0 || got.Unlinked != 0 || got.Missed != 0 || got.SlotsOurs < 12 {
			t.Errorf("report=%+v, want nothing double, unlinked or missed", brief(got))
		}
	})
}
