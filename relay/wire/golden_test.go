package wire_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/thinrelay/thinrelay/relay/wire"
	"github.com/thinrelay/thinrelay/relay/wire/captures"
)

// frames are the frames of a recorded stream. They are never released.
func frames(tb testing.TB, name string) []*wire.Frame {
	tb.Helper()
	data, err := captures.Open(name)
	if err != nil {
		tb.Fatal(err)
	}
	r := wire.NewReader(bytes.NewReader(data))
	var all []*wire.Frame
	for {
		f, err := r.Next()
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) { // the latter: killed while writing
			return all
		}
		if err != nil {
			tb.Fatalf("%s, frame %d: %v", name, len(all), err)
		}
		all = append(all, f)
	}
}

// folder runs fn on every stream of a folder of recordings.
func folder(tb testing.TB, dir string, fn func(name string, all []*wire.Frame)) {
	tb.Helper()
	for _, name := range captures.Names() {
		if strings.HasPrefix(name, dir+"/") {
			fn(name, frames(tb, name))
		}
	}
}

var folders = []string{"relay-votes", "relay-passive", "nodes", "legacy"}

// TestCapturesParse takes every recorded frame apart and, where this package has
// a codec, puts it together again to the same bytes.
func TestCapturesParse(t *testing.T) {
	seen := map[wire.Type]int{}
	for _, dir := range folders {
		folder(t, dir, func(name string, all []*wire.Frame) {
			rest, err := captures.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			for i, f := range all {
				if !bytes.HasPrefix(rest, f.Bytes()) {
					t.Fatalf("%s, frame %d: not the bytes of the stream", name, i)
				}
				rest = rest[f.Len():]
				seen[f.Type()]++
				m, err := wire.Decode(f)
				switch {
				case f.Type() == wire.TypeBlock:
					if _, err := wire.ParseBlock(f.Body()); err != nil {
						t.Errorf("%s, frame %d: %v", name, i, err)
					}
				case f.Type() > wire.TypeSyncRequest && f.Type() != wire.TypeVote:
					if !errors.Is(err, wire.ErrOpaque) {
						t.Errorf("%s, frame %d: Decode(%s) = %v, want %v", name, i, f.Type(), err, wire.ErrOpaque)
					}
				case err != nil:
					t.Errorf("%s, frame %d: %v", name, i, err)
				default:
					if got := wire.Append(nil, m); !bytes.Equal(got, f.Bytes()) {
						t.Errorf("%s, frame %d: %s encodes to\n%x, want\n%x", name, i, f.Type(), got, f.Bytes())
					}
					if g := wire.Encode(m); !bytes.Equal(g.Bytes(), f.Bytes()) {
						t.Errorf("%s, frame %d: Encode and Append differ", name, i)
					} else {
						g.Release()
					}
				}
			}
			if len(rest) > 0 {
				t.Errorf("%s: %d bytes after the last frame", name, len(rest))
			}
		})
	}
	for typ := wire.TypeHandshake; typ <= wire.TypeBlockNotice; typ++ {
		if seen[typ] == 0 && typ != wire.TypeChainSize { // which nobody sends
			t.Errorf("no recorded frame of type %s", typ)
		}
	}
}

// TestCapturesCount compares the number of frames per type with what the
// recorder counted.
func TestCapturesCount(t *testing.T) {
	tests := map[string]map[wire.Type]int{
		"nodes/01-a2-to-bpc": {
			wire.TypeBlockNack: 8, wire.TypeBlockNotice: 17, wire.TypeHandshake: 1, wire.TypeTransaction: 4,
			wire.TypeBlock: 67, wire.TypeTime: 13, wire.TypeVote: 319,
		},
		"nodes/10-boot-to-late": {
			wire.TypeBlockNack: 16, wire.TypeBlockNotice: 96, wire.TypeHandshake: 1, wire.TypeNotice: 6,
			wire.TypeBlock: 219, wire.TypeTime: 11, wire.TypeVote: 391,
		},
		"nodes/10-late-to-boot": {
			wire.TypeBlockNack: 4, wire.TypeBlockNotice: 71, wire.TypeHandshake: 7, wire.TypeRequest: 2,
			wire.TypeBlock: 30, wire.TypeSyncRequest: 2, wire.TypeTime: 11, wire.TypeVote: 259,
		},
		"nodes/12-x1-to-bpc":  {wire.TypeHandshake: 5, wire.TypeRequest: 1, wire.TypeSyncRequest: 1, wire.TypeTime: 5},
		"nodes/14-x2-to-boot": {wire.TypeGoAway: 1, wire.TypeTime: 1},
	}
	for name, want := range tests {
		got := map[wire.Type]int{}
		for _, f := range frames(t, name) {
			got[f.Type()]++
		}
		for typ := wire.TypeHandshake; typ <= wire.TypeTransactionNotice; typ++ {
			if got[typ] != want[typ] {
				t.Errorf("%s: %d of %s, want %d", name, got[typ], typ, want[typ])
			}
		}
	}
}

func TestCapturedGoAways(t *testing.T) {
	tests := map[string]wire.GoAwayReason{
		"nodes/14-x2-to-boot": wire.GoAwayDuplicate,
		"nodes/15-x2-to-boot": wire.GoAwayDuplicate,
		"nodes/16-x2-to-x2":   wire.GoAwaySelf,
		"nodes/17-x2-to-boot": wire.GoAwayDuplicate,
		"nodes/18-boot-to-x2": wire.GoAwayWrongChain,
	}
	for name, want := range tests {
		all := frames(t, name)
		g, err := wire.ParseGoAway(all[len(all)-1].Body())
		if err != nil || g.Reason != want {
			t.Errorf("%s ends with go_away %s, %v; want %s", name, g.Reason, err, want)
		}
	}
}

func TestCapturedHandshakes(t *testing.T) {
	signed := 0
	for _, dir := range folders {
		folder(t, dir, func(name string, all []*wire.Frame) {
			for _, f := range all {
				if f.Type() != wire.TypeHandshake {
					continue
				}
				h, err := wire.ParseHandshake(f.Body())
				if err != nil {
					t.Fatal(err)
				}
				if err := h.Valid(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if v := h.Version(); v != 11 && !(v == 9 && strings.HasSuffix(name, ".to-node")) {
					t.Errorf("%s: version %d", name, v)
				}
				key, err := wire.CheckHandshake(&h)
				switch {
				case err == nil:
					signed++
					if !strings.HasPrefix(name, "nodes/12-x1") || len(key.String()) != 53 {
						t.Errorf("%s: signed by %s", name, key)
					}
				case !errors.Is(err, wire.ErrUnsigned):
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	if signed != 5 {
		t.Errorf("%d signed handshakes, want the 5 of x1", signed)
	}
}
