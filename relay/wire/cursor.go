package wire

import "encoding/binary"

// cursor walks a message body in fc::raw encoding. The first failure sticks and
// every later read returns zero values, so that a decoder checks once at its end.
type cursor struct {
	b   []byte
	off int
	err error
}

func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.off = len(c.b)
}

// take returns the next n bytes, without copying; nil when they are not there.
func (c *cursor) take(n int) []byte {
	if c.err != nil || n > len(c.b)-c.off {
		c.fail(ErrShort)
		return nil
	}
	p := c.b[c.off : c.off+n]
	c.off += n
	return p
}

func (c *cursor) u8() uint8 {
	if p := c.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (c *cursor) u16() uint16 {
	if p := c.take(2); p != nil {
		return binary.LittleEndian.Uint16(p)
	}
	return 0
}

func (c *cursor) u32() uint32 {
	if p := c.take(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if p := c.take(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

func (c *cursor) id() (id ID) {
	copy(id[:], c.take(len(id)))
	return id
}

// flag reads a bool, which nodeos refuses when not 0 or 1 (fc raw.hpp:321).
func (c *cursor) flag() bool {
	v := c.u8()
	if v > 1 {
		c.fail(ErrValue)
	}
	return v == 1
}

// varuint reads a varuint32. nodeos reads up to five bytes and does not mind
// padding; it never writes any, and a padded length would make the same message
// exist in several encodings, so only the shortest form is taken.
func (c *cursor) varuint() uint32 {
	var v uint64
	for shift := 0; shift < 35; shift += 7 {
		b := c.u8()
		if c.err != nil {
			return 0
		}
		v |= uint64(b&0x7f) << shift
		if b&0x80 == 0 {
			if b == 0 && shift > 0 || v > 1<<32-1 {
				break
			}
			return uint32(v)
		}
	}
	c.fail(ErrVaruint)
	return 0
}

// bytes reads a length and as many bytes, at most limit.
func (c *cursor) bytes(limit int) []byte {
	n := c.varuint()
	if uint64(n) > uint64(limit) {
		c.fail(ErrLimit)
		return nil
	}
	return c.take(int(n))
}

// count reads the number of elements of a list, at most limit.
func (c *cursor) count(limit int) int {
	n := c.varuint()
	if uint64(n) > uint64(limit) {
		c.fail(ErrLimit)
		return 0
	}
	return int(n)
}

// end is the decoder's last call: the first failure, or ErrTrailing.
func (c *cursor) end() error {
	if c.err == nil && c.off != len(c.b) {
		c.err = ErrTrailing
	}
	return c.err
}

func appendVaruint(dst []byte, v uint32) []byte { return binary.AppendUvarint(dst, uint64(v)) }

func varuintLen(v int) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}
