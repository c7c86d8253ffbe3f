package wire_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// packed makes a packed_transaction body.
func packed(signatures int, compression byte, free, trx []byte) []byte {
	b := binary.AppendUvarint(nil, uint64(signatures))
	b = append(b, make([]byte, 66*signatures)...)
	b = append(b, compression)
	b = append(binary.AppendUvarint(b, uint64(len(free))), free...)
	return append(binary.AppendUvarint(b, uint64(len(trx))), trx...)
}

// transfer is an action with n bytes of data, in an inflated transaction.
func transfer(n int) []byte {
	b := append(make([]byte, 10), 0, 0, 0, 0, 1)
	b = append(b, make([]byte, 16)...)
	b = append(append(b, 1), make([]byte, 16)...)
	b = append(binary.AppendUvarint(b, uint64(n)), make([]byte, n)...)
	return append(b, 0)
}

func deflate(b []byte) []byte {
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func TestCheckTransaction(t *testing.T) {
	good := packed(1, 0, nil, transfer(40))
	for _, tc := range []struct {
		name string
		body []byte
		ok   bool
	}{
		{"one signature", good, true},
		{"none, and context-free data", packed(0, 0, []byte{1, 2, 7, 7}, transfer(0)), true},
		{"compressed", packed(2, 1, nil, deflate(transfer(500))), true},
		{"bytes after the transaction", packed(1, 0, nil, append(transfer(4), 1, 2, 3)), true},
		{"bytes after the message", append(bytes.Clone(good), 0), false},
		{"cut short", good[:len(good)-1], false},
		{"empty", nil, false},
		{"unknown compression", packed(1, 2, nil, transfer(4)), false},
		{"an action that ends early", packed(1, 0, nil, transfer(40)[:50]), false},
		{"a million actions in nothing", packed(1, 0, nil, append(make([]byte, 13), 0, 0xff, 0xff, 0x3f)), false},
		{"not compressed at all", packed(1, 1, nil, transfer(40)), false},
		{"a bomb", packed(1, 1, nil, deflate(make([]byte, 2<<20))), false},
		{"context-free data that ends early", packed(1, 0, []byte{3, 1}, transfer(4)), false},
		{"no signature type", append([]byte{1, 9}, good[2:]...), false},
	} {
		if _, err := wire.CheckTransaction(tc.body, 1<<22); (err == nil) != tc.ok {
			t.Errorf("%s: %v, want ok=%v", tc.name, err, tc.ok)
		}
	}
	if n := testing.AllocsPerRun(100, func() { wire.CheckTransaction(good, 0) }); n != 0 {
		t.Errorf("%v allocations, want 0", n)
	}
}

// What is inflated has a bound, and its price is told whatever comes of it.
func TestTransactionsInflateWithinBounds(t *testing.T) {
	const each = 4 << 10
	small, bomb := transfer(500), make([]byte, 2<<20)
	for _, tc := range []struct {
		name string
		body []byte
		room int
		cost int
		err  error
	}{
		{"not compressed", packed(1, 0, nil, small), 0, 0, nil},
		{"no room", packed(1, 1, nil, deflate(small)), 0, 0, wire.ErrLimit},
		{"just enough", packed(1, 1, nil, deflate(small)), each + len(small), each + len(small), nil},
		{"one byte short", packed(1, 1, nil, deflate(small)), each + len(small) - 1, each + len(small), wire.ErrLimit},
		{"no room for the context-free data", packed(1, 1, deflate([]byte{0}), deflate(small)), each + len(small), each + len(small), wire.ErrLimit},
		{"room for both", packed(1, 1, deflate([]byte{0}), deflate(small)), 1 << 20, 2*each + len(small) + 1, nil},
		{"a bomb in little room", packed(1, 1, nil, deflate(bomb)), 64 << 10, 64<<10 + 1, wire.ErrLimit},
		{"a bomb", packed(1, 1, nil, deflate(bomb)), 8 << 20, each + 1<<20 + 1, wire.ErrLimit},
	} {
		cost, err := wire.CheckTransaction(tc.body, tc.room)
		if cost != tc.cost || !errors.Is(err, tc.err) {
			t.Errorf("%s: cost %d, error %v; want %d, %v", tc.name, cost, err, tc.cost, tc.err)
		}
	}
}

func FuzzCheckTransaction(f *testing.F) {
	f.Add(packed(1, 0, nil, transfer(40)))
	f.Add(packed(2, 1, []byte{0}, deflate(transfer(40))))
	f.Fuzz(func(t *testing.T, body []byte) {
		const room = 64 << 10
		if cost, _ := wire.CheckTransaction(body, room); cost > room+1 {
			t.Errorf("cost %d, want %d at most", cost, room+1)
		}
	})
}

// Every transaction that real nodes sent passes.
func TestRecordedTransactionsPass(t *testing.T) {
	n := 0
	for _, dir := range folders {
		folder(t, dir, func(name string, all []*wire.Frame) {
			for i, f := range all {
				if f.Type() != wire.TypeTransaction {
					continue
				}
				n++
				if _, err := wire.CheckTransaction(f.Body(), 0); err != nil {
					t.Errorf("%s, frame %d: %v", name, i, err)
				}
			}
		})
	}
	if n == 0 {
		t.Error("no transaction in the recordings")
	}
	t.Logf("%d transactions", n)
}
