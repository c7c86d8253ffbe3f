package wire

import (
	"encoding/binary"
	"errors"
	"io"
)

const (
	// readBuffer is the one buffer between a socket and its frames: dozens of
	// votes or small blocks per system call.
	readBuffer = 64 << 10

	// directRead is what a frame must still lack for the rest to be read straight
	// into it. Below, one more fill of the buffer also brings the frames behind it.
	directRead = 16 << 10

	// maxEmptyReads ends a reader that keeps returning nothing without an error.
	maxEmptyReads = 100
)

// Reader cuts a byte stream into frames.
//
// A length that a peer claims is not believed: the buffer of a frame is never
// larger (but for rounding up to a size class) than the largest of readBuffer,
// of the largest frame this peer has completed so far, and of twice what has
// arrived of this frame. So eight claimed megabytes cost a liar nothing, and a
// peer that sends large frames pays a few copies once.
//
// A Reader is for one goroutine.
type Reader struct {
	src   io.Reader
	buf   []byte
	r, w  int // unread bytes are buf[r:w]
	grant int // a frame up to this size is given its buffer at once
	err   error
}

// NewReader returns a Reader of src's frames.
func NewReader(src io.Reader) *Reader {
	return &Reader{src: src, buf: make([]byte, readBuffer), grant: readBuffer}
}

// Next returns the next frame, with a reference that the caller owns. It
// returns io.EOF at the end of the stream between two frames and
// io.ErrUnexpectedEOF inside one, ErrFrameEmpty or ErrFrameTooLarge for a length
// outside the protocol, and otherwise what src returned. The first error is
// final: Next keeps returning it.
func (r *Reader) Next() (*Frame, error) {
	for r.w-r.r < headerLen {
		if err := r.fill(); err != nil {
			if r.w > r.r {
				err = inside(err)
			}
			r.err = err
			return nil, err
		}
	}
	n := binary.LittleEndian.Uint32(r.buf[r.r:])
	switch {
	case n == 0:
		r.err = ErrFrameEmpty
		return nil, r.err
	case n > MaxPayload:
		r.err = ErrFrameTooLarge
		return nil, r.err
	}
	f, err := r.frame(headerLen + int(n))
	if err != nil {
		r.err = inside(err)
		return nil, r.err
	}
	r.grant = max(r.grant, f.Len())
	return f, nil
}

// frame reads the frame of total bytes, header included, that starts at the
// first unread byte.
func (r *Reader) frame(total int) (*Frame, error) {
	f := newFrame(min(total, r.grant))
	have := 0
	for {
		n := copy(f.buf[have:], r.buf[r.r:r.w])
		r.r += n
		have += n
		if have == total {
			return f, nil
		}
		if have == len(f.buf) {
			f = grow(f, min(total, 2*have))
			continue
		}
		var err error
		if len(f.buf)-have >= directRead {
			n, err = r.read(f.buf[have:])
			have += n
		} else {
			err = r.fill()
		}
		if err != nil {
			f.Release()
			return nil, err
		}
	}
}

// grow moves the bytes of f, all arrived, to a frame of at least size bytes.
func grow(f *Frame, size int) *Frame {
	g := newFrame(size)
	copy(g.buf, f.buf)
	f.Release()
	return g
}

// fill reads once into the buffer, which has room: it is called with at most
// headerLen-1 unread bytes, and these move to the front.
func (r *Reader) fill() error {
	r.w = copy(r.buf, r.buf[r.r:r.w])
	r.r = 0
	n, err := r.read(r.buf[r.w:])
	r.w += n
	return err
}

// read reads at least one byte, or returns an error. An error that came with
// bytes waits for the next call.
func (r *Reader) read(p []byte) (int, error) {
	for range maxEmptyReads {
		if r.err != nil {
			return 0, r.err
		}
		n, err := r.src.Read(p)
		r.err = err
		if n > 0 {
			return n, nil
		}
	}
	if r.err == nil {
		r.err = io.ErrNoProgress
	}
	return 0, r.err
}

func inside(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
