package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/thinrelay/thinrelay/relay/wire"
)

func id(b byte) (id wire.ID) {
	for i := range id {
		id[i] = b
	}
	return id
}

func key(typ byte, rest ...byte) wire.PublicKey {
	return append(append(wire.PublicKey{typ}, bytes.Repeat([]byte{7}, 33)...), rest...)
}

func sig(typ byte, rest ...byte) wire.Signature {
	return append(append(wire.Signature{typ}, bytes.Repeat([]byte{9}, 65)...), rest...)
}

// samples are messages with every layout that the recordings lack.
func samples() map[string]wire.Message {
	long := strings.Repeat("x", wire.MaxHandshakeString)
	hello := wire.Handshake{
		NetworkVersion: wire.Version9, ChainID: id(1), NodeID: id(2), Key: key(0), Time: math.MinInt64, Token: id(3), Sig: sig(0),
		P2PAddress: "a:1 - 1234567", RootNum: 1, RootID: id(4), HeadNum: math.MaxUint32, HeadID: id(5), OS: "linux", Agent: "", Generation: math.MinInt16,
	}
	r1, wa, wide := hello, hello, hello
	r1.Key, r1.Sig = key(1), sig(1)
	wa.Key, wa.Sig = key(2, 1, 3, 'r', 'p', 'i'), sig(2, 2, 'a', 'b', 1, '{')
	wide.P2PAddress, wide.OS, wide.Agent, wide.Generation = long, long, long, math.MaxInt16
	return map[string]wire.Message{
		"handshake":          &hello,
		"handshake R1":       &r1,
		"handshake WebAuthn": &wa,
		"handshake at limit": &wide,
		"chain_size":         &wire.ChainSize{RootNum: 1, RootID: id(1), HeadNum: 2, HeadID: id(2)},
		"go_away":            &wire.GoAway{Reason: wire.GoAwayAuthentication, NodeID: id(8)},
		"time":               &wire.Time{Org: -1, Rec: 2, Xmt: math.MaxInt64, Dst: 4},
		"notice": &wire.Notice{
			KnownTrx:    wire.IDList{Mode: wire.ModeLastIrrCatchUp, Pending: 5},
			KnownBlocks: wire.IDList{Mode: wire.ModeNormal, Pending: 6, IDs: []wire.ID{id(1), wire.StartID(77)}},
		},
		"request": &wire.Request{
			ReqTrx:    wire.IDList{Mode: math.MaxUint32, IDs: []wire.ID{id(9)}},
			ReqBlocks: wire.IDList{Mode: wire.ModeCatchUp, IDs: []wire.ID{id(1)}},
		},
		"sync_request": &wire.SyncRequest{Start: 1, End: math.MaxUint32},
		"vote":         &wire.VoteMessage{Block: id(1), Strong: true, Key: [96]byte{1, 95: 2}, Sig: [192]byte{3, 191: 4}},
	}
}

func TestMessages(t *testing.T) {
	for name, m := range samples() {
		f := wire.Encode(m)
		if got := wire.Append([]byte("before"), m); string(got) != "before"+string(f.Bytes()) {
			t.Errorf("%s: Append and Encode differ", name)
		}
		if f.Type() != m.Type() {
			t.Errorf("%s: frame of type %s", name, f.Type())
		}
		got, err := wire.Decode(f)
		if err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%s decodes to\n%+v, %v; want\n%+v", name, got, err, m)
		}
		for cut := range len(f.Body()) {
			g := wire.RawFrame(f.Type(), f.Body()[:cut])
			if m, err := wire.Decode(g); !errors.Is(err, wire.ErrShort) || m != nil {
				t.Errorf("%s cut to %d bytes: %v, %v; want %v", name, cut, m, err, wire.ErrShort)
			}
			g.Release()
		}
		g := wire.RawFrame(f.Type(), append(bytes.Clone(f.Body()), 0))
		if _, err := wire.Decode(g); !errors.Is(err, wire.ErrTrailing) {
			t.Errorf("%s with one byte more: %v, want %v", name, err, wire.ErrTrailing)
		}
		g.Release()
		f.Release()
	}
}

// TestMessageBytes fixes the layouts that the notes call traps: a go_away reason
// and the modes have four bytes.
func TestMessageBytes(t *testing.T) {
	tests := []struct {
		m    wire.Message
		want string
	}{
		{&wire.GoAway{Reason: wire.GoAwayBenign, NodeID: id(0xaa)}, "25000000" + "02" + "09000000" + strings.Repeat("aa", 32)},
		{&wire.SyncRequest{Start: 258, End: 3}, "09000000" + "06" + "02010000" + "03000000"},
		{&wire.Time{Xmt: 1}, "21000000" + "03" + strings.Repeat("00", 16) + "0100000000000000" + strings.Repeat("00", 8)},
		{
			&wire.Request{ReqBlocks: wire.IDList{Mode: wire.ModeCatchUp, Pending: 4, IDs: []wire.ID{id(0xbb)}}},
			"33000000" + "05" + "00000000" + "00000000" + "00" + "01000000" + "04000000" + "01" + strings.Repeat("bb", 32),
		},
	}
	for _, tt := range tests {
		if got := hex.EncodeToString(wire.Append(nil, tt.m)); got != tt.want {
			t.Errorf("%s is %s, want %s", tt.m.Type(), got, tt.want)
		}
	}
}

func TestEmptyKeys(t *testing.T) {
	h := wire.Handshake{P2PAddress: "a", OS: "b"}
	f := wire.Encode(&h)
	defer f.Release()
	got, err := wire.ParseHandshake(f.Body())
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Key) != 34 || len(got.Sig) != 66 || !got.Key.Empty() || !got.Sig.Empty() {
		t.Errorf("empty key and signature have %d and %d bytes, want 34 and 66 zeroes", len(got.Key), len(got.Sig))
	}
	if _, err := wire.CheckHandshake(&got); !errors.Is(err, wire.ErrUnsigned) {
		t.Errorf("CheckHandshake of an unsigned handshake: %v, want %v", err, wire.ErrUnsigned)
	}
	if err := got.Valid(); err != nil {
		t.Errorf("Valid() = %v", err)
	}
}

func TestDecodeRefuses(t *testing.T) {
	notice := wire.Append(nil, samples()["notice"])[5:]
	vote := wire.Append(nil, samples()["vote"])[5:]
	hello := wire.Append(nil, samples()["handshake"])[5:]
	patch := func(b []byte, at int, with ...byte) []byte {
		b = bytes.Clone(b)
		copy(b[at:], with)
		return b
	}
	insert := func(b []byte, at, drop int, with ...byte) []byte {
		return append(append(bytes.Clone(b[:at]), with...), b[at+drop:]...)
	}
	address := 2 + 32 + 32 + 34 + 8 + 32 + 66
	tests := []struct {
		name string
		typ  wire.Type
		body []byte
		want error
	}{
		{"three ids", wire.TypeNotice, patch(notice, 8, 3), wire.ErrLimit},
		{"2^32-1 ids", wire.TypeNotice, insert(notice, 8, 1, 255, 255, 255, 255, 15), wire.ErrLimit},
		{"a padded count", wire.TypeNotice, insert(notice, 8, 1, 0x80, 0), wire.ErrVaruint},
		{"a count over 32 bits", wire.TypeNotice, insert(notice, 8, 1, 255, 255, 255, 255, 31), wire.ErrVaruint},
		{"a count of six bytes", wire.TypeNotice, insert(notice, 8, 1, 129, 128, 128, 128, 128, 1), wire.ErrVaruint},
		{"strong = 2", wire.TypeVote, patch(vote, 32, 2), wire.ErrValue},
		{"a vote key of 95 bytes", wire.TypeVote, patch(vote, 33, 95), wire.ErrValue},
		{"a vote key of 97 bytes", wire.TypeVote, patch(vote, 33, 97), wire.ErrLimit},
		{"key type 3", wire.TypeHandshake, patch(hello, 66, 3), wire.ErrValue},
		{"an address of 385 bytes", wire.TypeHandshake, insert(hello, address, 1, 0x81, 3), wire.ErrLimit},
		{"an address of 4 GiB", wire.TypeHandshake, insert(hello, address, 1, 255, 255, 255, 255, 15), wire.ErrLimit},
		{"a block", wire.TypeBlock, make([]byte, 400), wire.ErrOpaque},
		{"an unknown type", 200, nil, wire.ErrOpaque},
	}
	for _, tt := range tests {
		f := wire.RawFrame(tt.typ, tt.body)
		if m, err := wire.Decode(f); !errors.Is(err, tt.want) || m != nil {
			t.Errorf("%s: %v, %v; want %v", tt.name, m, err, tt.want)
		}
		f.Release()
	}
}

// TestEncodeCuts: strings that no peer accepts leave as long as one accepts.
func TestEncodeCuts(t *testing.T) {
	f := wire.Encode(&wire.Handshake{Agent: strings.Repeat("a", wire.MaxHandshakeString+1)})
	defer f.Release()
	if h, err := wire.ParseHandshake(f.Body()); err != nil || len(h.Agent) != wire.MaxHandshakeString {
		t.Errorf("agent of %d bytes, %v; want %d", len(h.Agent), err, wire.MaxHandshakeString)
	}
}

func TestHandshakeValid(t *testing.T) {
	good := wire.Handshake{P2PAddress: ": - 1234567", OS: "linux", RootNum: 3, HeadNum: 3}
	if err := good.Valid(); err != nil {
		t.Errorf("Valid() = %v", err)
	}
	for name, change := range map[string]func(*wire.Handshake){
		"root above head": func(h *wire.Handshake) { h.RootNum = 4 },
		"no address":      func(h *wire.Handshake) { h.P2PAddress = "" },
		"no os":           func(h *wire.Handshake) { h.OS = "" },
		"a wrong token":   func(h *wire.Handshake) { h.Token = id(1) },
		"a sig, no token": func(h *wire.Handshake) { h.Sig = sig(0) },
	} {
		h := good
		change(&h)
		if err := h.Valid(); !errors.Is(err, wire.ErrHandshake) {
			t.Errorf("%s: Valid() = %v, want %v", name, err, wire.ErrHandshake)
		}
	}
}

func TestNanoseconds(t *testing.T) {
	tests := map[int64]int64{
		1795374268805785123:    1795374268805785123, // 2026
		946684800000000000:     946684800000000000,  // 2000, where fake clocks begin
		1795374268805785:       1795374268805785000,
		1795374268805:          1795374268805000000,
		1795374268:             1795374268000000000,
		99_999_999:             0,
		0:                      0,
		-1:                     0,
		math.MinInt64:          0,
		math.MaxInt64:          math.MaxInt64,
		99_999_999_999_999:     0, // milliseconds of the year 5138
		50_000_000_000_000_000: 0, // microseconds of the year 3554
	}
	for in, want := range tests {
		if got := wire.Nanoseconds(in); got != want {
			t.Errorf("Nanoseconds(%d) = %d, want %d", in, got, want)
		}
	}
}
