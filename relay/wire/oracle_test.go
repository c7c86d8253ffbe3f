package wire_test

import (
	"bytes"
	"testing"

	eos "github.com/eoscanada/eos-go"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// packet decodes a frame with eos-go.
func packet[T any](tb testing.TB, f *wire.Frame) *T {
	tb.Helper()
	p, err := eos.ReadPacket(bytes.NewReader(f.Bytes()))
	if err != nil {
		tb.Fatal(err)
	}
	m, ok := any(p.P2PMessage).(*T)
	if !ok {
		tb.Fatalf("eos-go decodes %s as %T", f.Type(), p.P2PMessage)
	}
	return m
}

func same(t *testing.T, what string, got wire.ID, want []byte) {
	t.Helper()
	if !bytes.Equal(got[:], want) {
		t.Errorf("%s %s, eos-go %x", what, got, want)
	}
}

func equal[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s %v, eos-go %v", what, got, want)
	}
}

// TestOracleBlocks compares the header walk with eos-go's full decoding.
func TestOracleBlocks(t *testing.T) {
	for _, dir := range folders {
		seen := map[wire.ID]bool{}
		each(t, dir, wire.TypeBlock, func(_ string, f *wire.Frame) {
			got, err := wire.ParseBlock(f.Body())
			if err != nil {
				t.Fatal(err)
			}
			if seen[got.ID] {
				return
			}
			seen[got.ID] = true
			want := packet[eos.SignedBlock](t, f)
			id, err := want.BlockID()
			if err != nil {
				t.Fatal(err)
			}
			same(t, "id", got.ID, id)
			same(t, "previous", got.Previous, want.Previous)
			equal(t, "number", got.Num(), want.BlockNumber())
			equal(t, "producer", got.Producer.String(), string(want.Producer))
			equal(t, "schedule version", got.ScheduleVersion, want.ScheduleVersion)
			equal(t, "time", got.Slot.Time().UnixNano(), want.Timestamp.UnixNano())
			sig, err := got.Signature(f.Body())
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(sig[1:], want.ProducerSignature.Content) {
				t.Errorf("signature %x, eos-go %x", sig[1:], want.ProducerSignature.Content)
			}
		})
	}
}

func TestOracleHandshakes(t *testing.T) {
	for _, dir := range folders {
		each(t, dir, wire.TypeHandshake, func(_ string, f *wire.Frame) {
			got, err := wire.ParseHandshake(f.Body())
			if err != nil {
				t.Fatal(err)
			}
			want := packet[eos.HandshakeMessage](t, f)
			equal(t, "network version", got.NetworkVersion, want.NetworkVersion)
			same(t, "chain id", got.ChainID, want.ChainID)
			same(t, "node id", got.NodeID, want.NodeID)
			equal(t, "key", string(got.Key[1:]), string(want.Key.Content))
			equal(t, "time", got.Time, want.Time.UnixNano())
			same(t, "token", got.Token, want.Token)
			equal(t, "signature", string(got.Sig[1:]), string(want.Signature.Content))
			equal(t, "address", got.P2PAddress, want.P2PAddress)
			equal(t, "root", got.RootNum, want.LastIrreversibleBlockNum)
			same(t, "root", got.RootID, want.LastIrreversibleBlockID)
			equal(t, "head", got.HeadNum, want.HeadNum)
			same(t, "head", got.HeadID, want.HeadID)
			equal(t, "os", got.OS, want.OS)
			equal(t, "agent", got.Agent, want.Agent)
			equal(t, "generation", got.Generation, want.Generation)
		})
	}
}

func TestOracleControl(t *testing.T) {
	list := func(t *testing.T, got wire.IDList, want eos.OrderedBlockIDs) {
		t.Helper()
		equal(t, "mode", uint32(got.Mode), uint32(want.Mode[0])) // eos-go has four bytes
		equal(t, "pending", got.Pending, want.Pending)
		equal(t, "ids", len(got.IDs), len(want.IDs))
		for i := range got.IDs {
			same(t, "id", got.IDs[i], want.IDs[i])
		}
	}
	for _, dir := range folders {
		each(t, dir, wire.TypeNotice, func(_ string, f *wire.Frame) {
			got, err := wire.ParseNotice(f.Body())
			if err != nil {
				t.Fatal(err)
			}
			want := packet[eos.NoticeMessage](t, f)
			list(t, got.KnownTrx, want.KnownTrx)
			list(t, got.KnownBlocks, want.KnownBlocks)
		})
		each(t, dir, wire.TypeRequest, func(_ string, f *wire.Frame) {
			got, err := wire.ParseRequest(f.Body())
			if err != nil {
				t.Fatal(err)
			}
			want := packet[eos.RequestMessage](t, f)
			list(t, got.ReqTrx, want.ReqTrx)
			list(t, got.ReqBlocks, want.ReqBlocks)
		})
		each(t, dir, wire.TypeSyncRequest, func(_ string, f *wire.Frame) {
			got, err := wire.ParseSyncRequest(f.Body())
			if err != nil {
				t.Fatal(err)
			}
			want := packet[eos.SyncRequestMessage](t, f)
			equal(t, "start", got.Start, want.StartBlock)
			equal(t, "end", got.End, want.EndBlock)
		})
		each(t, dir, wire.TypeTime, func(_ string, f *wire.Frame) {
			got, err := wire.ParseTime(f.Body())
			if err != nil {
				t.Fatal(err)
			}
			want := packet[eos.TimeMessage](t, f)
			equal(t, "origin", got.Org, want.Origin.UnixNano())
			equal(t, "receive", got.Rec, want.Receive.UnixNano())
			equal(t, "transmit", got.Xmt, want.Transmit.UnixNano())
		})
	}
}

func TestOracleNames(t *testing.T) {
	for _, s := range []string{"", "a", "eosio", "eosio.token", "bpa", "a.b", "zzzzzzzzzzzz", "zzzzzzzzzzzzj", "111111111111", "5.5.5.5.5.5.5"} {
		got, err := wire.ParseName(s)
		if err != nil {
			t.Errorf("ParseName(%q): %v", s, err)
			continue
		}
		want, err := eos.StringToName(s)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, s, uint64(got), want)
		equal(t, s, got.String(), s)
	}
	for _, n := range []uint64{1, 15, 16, 1 << 63, 1<<64 - 1, 0x5530ea0000000000} {
		equal(t, "name", wire.Name(n).String(), eos.NameToString(n))
	}
	for _, s := range []string{"A", "6", "a b", "eosio.", ".", "zzzzzzzzzzzzk", "aaaaaaaaaaaaaa", "é"} {
		if n, err := wire.ParseName(s); err == nil {
			t.Errorf("ParseName(%q) = %d, want an error", s, uint64(n))
		}
	}
}
