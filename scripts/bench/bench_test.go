//go:build benchpeers

package main

import (
	"testing"

	"github.com/thinrelay/thinrelay/relay/wire"
)

func TestPercentile(t *testing.T) {
	ten := []int64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for _, tt := range []struct {
		values []int64
		p      float64
		want   int64
	}{
		{nil, 0.5, 0},
		{[]int64{7}, 0.5, 7},
		{[]int64{7}, 0.999, 7},
		{ten, 0, 1},
		{ten, 0.5, 5},
		{ten, 0.51, 6},
		{ten, 0.99, 10},
		{ten, 1, 10},
	} {
		if got := percentile(tt.values, tt.p); got != tt.want {
			t.Errorf("percentile(%v, %g) = %d, want %d", tt.values, tt.p, got, tt.want)
		}
	}
}

func TestSpread(t *testing.T) {
	if got, want := spreadOf([]float64{3, 1, 2}), (spread{1, 2, 3}); got != want {
		t.Errorf("odd: got %v, want %v", got, want)
	}
	if got, want := spreadOf([]float64{4, 1, 2, 3}), (spread{1, 2.5, 4}); got != want {
		t.Errorf("even: got %v, want %v", got, want)
	}
}

// TestChainLinks reads the blocks of the load generator as the relay does.
func TestChainLinks(t *testing.T) {
	name, err := wire.ParseName(ours)
	if err != nil {
		t.Fatal(err)
	}
	c := newChain(make([]byte, maxBlock))
	previous := c.last
	for _, size := range []int{minBlock, 1 << 10, maxBlock} {
		bufs, num := c.next(name, size)
		frame := append(append([]byte(nil), bufs[0]...), bufs[1]...)
		if len(frame) != size {
			t.Fatalf("frame of %d bytes, want %d", len(frame), size)
		}
		b, err := wire.ParseBlock(frame[5:])
		if err != nil {
			t.Fatal(err)
		}
		if b.Previous != previous || b.Num() != num || b.Num() != height(frame[5:]) || b.ID != c.last || b.Producer != name {
			t.Errorf("block %d of %s on %s (height read as %d), want %d of %s on %s", b.Num(), b.Producer, b.Previous, height(frame[5:]), num, name, previous)
		}
		previous = b.ID
	}
}
