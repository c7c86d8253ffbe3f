package wire

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"

	"github.com/eoscanada/eos-go/ecc"
)

var (
	// ErrUnsigned is returned by CheckHandshake for a handshake without a key or signature.
	ErrUnsigned = errors.New("handshake is not signed")

	// ErrSignature is returned for a signature that is not a canonical K1
	// signature, that recovers no key, or another key than it should. R1
	// signatures, which nodeos would take, are not supported and give it too.
	ErrSignature = errors.New("bad signature")
)

// token is what a handshake signs: the sha256 of its time, little-endian.
func token(t int64) ID {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(t))
	return sha256.Sum256(b[:])
}

// SignHandshake sets h's Key, Token and Sig from h.Time and a K1 key, as nodeos
// does with its peer-private-key (net_plugin.cpp:4207-4221).
func SignHandshake(h *Handshake, key *ecc.PrivateKey) error {
	t := token(h.Time)
	sig, err := key.Sign(t[:])
	if err != nil {
		return fmt.Errorf("sign handshake: %w", err)
	}
	pub := key.PublicKey()
	h.Token = t
	h.Key = append(PublicKey{byte(pub.Curve)}, pub.Content...)
	h.Sig = append(Signature{byte(sig.Curve)}, sig.Content...)
	return nil
}

// CheckHandshake returns the key that signed h, once the token is the hash of
// the time, the signature canonical, and the key recovered from it the one h
// names (net_plugin.cpp:4161-4205). Whether that key is welcome is the caller's
// to say. The protocol has no nonce: a recorded handshake passes again, so this
// identifies peers on a trusted network and secures nothing on another.
func CheckHandshake(h *Handshake) (ecc.PublicKey, error) {
	if h.Key.Empty() || h.Sig.Empty() {
		return ecc.PublicKey{}, ErrUnsigned
	}
	if h.Token != token(h.Time) {
		return ecc.PublicKey{}, fmt.Errorf("%w: token is not the hash of the time", ErrHandshake)
	}
	key, err := recoverKey(h.Sig, h.Token)
	if err != nil {
		return ecc.PublicKey{}, fmt.Errorf("check handshake: %w", err)
	}
	if h.Key[0] != keyK1 || !bytes.Equal(key.Content, h.Key[1:]) {
		return ecc.PublicKey{}, fmt.Errorf("check handshake: signed by %s: %w", key, ErrSignature)
	}
	return key, nil
}

// recoverKey recovers the K1 key that signed digest. It admits only signatures
// that eos-go's recovery is defined for: that code panics on r = 0 and does not
// notice an r that is no point of the curve.
func recoverKey(sig Signature, digest [32]byte) (ecc.PublicKey, error) {
	if len(sig) != emptySigLen || sig[0] != keyK1 {
		return ecc.PublicKey{}, fmt.Errorf("not a K1 signature: %w", ErrSignature)
	}
	if !canonical(sig[1:]) || !recoverable(sig[1:]) {
		return ecc.PublicKey{}, fmt.Errorf("not canonical: %w", ErrSignature)
	}
	s, err := ecc.NewSignatureFromData(bytes.Clone(sig))
	if err != nil {
		return ecc.PublicKey{}, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	key, err := s.PublicKey(digest[:])
	if err != nil {
		return ecc.PublicKey{}, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	if _, err := key.Key(); err != nil { // not on the curve: nobody's key
		return ecc.PublicKey{}, fmt.Errorf("%w: %w", ErrSignature, err)
	}
	return key, nil
}

// canonical is fc's rule for the 65 bytes of a K1 signature: neither r nor s is
// negative or padded when read as a signed number.
func canonical(d []byte) bool {
	short := func(b []byte) bool { return b[0]&0x80 == 0 && (b[0] != 0 || b[1]&0x80 != 0) }
	return short(d[1:]) && short(d[33:])
}

// recoverable reports whether d names a point of secp256k1 with its r and
// recovery bits, and its r and s are in range. Canonical r and s are under 2^255
// and not zero, hence under the group order; the rare r beyond it (recovery bits
// 2 and 3) has never been seen and is refused.
func recoverable(d []byte) bool {
	if d[0] < 27 || d[0] >= 35 || (d[0]-27)&3 >= 2 {
		return false
	}
	p := new(big.Int).Lsh(big.NewInt(1), 256)
	p.Sub(p, big.NewInt(1<<32+977))
	x := new(big.Int).SetBytes(d[1:33])
	y2 := new(big.Int).Exp(x, big.NewInt(3), p)
	y2.Add(y2, big.NewInt(7)).Mod(y2, p)
	return big.Jacobi(y2, p) == 1
}
