package captures_test

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire/captures"
)

// TestOpen compares streams, whole, with the recordings they were packed from.
func TestOpen(t *testing.T) {
	want := map[string]string{
		"nodes/10-boot-to-late.bin":      "281a41e711a761c00ff2b2b788693513eaa269502d75b79ffbc1d3ba1de70a15",
		"relay-votes/up-1.from-node.bin": "28b09211012a46234a538c84a3b98cff2b63eb2ae924dffb2590c729e403bd4f",
		"legacy/03-bpb-to-a1.bin":        "db095457ced1a8ac7580e077e662576ba51194912cc993b0d8d3ee9388ebf05a",
		"relay-votes/r1-1.from-node.bin": "36331c7ca87d17de88f845c7e6f36c1cfa6cb742806bd7a6d312adb7fa468b74",
	}
	for name, sum := range want {
		b, err := captures.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		got := sha256.Sum256(b)
		if hex.EncodeToString(got[:]) != sum {
			t.Errorf("%s: sha256 %x, want %s", name, got, sum)
		}
	}
}

func TestNames(t *testing.T) {
	total := 0
	for _, name := range captures.Names() {
		s, err := captures.Load(name)
		if err != nil {
			t.Fatal(err)
		}
		last := time.Duration(0)
		for i, f := range s.Frames {
			total += len(f.Bytes)
			if f.At < last {
				t.Errorf("%s: frame %d at %v, after one at %v", name, i, f.At, last)
			}
			last = f.At
		}
	}
	if got, want := len(captures.Names()), 61; got != want {
		t.Errorf("%d streams, want %d", got, want)
	}
	if want := 7_117_687; total != want {
		t.Errorf("%d bytes in all streams, want %d", total, want)
	}
	if _, err := captures.Load("nodes/none"); err == nil {
		t.Error("a stream that does not exist: no error")
	}
}

func TestNotes(t *testing.T) {
	for _, name := range []string{"relay-votes.decisions.log", "relay-passive.decisions.log", "nodes.events.json"} {
		if b, err := captures.Notes(name); err != nil || len(b) == 0 {
			t.Errorf("Notes(%q) = %d bytes, %v", name, len(b), err)
		}
	}
}
