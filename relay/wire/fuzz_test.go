package wire_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// seeds adds recorded bodies of a type, and the hand-made samples.
func seeds(f *testing.F, typ wire.Type) {
	f.Helper()
	for _, name := range []string{"nodes/12-x1-to-bpc", "nodes/10-boot-to-late", "nodes/14-x2-to-boot", "legacy/03-bpb-to-a1"} {
		n := 0
		for _, fr := range frames(f, name) {
			if fr.Type() == typ && n < 10 {
				f.Add(fr.Body())
				n++
			}
		}
	}
	for _, m := range samples() {
		if m.Type() == typ {
			f.Add(wire.Append(nil, m)[5:])
		}
	}
}

// roundTrip: what decodes encodes to the same bytes, and decodes to memory of
// its own.
func roundTrip(f *testing.F, typ wire.Type) {
	seeds(f, typ)
	f.Fuzz(func(t *testing.T, body []byte) {
		if len(body) > wire.MaxPayload-1 {
			return
		}
		fr := wire.RawFrame(typ, body)
		defer fr.Release()
		m, err := wire.Decode(fr)
		if err != nil {
			return
		}
		want := bytes.Clone(fr.Bytes())
		clear(fr.Body())
		if got := wire.Append(nil, m); !bytes.Equal(got, want) {
			t.Errorf("%x decodes to %+v, which encodes to %x", want, m, got)
		}
		if h, ok := m.(*wire.Handshake); ok {
			_, _ = wire.CheckHandshake(h)
			_ = h.Valid()
		}
	})
}

func FuzzHandshake(f *testing.F)   { roundTrip(f, wire.TypeHandshake) }
func FuzzChainSize(f *testing.F)   { roundTrip(f, wire.TypeChainSize) }
func FuzzGoAway(f *testing.F)      { roundTrip(f, wire.TypeGoAway) }
func FuzzTime(f *testing.F)        { roundTrip(f, wire.TypeTime) }
func FuzzNotice(f *testing.F)      { roundTrip(f, wire.TypeNotice) }
func FuzzRequest(f *testing.F)     { roundTrip(f, wire.TypeRequest) }
func FuzzSyncRequest(f *testing.F) { roundTrip(f, wire.TypeSyncRequest) }
func FuzzVote(f *testing.F)        { roundTrip(f, wire.TypeVote) }

func FuzzBlock(f *testing.F) {
	seeds(f, wire.TypeBlock)
	f.Add(header(3, []byte{1, 1, 0, 0, 0, 1}, make([]byte, 8), key(2, 1, 2, 'r', 'p'), []byte{1, 2, 0, 5, 1, 0, 0, 0, 1}, sig(0)))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := wire.ParseBlock(body)
		if err != nil {
			return
		}
		if b.HeaderLen < 116 || b.HeaderLen+66 > len(body) {
			t.Fatalf("a header of %d bytes in a body of %d", b.HeaderLen, len(body))
		}
		id := sha256.Sum256(body[:b.HeaderLen])
		binary.BigEndian.PutUint32(id[:4], b.Previous.Num()+1)
		if b.ID != id || b.Num() == 0 {
			t.Errorf("id %s, want %x", b.ID, id)
		}
		sig, err := b.Signature(body)
		if err != nil || len(sig) != 66 {
			t.Errorf("a signature of %d bytes, %v", len(sig), err)
		}
		_, _ = b.SignatureKey(body)
	})
}

// FuzzReader compares the Reader, fed in pieces, with the obvious way to cut a
// stream, and watches that it never asks for more room than it may.
func FuzzReader(f *testing.F) {
	f.Add([]byte{0, 0, 128, 0, 1, 2, 3}, uint16(1))
	f.Add(append(stream(1, 2, 700, 3), 0, 0, 0, 0), uint16(146))
	f.Add(append(stream(5), 1, 0, 128, 0), uint16(3))
	f.Fuzz(func(t *testing.T, data []byte, piece uint16) {
		w := &watched{r: &chunks{bytes.NewReader(data), int(piece)%5000 + 1}}
		r := wire.NewReader(w)
		for rest := data; ; {
			got, err := r.Next()
			want, wantErr := first(rest)
			if !errors.Is(err, wantErr) {
				t.Fatalf("Next() = %v, want %v", err, wantErr)
			}
			if err != nil {
				break
			}
			if !bytes.Equal(got.Bytes(), want) {
				t.Fatalf("frame %x, want %x", got.Bytes(), want)
			}
			rest = rest[len(want):]
			got.Release()
		}
		if w.ahead > wire.ReadBuffer {
			t.Errorf("room for %d bytes more than had arrived", w.ahead)
		}
	})
}

func first(b []byte) ([]byte, error) {
	switch {
	case len(b) == 0:
		return nil, io.EOF
	case len(b) < 4:
		return nil, io.ErrUnexpectedEOF
	}
	n := int(binary.LittleEndian.Uint32(b))
	switch {
	case n == 0:
		return nil, wire.ErrFrameEmpty
	case n > wire.MaxPayload:
		return nil, wire.ErrFrameTooLarge
	case n > len(b)-4:
		return nil, io.ErrUnexpectedEOF
	}
	return b[:4+n], nil
}

// FuzzRecover: no bytes make key recovery panic, and a key it returns is the one
// another implementation recovers.
func FuzzRecover(f *testing.F) {
	for _, fr := range frames(f, "nodes/12-bpc-to-x1")[:60] {
		if b, err := wire.ParseBlock(fr.Body()); err == nil && b.Savanna() {
			s, _ := b.Signature(fr.Body())
			f.Add([]byte(s), b.ID[:])
		}
	}
	f.Add(make([]byte, 66), make([]byte, 32))
	f.Fuzz(func(t *testing.T, sig, digest []byte) {
		if len(digest) != 32 {
			return
		}
		got, err := wire.RecoverKey(sig, [32]byte(digest))
		if err != nil {
			return
		}
		want, _, err := ecdsa.RecoverCompact(sig[1:], digest)
		if err != nil || !bytes.Equal(got.Content, want.SerializeCompressed()) {
			t.Errorf("recovered %x, want %v, %v", got.Content, want, err)
		}
	})
}

func FuzzName(f *testing.F) {
	f.Add("eosio.token")
	f.Add("zzzzzzzzzzzzj")
	f.Fuzz(func(t *testing.T, s string) {
		if n, err := wire.ParseName(s); err == nil && n.String() != s {
			t.Errorf("ParseName(%q) = %d, which is %q", s, uint64(n), n)
		}
	})
}
