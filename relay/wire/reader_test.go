package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"runtime"
	"testing"
	"testing/iotest"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// stream is frames of the given payload sizes, each with its own bytes.
func stream(sizes ...int) []byte {
	var b []byte
	for i, n := range sizes {
		b = binary.LittleEndian.AppendUint32(b, uint32(n))
		for j := range n {
			b = append(b, byte(i+j))
		}
	}
	return b
}

// readAll reads src to its end and returns its frames joined, and the last error.
func readAll(t *testing.T, src io.Reader) ([]byte, int, error) {
	t.Helper()
	var all []byte
	r := wire.NewReader(src)
	for n := 0; ; n++ {
		f, err := r.Next()
		if err != nil {
			if _, again := r.Next(); !errors.Is(again, err) {
				t.Errorf("after %v the reader says %v", err, again)
			}
			return all, n, err
		}
		all = append(all, f.Bytes()...)
		f.Release()
	}
}

func TestReader(t *testing.T) {
	sizes := []int{1, 2, 33, 325, 16 << 10, 65532, 65533, 65536, 100_000, 1, 1 << 20, 3, 3 << 20, 7, 3 << 20, wire.MaxPayload, 1}
	data := stream(sizes...)
	readers := map[string]func(io.Reader) io.Reader{
		"whole":          func(r io.Reader) io.Reader { return r },
		"half":           iotest.HalfReader,
		"data with EOF":  iotest.DataErrReader,
		"1460 at a time": func(r io.Reader) io.Reader { return &chunks{r, 1460} },
		"65537":          func(r io.Reader) io.Reader { return &chunks{r, 65537} },
	}
	for name, wrap := range readers {
		t.Run(name, func(t *testing.T) {
			got, n, err := readAll(t, wrap(bytes.NewReader(data)))
			if err != io.EOF || n != len(sizes) {
				t.Errorf("read %d frames, then %v; want %d, then EOF", n, err, len(sizes))
			}
			if !bytes.Equal(got, data) {
				t.Error("the frames differ from the stream")
			}
		})
	}
	t.Run("byte by byte", func(t *testing.T) {
		data := stream(1, 300, 70_000, 5)
		got, n, err := readAll(t, iotest.OneByteReader(bytes.NewReader(data)))
		if err != io.EOF || n != 4 || !bytes.Equal(got, data) {
			t.Errorf("read %d frames, then %v; want 4 equal ones, then EOF", n, err)
		}
	})
}

type chunks struct {
	r io.Reader
	n int
}

func (c *chunks) Read(p []byte) (int, error) { return c.r.Read(p[:min(len(p), c.n)]) }

func TestReaderErrors(t *testing.T) {
	broken := errors.New("broken")
	tests := []struct {
		name   string
		src    io.Reader
		frames int
		want   error
	}{
		{"nothing", bytes.NewReader(nil), 0, io.EOF},
		{"cut in the length", bytes.NewReader(append(stream(5), 7, 0)), 1, io.ErrUnexpectedEOF},
		{"cut after the length", bytes.NewReader(stream(5, 5)[:13]), 1, io.ErrUnexpectedEOF},
		{"cut in the payload", bytes.NewReader(stream(5, 5)[:15]), 1, io.ErrUnexpectedEOF},
		{"cut in a large payload", bytes.NewReader(stream(5, 900_000)[:800_000]), 1, io.ErrUnexpectedEOF},
		{"length 0", bytes.NewReader(append(stream(5), 0, 0, 0, 0, 1, 0, 0, 0, 1)), 1, wire.ErrFrameEmpty},
		{"length 8 MiB + 1", bytes.NewReader(append(stream(5), 1, 0, 128, 0, 1)), 1, wire.ErrFrameTooLarge},
		{"length 4 GiB", bytes.NewReader([]byte{255, 255, 255, 255, 7}), 0, wire.ErrFrameTooLarge},
		{"source fails", io.MultiReader(bytes.NewReader(stream(5)), iotest.ErrReader(broken)), 1, broken},
		{"source fails inside", io.MultiReader(bytes.NewReader(stream(5, 5)[:15]), iotest.ErrReader(broken)), 1, broken},
		{"source stands still", idle{}, 0, io.ErrNoProgress},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, n, err := readAll(t, tt.src)
			if n != tt.frames || !errors.Is(err, tt.want) {
				t.Errorf("%d frames, then %v; want %d, then %v", n, err, tt.frames, tt.want)
			}
		})
	}
}

type idle struct{}

func (idle) Read([]byte) (int, error) { return 0, nil }

// watched passes on what a Reader reads, and keeps the largest room it offered
// beyond what had arrived by then.
type watched struct {
	r     io.Reader
	sent  int
	reads int
	ahead int
}

func (w *watched) Read(p []byte) (int, error) {
	w.ahead = max(w.ahead, len(p)-w.sent)
	n, err := w.r.Read(p)
	w.sent += n
	w.reads++
	return n, err
}

// TestReaderDoesNotBelieveLengths sends a claim of 8 MiB with ten bytes behind it.
func TestReaderDoesNotBelieveLengths(t *testing.T) {
	data := append([]byte{0, 0, 128, 0}, make([]byte, 10)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 100 {
		if _, err := wire.NewReader(bytes.NewReader(data)).Next(); err != io.ErrUnexpectedEOF {
			t.Fatalf("Next() = %v, want %v", err, io.ErrUnexpectedEOF)
		}
	}
	runtime.ReadMemStats(&after)
	if got, limit := (after.TotalAlloc-before.TotalAlloc)/100, uint64(3*wire.ReadBuffer); got > limit {
		t.Errorf("a claim of 8 MiB allocates %d bytes, want at most %d", got, limit)
	}
}

// TestReaderAllowance watches how much room the Reader offers as a large frame
// trickles in: never more than has arrived, plus its read buffer. The second
// frame of that size then gets its buffer at once.
func TestReaderAllowance(t *testing.T) {
	data := stream(wire.MaxPayload, wire.MaxPayload-1000, 10)
	w := &watched{r: &chunks{bytes.NewReader(data[:4+wire.MaxPayload]), 4000}}
	r := wire.NewReader(io.MultiReader(w, &chunks{bytes.NewReader(data[4+wire.MaxPayload:]), 1 << 30}))
	f, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	f.Release()
	if w.ahead > wire.ReadBuffer {
		t.Errorf("the reader offered %d bytes more room than it had bytes, want at most %d", w.ahead, wire.ReadBuffer)
	}
	for range 2 {
		if f, err = r.Next(); err != nil {
			t.Fatal(err)
		}
		f.Release()
	}
}

// TestReaderReadsInBulk: small frames must not cost a system call each, and a
// large one only a few once the peer has proved itself.
func TestReaderReadsInBulk(t *testing.T) {
	var sizes []int
	for range 3000 {
		sizes = append(sizes, 325)
	}
	data := stream(sizes...)
	w := &watched{r: bytes.NewReader(data)}
	if _, n, err := readAll(t, w); n != len(sizes) || err != io.EOF {
		t.Fatalf("%d frames, %v", n, err)
	}
	if limit := len(data)/wire.ReadBuffer + 3; w.reads > limit {
		t.Errorf("%d reads for %d votes, want at most %d", w.reads, len(sizes), limit)
	}

	w = &watched{r: bytes.NewReader(stream(1<<20, 1<<20, 1<<20))}
	if _, n, err := readAll(t, w); n != 3 || err != io.EOF {
		t.Fatalf("%d frames, %v", n, err)
	}
	if w.reads > 5+2+2+2 {
		t.Errorf("%d reads for three frames of 1 MiB, want at most 11", w.reads)
	}
}

// endless repeats one frame.
type endless struct {
	frame []byte
	off   int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.frame[e.off:])
	e.off = (e.off + n) % len(e.frame)
	return n, nil
}

func TestReaderAllocatesNothing(t *testing.T) {
	if wire.RaceEnabled {
		t.Skip("allocations are not counted under the race detector")
	}
	for _, size := range []int{1 << 10, 100 << 10, 1 << 20, wire.MaxPayload} {
		r := wire.NewReader(&endless{frame: stream(size)})
		next := func() {
			f, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			f.Release()
		}
		next()
		if got := testing.AllocsPerRun(100, next); got != 0 {
			t.Errorf("%v allocations for a frame of %d bytes, want 0", got, size)
		}
	}
}
