package simnet

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"

	"github.com/eoscanada/eos-go/ecc"

	"github.com/thinrelay/thinrelay/relay/wire"
)

const (
	sigLen    = 66 // type byte and 65 bytes
	blsKeyLen = 96
	blsSigLen = 192
)

// producerKey is the signing key of a producer, the same in every process with
// the same seed.
func producerKey(seed string, name wire.Name) (*ecc.PrivateKey, error) {
	h := sha256.Sum256(fmt.Appendf(nil, "%s/producer/%s", seed, name))
	key, err := ecc.NewDeterministicPrivateKey(bytes.NewReader(h[:]))
	if err != nil {
		return nil, fmt.Errorf("derive key of %s: %w", name, err)
	}
	return key, nil
}

// fakeSignature has the shape of a K1 signature over id and is checked by
// building it again. It stands in where signing would only cost time: in
// prefilled history, and everywhere under Rules.NoSignatures.
func fakeSignature(id wire.ID, producer wire.Name) (sig [sigLen]byte) {
	var in [40]byte
	copy(in[:], id[:])
	binary.LittleEndian.PutUint64(in[32:], uint64(producer))
	h := sha256.Sum256(in[:])
	sig[1] = 31 + h[0]&1
	copy(sig[2:34], h[:])
	copy(sig[34:], h[:])
	sig[2] &= 0x7f // canonical: r and s are below half of the field
	sig[34] &= 0x7f
	return sig
}

// A finalizer is a BLS key of the finalizer policy. Its description is what
// nodeos compares with its own producer names for the vote pause
// (producer_plugin.cpp:416-433).
type finalizer struct {
	description wire.Name
	key         [blsKeyLen]byte
}

func newFinalizer(seed string, name wire.Name) finalizer {
	f := finalizer{description: name}
	h := sha256.Sum256(fmt.Appendf(nil, "%s/finalizer/%s", seed, name))
	stretch(f.key[:], h)
	return f
}

// sign is this finalizer's vote signature for a block: deterministic, as BLS
// signatures are, and checkable by anybody, which they are not.
func (f *finalizer) sign(id wire.ID, strong bool) (sig [blsSigLen]byte) {
	var in [blsKeyLen + 33]byte
	copy(in[:], f.key[:])
	copy(in[blsKeyLen:], id[:])
	if strong {
		in[blsKeyLen+32] = 1
	}
	stretch(sig[:], sha256.Sum256(in[:]))
	return sig
}

// stretch fills out with variations of h.
func stretch(out []byte, h [32]byte) {
	for i := range out {
		out[i] = h[i%32] + byte(i/32)*29
	}
}
