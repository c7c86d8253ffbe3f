package wire_test

import (
	"bytes"
	"fmt"
	"testing"

	eos "github.com/eoscanada/eos-go"

	"github.com/thinrelay/thinrelay/relay/wire"
)

func BenchmarkReader(b *testing.B) {
	for _, size := range []int{1 << 10, 100 << 10, 1 << 20} {
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			r := wire.NewReader(&endless{frame: stream(size)})
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				f, err := r.Next()
				if err != nil {
					b.Fatal(err)
				}
				f.Release()
			}
		})
	}
}

// capturedBlock is the largest recorded block.
func capturedBlock(b *testing.B) *wire.Frame {
	var block *wire.Frame
	for _, f := range frames(b, "nodes/10-boot-to-late") {
		if f.Type() == wire.TypeBlock && (block == nil || f.Len() > block.Len()) {
			block = f
		}
	}
	return block
}

// BenchmarkBlock is what a relay does with a block that arrives, read it and
// learn its id: this package against eos-go's ReadPacket on the same bytes.
func BenchmarkBlock(b *testing.B) {
	frame := capturedBlock(b).Bytes()
	b.Run("wire", func(b *testing.B) {
		r := wire.NewReader(&endless{frame: frame})
		b.SetBytes(int64(len(frame)))
		b.ReportAllocs()
		for b.Loop() {
			f, err := r.Next()
			if err != nil {
				b.Fatal(err)
			}
			if _, err := wire.ParseBlock(f.Body()); err != nil {
				b.Fatal(err)
			}
			f.Release()
		}
	})
	b.Run("eos-go", func(b *testing.B) {
		src := bytes.NewReader(frame)
		b.SetBytes(int64(len(frame)))
		b.ReportAllocs()
		for b.Loop() {
			src.Reset(frame)
			p, err := eos.ReadPacket(src)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := p.P2PMessage.(*eos.SignedBlock).BlockID(); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkParseVote(b *testing.B) {
	var body []byte
	for _, f := range frames(b, "nodes/10-boot-to-late") {
		if f.Type() == wire.TypeVote {
			body = f.Body()
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.ParseVote(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSignatureKey(b *testing.B) {
	all := frames(b, "relay-votes/r1-1.from-node")
	f := all[len(all)-1] // the block r1 was killed after
	block, err := wire.ParseBlock(f.Body())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := block.SignatureKey(f.Body()); err != nil {
			b.Fatal(err)
		}
	}
}
