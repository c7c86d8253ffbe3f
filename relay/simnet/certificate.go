package simnet

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"math/bits"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// certificate is the body of a QC extension in the layout of Spring 1.x, with
// an opaque aggregate signature.
func (c *Chain) certificate(id wire.ID, claim Claim, strong, weak uint64) []byte {
	out := binary.LittleEndian.AppendUint32(nil, claim.Num)
	for _, votes := range []uint64{strong, weak} {
		if votes == 0 {
			out = append(out, 0)
			continue
		}
		out = append(out, 1, byte(len(c.finalizers)))
		for i := 0; i < len(c.finalizers); i += 8 {
			out = append(out, byte(votes>>i))
		}
	}
	var sig [blsSigLen]byte
	stretch(sig[:], sha256.Sum256(append(id[:], out...)))
	out = appendVaruint(out, blsSigLen)
	out = append(out, sig[:]...)
	return append(out, 0) // no pending policy
}

// proves reports whether a certificate that came with a block is one for the block of that
// id, as nodeos verifies the aggregate signature: a byte that was changed on the way shows.
func (c *Chain) proves(qc []byte, id wire.ID, claim Claim) bool {
	r := reader{b: qc}
	num := r.u32()
	var votes [2]int
	for i := range votes {
		if r.byte() == 0 {
			continue
		}
		for range (r.byte() + 7) / 8 {
			votes[i] += bits.OnesCount8(r.byte())
		}
	}
	said := qc[:len(qc)-len(r.b)]
	var sig [blsSigLen]byte
	stretch(sig[:], sha256.Sum256(append(id[:], said...)))
	enough := votes[0]
	if !claim.Strong {
		enough += votes[1]
	}
	return num == claim.Num && bytes.Equal(r.bytes(), sig[:]) && r.byte() == 0 && !r.failed && len(r.b) == 0 && enough >= c.Threshold
}
