package simnet

import "encoding/binary"

// reader walks fc::raw bytes. After the first short read everything it returns
// is zero and failed is set.
type reader struct {
	b       []byte
	failed  bool
	expires uint32
}

func (r *reader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.failed, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *reader) byte() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (r *reader) u16() uint16 {
	if b := r.take(2); b != nil {
		return binary.LittleEndian.Uint16(b)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (r *reader) varuint() uint32 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || n > 5 || v > 1<<32-1 {
		r.failed, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return uint32(v)
}

func (r *reader) id() (id [32]byte) {
	copy(id[:], r.take(32))
	return id
}

func (r *reader) bytes() []byte { return r.take(int(r.varuint())) }

// packedTx walks over a packed transaction and remembers when it expires.
func (r *reader) packedTx() {
	for range r.varuint() {
		if r.take(sigLen); r.failed {
			return
		}
	}
	r.byte() // compression
	r.bytes()
	trx := r.bytes()
	if len(trx) < 4 {
		r.failed = true
		return
	}
	r.expires = binary.LittleEndian.Uint32(trx)
}

func appendVaruint(dst []byte, v uint32) []byte {
	return binary.AppendUvarint(dst, uint64(v))
}
