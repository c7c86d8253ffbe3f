package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	eos "github.com/eoscanada/eos-go"
	"github.com/eoscanada/eos-go/ecc"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// signedBlock encodes a block with eos-go.
func signedBlock(t *testing.T, change func(*eos.SignedBlock)) []byte {
	t.Helper()
	b := &eos.SignedBlock{}
	b.Timestamp.Time = time.Date(2026, 11, 22, 12, 0, 0, 500e6, time.UTC)
	b.Producer = "bpa"
	prev := wire.StartID(41)
	b.Previous = prev[:]
	b.TransactionMRoot, b.ActionMRoot = make([]byte, 32), make([]byte, 32)
	b.ProducerSignature = ecc.MustNewSignatureFromData(make([]byte, 66))
	if change != nil {
		change(b)
	}
	body, err := eos.MarshalBinary(b)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func TestParseBlockSchedules(t *testing.T) {
	schedule := &eos.ProducerSchedule{Version: 7}
	for _, n := range []eos.AccountName{"bpa", "bpb", "bpc"} {
		schedule.Producers = append(schedule.Producers, eos.ProducerKey{AccountName: n, BlockSigningKey: privateKey(t, string(n)).PublicKey()})
	}
	for name, change := range map[string]func(*eos.SignedBlock){
		"plain":         nil,
		"new producers": func(b *eos.SignedBlock) { b.NewProducersV1 = schedule },
		"extensions": func(b *eos.SignedBlock) {
			b.HeaderExtensions = []*eos.Extension{{Type: 0, Data: make([]byte, 33)}, {Type: 1, Data: make([]byte, 300)}}
		},
		"both": func(b *eos.SignedBlock) {
			b.NewProducersV1, b.HeaderExtensions = schedule, []*eos.Extension{{Type: 1, Data: []byte{}}}
		},
	} {
		var want eos.Checksum256
		body := signedBlock(t, func(b *eos.SignedBlock) {
			if change != nil {
				change(b)
			}
			var err error
			if want, err = b.BlockID(); err != nil {
				t.Fatal(err)
			}
		})
		b, err := wire.ParseBlock(body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		same(t, name, b.ID, want)
		if b.Num() != 42 || b.Producer.String() != "bpa" || b.Savanna() || b.QCClaim.Present {
			t.Errorf("%s: block %d of %s, claim %+v", name, b.Num(), b.Producer, b.QCClaim)
		}
		if _, err := b.SignatureKey(body); !errors.Is(err, wire.ErrOpaque) {
			t.Errorf("%s: SignatureKey before Savanna: %v, want %v", name, err, wire.ErrOpaque)
		}
	}
}

// header is a block by hand: tail follows the schedule version.
func header(schedule uint32, tail ...[]byte) []byte {
	b := make([]byte, 110, 300)
	prev := wire.StartID(41)
	copy(b[14:], prev[:])
	b = binary.LittleEndian.AppendUint32(b, schedule)
	return append(b, bytes.Join(tail, nil)...)
}

func TestParseBlockClaims(t *testing.T) {
	sig := make([]byte, 66)
	claim := func(strong byte) []byte { return []byte{2, 0, 7, 40, 0, 0, 0, strong, 0, 0} }
	other := []byte{0, 0, 2, 1, 2}
	tests := []struct {
		name    string
		body    []byte
		want    wire.QCClaim
		savanna bool
		err     error
	}{
		{"strong", header(1<<31, []byte{0, 1}, claim(1), sig), wire.QCClaim{Num: 40, Strong: true, Present: true}, true, nil},
		{"weak", header(1<<31, []byte{0, 1}, claim(0), sig), wire.QCClaim{Num: 40, Present: true}, true, nil},
		{"after another", header(1<<31, []byte{0, 2}, other, claim(1), sig), wire.QCClaim{Num: 40, Strong: true, Present: true}, true, nil},
		{"in transition", header(3, []byte{0, 1}, claim(0), sig), wire.QCClaim{Num: 40, Present: true}, false, nil},
		{"none", header(1<<31, []byte{0, 0}, sig), wire.QCClaim{}, false, nil},
		{"WebAuthn keys in a schedule", header(3, []byte{1, 1, 0, 0, 0, 1}, make([]byte, 8), key(2, 1, 2, 'r', 'p'), []byte{0}, sig), wire.QCClaim{}, false, nil},
		{"twice", header(1<<31, []byte{0, 2}, claim(1), claim(1), sig), wire.QCClaim{}, false, wire.ErrValue},
		{"strong = 2", header(1<<31, []byte{0, 1}, claim(2), sig), wire.QCClaim{}, false, wire.ErrValue},
		{"too short", header(1<<31, []byte{0, 1, 2, 0, 4, 1, 2, 3, 4}, sig), wire.QCClaim{}, false, wire.ErrShort},
		{"flag 2", header(1<<31, []byte{2, 0}, sig), wire.QCClaim{}, false, wire.ErrValue},
		{"126 producers", header(3, []byte{1, 0, 0, 0, 0, 126}, sig), wire.QCClaim{}, false, wire.ErrLimit},
		{"2^32-1 extensions", header(3, []byte{0, 255, 255, 255, 255, 15}, sig), wire.QCClaim{}, false, wire.ErrLimit},
		{"an extension of 4 GiB", header(3, []byte{0, 1, 0, 0, 255, 255, 255, 255, 15}, sig), wire.QCClaim{}, false, wire.ErrLimit},
		{"a padded length", header(3, []byte{0, 0x80, 0}, sig), wire.QCClaim{}, false, wire.ErrVaruint},
		{"no signature", header(3, []byte{0, 0}), wire.QCClaim{}, false, wire.ErrShort},
		{"a WebAuthn signature", header(3, []byte{0, 0, 2}, make([]byte, 67)), wire.QCClaim{}, false, wire.ErrValue},
		{"nothing", nil, wire.QCClaim{}, false, wire.ErrShort},
	}
	for _, tt := range tests {
		b, err := wire.ParseBlock(tt.body)
		if !errors.Is(err, tt.err) || b.QCClaim != tt.want || b.Savanna() != tt.savanna {
			t.Errorf("%s: claim %+v, Savanna %v, %v; want %+v, %v, %v", tt.name, b.QCClaim, b.Savanna(), err, tt.want, tt.savanna, tt.err)
		}
	}
	for below, want := range map[byte]error{1: wire.ErrValue, 2: wire.ErrValue, 3: nil} {
		last := header(3, []byte{0, 0}, sig)
		copy(last[14:], []byte{255, 255, 255, 0 - below})
		if _, err := wire.ParseBlock(last); !errors.Is(err, want) {
			t.Errorf("a block on number 2^32-%d: %v, want %v", below, err, want)
		}
	}
	if _, err := (wire.Block{HeaderLen: 200}).Signature(make([]byte, 100)); !errors.Is(err, wire.ErrShort) {
		t.Errorf("Signature in another body: %v, want %v", err, wire.ErrShort)
	}
}

func TestParsingAllocatesNothing(t *testing.T) {
	var block, vote *wire.Frame
	for _, f := range frames(t, "nodes/10-boot-to-late") {
		switch f.Type() {
		case wire.TypeBlock:
			block = f
		case wire.TypeVote:
			vote = f
		}
	}
	for name, fn := range map[string]func(){
		"ParseBlock": func() { _, _ = wire.ParseBlock(block.Body()) },
		"ParseVote":  func() { _, _ = wire.ParseVote(vote.Body()) },
		"VoteKey":    func() { _ = wire.VoteKey(vote.Body()) },
		"TrxKey":     func() { _ = wire.TrxKey(vote.Body()) },
	} {
		if got := testing.AllocsPerRun(100, fn); got != 0 {
			t.Errorf("%s: %v allocations, want 0", name, got)
		}
	}
	if wire.RaceEnabled {
		return
	}
	now := wire.Time{Xmt: 1}
	if got := testing.AllocsPerRun(100, func() { wire.Encode(&now).Release() }); got != 0 {
		t.Errorf("Encode: %v allocations, want 0", got)
	}
}

func TestFinality(t *testing.T) {
	at := func(num, claim uint32, strong, present bool) wire.Block {
		return wire.Block{Previous: wire.StartID(num - 1), QCClaim: wire.QCClaim{Num: claim, Strong: strong, Present: present}}
	}
	tests := []struct {
		name         string
		tip, claimed wire.Block
		lib          uint32
		ok           bool
	}{
		{"strong on weak", at(10, 9, true, true), at(9, 8, false, true), 8, true},
		{"strong on strong", at(10, 8, true, true), at(8, 6, true, true), 6, true},
		{"weak", at(10, 9, false, true), at(9, 8, true, true), 0, false},
		{"another block", at(10, 9, true, true), at(8, 7, true, true), 0, false},
		{"no claim", at(10, 0, false, false), at(9, 8, true, true), 0, false},
		{"claimed block has none", at(10, 9, true, true), at(9, 0, false, false), 0, false},
	}
	for _, tt := range tests {
		if lib, ok := wire.Finality(tt.tip, tt.claimed); lib != tt.lib || ok != tt.ok {
			t.Errorf("%s: %d, %v; want %d, %v", tt.name, lib, ok, tt.lib, tt.ok)
		}
	}
}
