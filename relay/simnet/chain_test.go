package simnet_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/simnet"
	"github.com/thinrelay/thinrelay/relay/wire"
)

func rules(t *testing.T, r simnet.Rules) *simnet.Chain {
	t.Helper()
	for _, s := range []string{"bpa", "bpb", "bpc"} {
		name, err := wire.ParseName(s)
		if err != nil {
			t.Fatal(err)
		}
		r.Producers = append(r.Producers, name)
	}
	c, err := simnet.NewChain(r)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Blocks of real networks, with the id their successors link to.
var captured = []struct{ name, payload, id string }{
	{
		"savanna", "0766de2b650000000000004c3d00000000005672c2372516043f659f40bb3881c1ebae5a9d8c7ee20018fb00424aa40000000000000000000000000000000000000000000" +
			"0000000000000000000009dcf30481bcb5070c0d34310f8574664dc3b79b16bfffeccfafa9d445d26d68c0000008000010200075600000001000000201563bad9a0c4e1da6725f728d0927230a25" +
			"6aa3595f792bf98b4f30dfeb6964c4ba1b7d28f7ee17217b44936d5a5af0ddfe5ac1d48ccf7f2ab333a93dc7d0f8c00010300cb015600000001040f00c001ddc86b83ed48231f98777822049e92c7" +
			"d1b02546fe153f1c735d41e753d34eff357f0ef436efb32fd95bd2182055c00b99709ddf4dc3a2257f5ddad0fe17ee0e12dbedf4613965ed00bc51226ccf0f99a29baeb885b6e0dc87c3025712b9" +
			"a01187619312c5e8efe10d46d60f6013f6814a4580fc3b9f70308aba586ecb1cb9b04e811993404aa8ff4c3c74dc4ea1e2088acaad2523c7c69f9ff9e0cabb738c9a4962695ead577d1e8513d3be" +
			"3d1f067f0edaaceefe28ae2c43ea9f5d17297b1900",
		"00000057f7f5eb82e367159ddd42b70cc5ae81c6ddf1b36a251db795398b2acd",
	},
	{
		"legacy", "07dbf32b65000000000000503d000000000010631f79c87c8b35a5eb18c564a39614ade7557afe3eefa5b80bb673390000000000000000000000000000000000000000000" +
			"000000000000000000000de4539abf3afb7a65f93b72df8a98fb2553d2705f988aa04f9e07d89a8441ccf010000000000001f41c005bbe3f829c32f2ec394f6e86e5f7f7f5a000d277ae053bbd2f" +
			"f3f702e081793f789edfe15d0ea385fc666554aef0226e65f3fb94a82156458051ecabab50000",
		"000000114f4b584698798a7e0966007e05d195194d0eb6bf30447c32a4f4e100",
	},
}

func TestParseCapturedBlocks(t *testing.T) {
	for _, tc := range captured {
		t.Run(tc.name, func(t *testing.T) {
			payload, err := hex.DecodeString(tc.payload)
			if err != nil {
				t.Fatal(err)
			}
			b, err := simnet.ParseBlock(payload)
			if err != nil {
				t.Fatal(err)
			}
			if got := b.ID.String(); got != tc.id {
				t.Errorf("id %s, want %s", got, tc.id)
			}
			if got := b.Frame()[4:]; !bytes.Equal(got, payload) {
				t.Errorf("frame is not what came")
			}
			if got, want := b.Savanna, tc.name == "savanna"; got != want {
				t.Errorf("savanna %v, want %v", got, want)
			}
			if tc.name == "savanna" && (b.Claim != simnet.Claim{Num: 86, Strong: true} || !b.HasQC) {
				t.Errorf("claim %+v, certificate %v", b.Claim, b.HasQC)
			}
		})
	}
}

// Simulated idle blocks have the size of real ones.
func TestBlockSizes(t *testing.T) {
	for _, tc := range []struct {
		legacy bool
		want   int
	}{{false, 402}, {true, 185}} {
		c := rules(t, simnet.Rules{Legacy: tc.legacy})
		blocks, err := c.History(10, 100)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(blocks[9].Frame()) - 4; got != tc.want {
			t.Errorf("legacy %v: idle block of %d bytes, want %d", tc.legacy, got, tc.want)
		}
	}
}

// Signed blocks recover to their producer's key, and both parsers agree on them.
func TestSignatures(t *testing.T) {
	c := rules(t, simnet.Rules{})
	blocks, err := c.History(5, 100)
	if err != nil {
		t.Fatal(err)
	}
	last := blocks[4]
	b, err := c.Child(last, 101, simnet.Claim{Num: 5, Strong: true}, "memo")
	if err != nil {
		t.Fatal(err)
	}
	w, err := wire.ParseBlock(b.Body)
	if err != nil {
		t.Fatal(err)
	}
	if w.ID != b.ID || w.Previous != last.ID || w.Slot != 101 || w.Producer != b.Producer || !w.Savanna() {
		t.Errorf("relay/wire reads %+v, want %s", w, b)
	}
	if w.QCClaim.Num != 5 || !w.QCClaim.Strong || !w.QCClaim.Present {
		t.Errorf("claim %+v", w.QCClaim)
	}
	key, err := w.SignatureKey(b.Body)
	if err != nil {
		t.Fatal(err)
	}
	if want, _ := c.ProducerKey(b.Producer); key.String() != want.String() {
		t.Errorf("signed by %s, want %s", key, want)
	}
	bad := append([]byte(nil), b.Frame()[4:]...)
	bad[1+126+20] ^= 1
	if _, err := c.Parse(bad); !errors.Is(err, simnet.ErrBlock) {
		t.Errorf("a broken signature gives %v, want ErrBlock", err)
	}
	if len(b.Txs) != 1 {
		t.Errorf("%d transactions, want 1", len(b.Txs))
	}
	other := rules(t, simnet.Rules{})
	if again, err := other.Parse(b.Frame()[4:]); err != nil || again.ID != b.ID {
		t.Errorf("another process with the same rules: %v", err)
	}
}

func TestHistoryIsQuickAndLinked(t *testing.T) {
	c := rules(t, simnet.Rules{})
	begin := time.Now()
	blocks, err := c.History(5000, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took > 2*time.Second {
		t.Errorf("took %s", took)
	}
	for i, b := range blocks[1:] {
		if b.Previous != blocks[i].ID || b.Num() != uint32(i+2) || b.Slot <= blocks[i].Slot {
			t.Fatalf("%s does not follow %s", b, blocks[i])
		}
		if _, err := c.Parse(b.Frame()[4:]); err != nil {
			t.Fatal(err)
		}
	}
	if got := blocks[4999].Slot; got != 100_000 {
		t.Errorf("ends with slot %d", got)
	}
	if _, err := c.History(5000, 100); err == nil {
		t.Error("5000 blocks before slot 100")
	}
}

// With a certificate for each parent, the last irreversible block trails the
// head by two, as in captured handshakes (head 114, root 112).
func TestFinalityTrails(t *testing.T) {
	c := rules(t, simnet.Rules{})
	blocks, err := c.History(10, 100)
	if err != nil {
		t.Fatal(err)
	}
	f := simnet.NewForks(c, simnet.Spring12, blocks[:3])
	for _, b := range blocks[3:] {
		if _, _, err := f.Add(b); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := f.Advance().Num(), uint32(8); got != want {
		t.Errorf("root %d under head 10, want %d", got, want)
	}
}

func TestForkChoice(t *testing.T) {
	for _, tc := range []struct {
		name    string
		release simnet.Release
		legacy  bool
	}{
		{"spring savanna", simnet.Spring12, false},
		{"spring legacy", simnet.Spring12, true},
		{"leap", simnet.Leap5, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := rules(t, simnet.Rules{Legacy: tc.legacy, NoSignatures: true})
			blocks, err := c.History(5, 100)
			if err != nil {
				t.Fatal(err)
			}
			root := blocks[4]
			child := func(parent *simnet.Block, slot wire.Slot, claim simnet.Claim, memo string) *simnet.Block {
				if tc.legacy {
					claim = simnet.Claim{}
				}
				b, err := c.Child(parent, slot, claim, memo)
				if err != nil {
					t.Fatal(err)
				}
				return b
			}
			small, big := child(root, 101, root.Claim, "a"), child(root, 101, root.Claim, "b")
			if bytes.Compare(small.ID[:], big.ID[:]) > 0 {
				small, big = big, small
			}
			f := simnet.NewForks(c, tc.release, blocks)
			add := func(b *simnet.Block) *simnet.Block {
				best, kept, err := f.Add(b)
				if err != nil || !kept {
					t.Fatalf("%s: kept %v, %v", b, kept, err)
				}
				return best
			}
			add(small)
			want := big // the greater id wins a tie, against the head too
			if tc.release == simnet.Leap5 {
				want = small // the first stays
			}
			if got := add(big); got != want {
				t.Errorf("tie: best %s, want %s", got, want)
			}
			longer := child(small, 102, root.Claim, "c")
			if got := add(longer); got != longer {
				t.Errorf("best %s, want the longer branch", got)
			}
			if tc.legacy {
				return
			}
			// a newer certificate beats a later slot
			certified := child(big, 102, simnet.Claim{Num: 6, Strong: true}, "d")
			add(child(longer, 110, root.Claim, "e"))
			if got := add(certified); got != certified {
				t.Errorf("best %s, want the certified branch", got)
			}
			if _, kept, _ := f.Add(child(child(longer, 111, root.Claim, "f"), 112, root.Claim, "g")); kept {
				t.Error("a block without a known parent was kept")
			}
		})
	}
}

func TestClock(t *testing.T) {
	real := simnet.NewClock(0, time.Now())
	now := time.Date(2026, 11, 22, 12, 0, 0, 250e6, time.UTC)
	if got, want := real.SlotAt(now), wire.SlotAt(now); got != want {
		t.Errorf("slot %d, want the chain's %d", got, want)
	}
	if got, want := real.TimeOf(1000), wire.Slot(1000).Time(); !got.Equal(want) {
		t.Errorf("time %s, want %s", got, want)
	}
	fast := simnet.NewClock(50*time.Millisecond, now)
	base := wire.SlotAt(now)
	for _, tc := range []struct {
		after time.Duration
		want  wire.Slot
	}{{0, base}, {49 * time.Millisecond, base}, {50 * time.Millisecond, base + 1}, {-time.Millisecond, base - 1}, {time.Second, base + 20}} {
		if got := fast.SlotAt(now.Add(tc.after)); got != tc.want {
			t.Errorf("%s later: slot %d, want %d", tc.after, got, tc.want)
		}
	}
	if got, want := fast.TimeOf(base+3), now.Add(150*time.Millisecond); !got.Equal(want) {
		t.Errorf("time %s, want %s", got, want)
	}
	if got, want := fast.Scale(6*time.Second), 600*time.Millisecond; got != want {
		t.Errorf("scaled %s, want %s", got, want)
	}
}
