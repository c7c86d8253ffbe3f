package wire

import (
	"encoding/binary"
	"sync/atomic"
)

// MaxPayload is the largest payload nodeos accepts, in bytes: it closes the
// connection above (net_plugin.cpp:233-234, 2910).
const MaxPayload = 8 << 20

// headerLen is the little-endian length in front of each payload.
const headerLen = 4

// Frame is one message as it travels: a 4-byte little-endian length, then the
// payload, whose first byte is the message type and the rest its body.
//
// A Frame is immutable and shared by counting references. Whoever gets one from
// this package owns one reference and calls Release once; before handing it to
// someone else who will also release it, Retain. Slices from its methods are
// valid only while a reference is held, and must not be written to.
type Frame struct {
	refs  atomic.Int32
	class int
	buf   []byte
}

// Bytes is the whole frame, ready for a socket.
func (f *Frame) Bytes() []byte { return f.buf }

// Payload is the frame without its length: type byte and body.
func (f *Frame) Payload() []byte { return f.buf[headerLen:] }

// Body is the payload after the type byte.
func (f *Frame) Body() []byte { return f.buf[headerLen+1:] }

// Type is the message type.
func (f *Frame) Type() Type { return Type(f.buf[headerLen]) }

// Len is the length of the whole frame in bytes.
func (f *Frame) Len() int { return len(f.buf) }

// Retain adds a reference and returns f. The caller must hold one already.
func (f *Frame) Retain() *Frame {
	if f.refs.Add(1) <= 1 {
		panic("wire: Retain of a released frame")
	}
	return f
}

// Release gives one reference back; with the last one the buffer returns to the
// pool. Releasing more often than retained is a bug in this program, never the
// effect of a peer's bytes, and panics where it is seen.
func (f *Frame) Release() {
	switch n := f.refs.Add(-1); {
	case n == 0:
		recycle(f)
	case n < 0:
		panic("wire: Release of a released frame")
	}
}

// RawFrame makes a frame of a type byte and a body, which is copied. It is for
// bytes this program built or holds already, not for a length a peer claims: a
// body that does not fit a frame (MaxPayload-1 bytes) is a bug and panics.
func RawFrame(t Type, body []byte) *Frame {
	if len(body) > MaxPayload-1 {
		panic("wire: RawFrame of more than MaxPayload bytes")
	}
	f := newFrame(headerLen + 1 + len(body))
	binary.LittleEndian.PutUint32(f.buf, uint32(1+len(body)))
	f.buf[headerLen] = byte(t)
	copy(f.buf[headerLen+1:], body)
	return f
}

// BlockFrame is RawFrame for a signed block: body starts with the header.
func BlockFrame(body []byte) *Frame { return RawFrame(TypeBlock, body) }
