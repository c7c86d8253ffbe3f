package wire

import (
	"math/bits"
	"sync"
	"sync/atomic"
)

// Buffers come in powers of two from minClass up; the last class holds the
// largest legal frame exactly.
const (
	minClassBits = 9 // 512 bytes: votes, time messages, handshakes, idle blocks
	maxClassBits = 22
	classes      = maxClassBits - minClassBits + 2
)

// pools holds released frames with their buffers, by size class. It is the one
// shared piece of this package: frames read on one connection are released by
// the writers of others.
var pools [classes]sync.Pool

// poison, when set, makes a released frame unusable instead of reusing it.
var poison atomic.Bool

// PoisonReleased switches a debugging aid on or off and returns the old
// setting: released buffers are overwritten and never used again, so that a
// reader that kept a reference it did not own sees garbage at once and its
// Release panics. Tests with shared frames turn it on in TestMain; with the
// race detector it is always on.
func PoisonReleased(on bool) (was bool) { return poison.Swap(on) }

func classOf(size int) int {
	if size <= 1<<minClassBits {
		return 0
	}
	return min(bits.Len(uint(size-1))-minClassBits, classes-1)
}

func classSize(class int) int {
	if class == classes-1 {
		return headerLen + MaxPayload
	}
	return 1 << (minClassBits + class)
}

// newFrame returns a frame with one reference and a buffer of size bytes, whose
// content is arbitrary. size is at most headerLen + MaxPayload.
func newFrame(size int) *Frame {
	class := classOf(size)
	f, _ := pools[class].Get().(*Frame)
	if f == nil {
		f = &Frame{buf: make([]byte, classSize(class)), class: class}
	}
	f.buf = f.buf[:size]
	f.refs.Store(1)
	return f
}

func recycle(f *Frame) {
	if raceEnabled || poison.Load() {
		buf := f.buf[:cap(f.buf)]
		for i := range buf {
			buf[i] = 0xdb
		}
		return
	}
	pools[f.class].Put(f)
}
