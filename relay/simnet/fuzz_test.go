package simnet_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/thinrelay/thinrelay/relay/simnet"
)

// What parses is kept byte for byte, and nothing makes the parser panic.
func FuzzParseBlock(f *testing.F) {
	for _, c := range captured {
		payload, err := hex.DecodeString(c.payload)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(payload)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		if len(payload) == 0 {
			return
		}
		b, err := simnet.ParseBlock(payload)
		if err == nil && !bytes.Equal(b.Frame()[4:], payload) {
			t.Error("frame is not what came")
		}
	})
}
