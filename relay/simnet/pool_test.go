package simnet_test

import (
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/simnet"
)

// Of a transaction that came in a block alone a node has no bytes to put into a block of its own, whenever the first one is forked out.
func TestForkedOutTransactionThatCameInABlock(t *testing.T) {
	now := time.Unix(1700000000, 0)
	for name, expire := range map[string]int{"at once": 0, "later": 1} {
		t.Run(name, func(t *testing.T) {
			p := simnet.NewPool()
			key := [32]byte{1}
			p.Applied(key)
			for range expire {
				p.Expire(now)
			}
			p.PutBack(key)
			if n := p.Pending(now); n != 0 {
				t.Errorf("%d transactions wait for a block, want none", n)
			}
		})
	}
}
