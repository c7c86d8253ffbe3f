package wire

import (
	"bytes"
	"fmt"

	"github.com/eoscanada/eos-go/ecc"
)

// maxKeyText bounds the variable parts of WebAuthn keys and signatures, which
// no nodeos uses to sign a handshake.
const maxKeyText = 1024

// PublicKey is a public key in wire encoding: a type byte (0 K1, 1 R1, 2
// WebAuthn) and the key material. nil stands for the empty key.
type PublicKey []byte

// Signature is a signature in wire encoding: a type byte (0 K1, 1 R1, 2
// WebAuthn) and its data. nil stands for the empty signature.
type Signature []byte

const (
	keyK1 = 0
	keyR1 = 1
	keyWA = 2

	emptyKeyLen = 1 + 33
	emptySigLen = 1 + 65
)

// Empty reports whether there is no key: nil, or all zeroes as nodeos sends it.
func (k PublicKey) Empty() bool { return len(bytes.Trim(k, "\x00")) == 0 }

// Empty reports whether there is no signature: nil, or all zeroes.
func (s Signature) Empty() bool { return len(bytes.Trim(s, "\x00")) == 0 }

// Key is k in eos-go's form.
func (k PublicKey) Key() (ecc.PublicKey, error) {
	if len(k) != emptyKeyLen || k[0] > keyR1 {
		return ecc.PublicKey{}, fmt.Errorf("public key of %d bytes: %w", len(k), ErrValue)
	}
	return ecc.NewPublicKeyFromData(bytes.Clone(k))
}

// publicKey reads a key's encoding, without copying it.
func (c *cursor) publicKey() []byte {
	start := c.off
	switch c.u8() {
	case keyK1, keyR1:
		c.take(33)
	case keyWA:
		c.take(33 + 1)
		c.bytes(maxKeyText)
	default:
		c.fail(ErrValue)
	}
	return c.since(start)
}

// signature reads a signature's encoding, without copying it.
func (c *cursor) signature() []byte {
	start := c.off
	switch c.u8() {
	case keyK1, keyR1:
		c.take(65)
	case keyWA:
		c.take(65)
		c.bytes(maxKeyText)
		c.bytes(maxKeyText)
	default:
		c.fail(ErrValue)
	}
	return c.since(start)
}

func (c *cursor) since(start int) []byte {
	if c.err != nil {
		return nil
	}
	return c.b[start:c.off]
}

func appendRaw(dst, raw []byte, empty int) []byte {
	if raw == nil {
		return append(dst, make([]byte, empty)...)
	}
	return append(dst, raw...)
}

func rawLen(raw []byte, empty int) int {
	if raw == nil {
		return empty
	}
	return len(raw)
}
