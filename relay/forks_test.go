package relay_test

import (
	"encoding/binary"
	"testing"
	"testing/synctest"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// another makes a block that differs from b in nothing but its id.
func another(b script, n uint32) script {
	frame := append([]byte(nil), b.frame...)
	binary.LittleEndian.PutUint32(frame[5+46:], n) // see child
	parsed, err := wire.ParseBlock(frame[5:])
	if err != nil {
		panic(err)
	}
	return script{parsed.ID, b.slot, frame}
}

// An upstream tells thousands of blocks of one height, below and at the tip. Few are kept:
// each costs a kilobyte, and every block on their parent's height goes through all of them
// (a hundred thousand, which is 20 MB, made that 1.4 ms). What another one tells at those
// heights is taken.
func TestForksOfOneHeightAreFew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newTrial(t)
		defer c.close()
		chain := c.honest([]script{c.base}, 3, func(script) {})
		for n := range uint32(3000) {
			c.evil.write(another(chain[2], 1000+n).frame)
			c.evil.write(another(chain[3], 1000+n).frame)
		}
		settle()
		next := another(child(chain[2].id, chain[2].slot+1, "bpb", 0, 0), 7)
		c.up.write(next.frame)
		settle()
		if s, _ := c.node.Status(t.Context()); s.RingLen > 100 {
			t.Errorf("%d blocks are kept of 6000 forks of two heights", s.RingLen)
		}
		r := c.replicas(c.base.id, "a")
		chain = c.honest(append(chain[:3:3], next), 1, func(script) {})
		expect(t, r, chain[4], true, "the chain goes on")
		expect(t, r, next, true, "on what the other upstream told at that height")
	})
}
