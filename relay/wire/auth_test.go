package wire_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/decred/dcrd/dcrec/secp256k1/v4/ecdsa"
	"github.com/eoscanada/eos-go/ecc"

	"github.com/thinrelay/thinrelay/relay/wire"
)

func privateKey(t testing.TB, seed string) *ecc.PrivateKey {
	t.Helper()
	k, err := ecc.NewPrivateKeyFromSeed(seed)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestSignHandshake(t *testing.T) {
	for i := range 50 { // a good part of all signatures needs a second try to be canonical
		k := privateKey(t, string(rune('a'+i)))
		h := wire.Handshake{Time: 1795374268805785123 + int64(i), P2PAddress: "relay:9876", OS: "linux", Generation: 1}
		if err := wire.SignHandshake(&h, k); err != nil {
			t.Fatal(err)
		}
		f := wire.Encode(&h)
		got, err := wire.ParseHandshake(f.Body())
		f.Release()
		if err != nil {
			t.Fatal(err)
		}
		if err := got.Valid(); err != nil {
			t.Error(err)
		}
		key, err := wire.CheckHandshake(&got)
		if err != nil || key.String() != k.PublicKey().String() {
			t.Errorf("signed by %s, %v; want %s", key, err, k.PublicKey())
		}
		named, err := got.Key.Key()
		if err != nil || named.String() != key.String() {
			t.Errorf("names %s, %v; want %s", named, err, key)
		}
	}
}

func TestCheckHandshakeRefuses(t *testing.T) {
	good := wire.Handshake{Time: 1795374268805785123}
	if err := wire.SignHandshake(&good, privateKey(t, "k")); err != nil {
		t.Fatal(err)
	}
	other := wire.Handshake{Time: good.Time}
	if err := wire.SignHandshake(&other, privateKey(t, "other")); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name   string
		change func(*wire.Handshake)
		want   error
	}{
		{"no key", func(h *wire.Handshake) { h.Key = nil }, wire.ErrUnsigned},
		{"no signature", func(h *wire.Handshake) { h.Sig = make(wire.Signature, 66) }, wire.ErrUnsigned},
		{"another time", func(h *wire.Handshake) { h.Time++ }, wire.ErrHandshake},
		{"another key", func(h *wire.Handshake) { h.Key = other.Key }, wire.ErrSignature},
		{"another signature", func(h *wire.Handshake) { h.Sig = other.Sig }, wire.ErrSignature},
		{"R1", func(h *wire.Handshake) { h.Sig[0] = 1 }, wire.ErrSignature},
		{"R1 key", func(h *wire.Handshake) { h.Key[0] = 1 }, wire.ErrSignature},
		{"short signature", func(h *wire.Handshake) { h.Sig = h.Sig[:65] }, wire.ErrSignature},
		{"negative r", func(h *wire.Handshake) { h.Sig[2] |= 0x80 }, wire.ErrSignature},
		{"negative s", func(h *wire.Handshake) { h.Sig[34] |= 0x80 }, wire.ErrSignature},
		{"header 26", func(h *wire.Handshake) { h.Sig[1] = 26 }, wire.ErrSignature},
		{"header 35", func(h *wire.Handshake) { h.Sig[1] = 35 }, wire.ErrSignature},
		{"r = 0", func(h *wire.Handshake) { clear(h.Sig[2:34]) }, wire.ErrSignature},
		{"s = 0", func(h *wire.Handshake) { clear(h.Sig[34:]) }, wire.ErrSignature},
	}
	for _, tt := range tests {
		h := good
		h.Key, h.Sig = bytes.Clone(h.Key), bytes.Clone(h.Sig)
		tt.change(&h)
		if key, err := wire.CheckHandshake(&h); !errors.Is(err, tt.want) {
			t.Errorf("%s: %s, %v; want %v", tt.name, key, err, tt.want)
		}
	}
}

// TestRecoverRefusesOffCurve: half of all r are no x of a point; eos-go computes
// a "key" from them.
func TestRecoverRefusesOffCurve(t *testing.T) {
	refused := 0
	for r := range 100 {
		s := make(wire.Signature, 66)
		s[1], s[2], s[33], s[34], s[65] = 31, 1, byte(r), 1, 1
		if _, err := wire.RecoverKey(s, id(1)); err != nil {
			refused++
		}
	}
	if refused < 30 || refused > 70 {
		t.Errorf("%d of 100 signatures refused, want about half", refused)
	}
}

// TestRecoverRefusesNonCanonical signs without fc's rule. Such signatures are
// good mathematics, and name the right key; nodeos refuses them all the same.
func TestRecoverRefusesNonCanonical(t *testing.T) {
	var refused, taken int
	for i := range 100 {
		key := secp256k1.PrivKeyFromBytes(bytes.Repeat([]byte{byte(i + 1)}, 32))
		digest := id(byte(i))
		compact := ecdsa.SignCompact(key, digest[:], true)
		got, err := wire.RecoverKey(append(wire.Signature{0}, compact...), digest)
		if compact[1]&0x80 != 0 { // s is low already, so only r can offend
			refused++
			if !errors.Is(err, wire.ErrSignature) {
				t.Errorf("r = %x: %s, %v; want %v", compact[1:33], got, err, wire.ErrSignature)
			}
			continue
		}
		taken++
		if err != nil || !bytes.Equal(got.Content, key.PubKey().SerializeCompressed()) {
			t.Errorf("recovered %x, %v; want %x", got.Content, err, key.PubKey().SerializeCompressed())
		}

		var s secp256k1.ModNScalar // n-s with the other parity names the same key
		s.SetByteSlice(compact[33:])
		s.Negate().PutBytesUnchecked(compact[33:])
		compact[0] = 31 + ((compact[0] - 31) ^ 1)
		if pub, _, err := ecdsa.RecoverCompact(compact, digest[:]); err != nil || !pub.IsEqual(key.PubKey()) {
			t.Fatalf("the other form of a signature is wrong: %v", err)
		}
		if got, err := wire.RecoverKey(append(wire.Signature{0}, compact...), digest); !errors.Is(err, wire.ErrSignature) {
			t.Errorf("s = %x: %s, %v; want %v", compact[33:], got, err, wire.ErrSignature)
		}
	}
	if refused < 20 || taken < 20 {
		t.Errorf("%d signatures refused and %d taken, want some of both", refused, taken)
	}
}
