package wire_test

import (
	"bytes"
	"sync"
	"testing"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// panics reports whether fn panicked.
func panics(fn func()) (did bool) {
	defer func() { did = recover() != nil }()
	fn()
	return false
}

func TestFrame(t *testing.T) {
	f := wire.RawFrame(wire.TypeTransaction, []byte{1, 2, 3})
	defer f.Release()
	if got, want := f.Bytes(), []byte{4, 0, 0, 0, 8, 1, 2, 3}; !bytes.Equal(got, want) {
		t.Errorf("Bytes() = %x, want %x", got, want)
	}
	if got, want := f.Payload(), []byte{8, 1, 2, 3}; !bytes.Equal(got, want) {
		t.Errorf("Payload() = %x, want %x", got, want)
	}
	if got, want := f.Body(), []byte{1, 2, 3}; !bytes.Equal(got, want) {
		t.Errorf("Body() = %x, want %x", got, want)
	}
	if f.Type() != wire.TypeTransaction || f.Len() != 8 {
		t.Errorf("Type() = %s, Len() = %d; want %s, 8", f.Type(), f.Len(), wire.TypeTransaction)
	}
}

func TestFrameSizes(t *testing.T) {
	for _, n := range []int{0, 1, 507, 508, 65531, 65532, 4 << 20, wire.MaxPayload - 1} {
		f := wire.RawFrame(wire.TypeBlock, make([]byte, n))
		if f.Len() != n+5 {
			t.Errorf("a frame of %d body bytes has Len() = %d", n, f.Len())
		}
		if c := wire.ClassSize(n + 5); c < n+5 || c > 512 && c > 2*(n+5) {
			t.Errorf("a frame of %d bytes gets a buffer of %d", n+5, c)
		}
		f.Release()
	}
	if !panics(func() { wire.RawFrame(wire.TypeBlock, make([]byte, wire.MaxPayload)) }) {
		t.Error("RawFrame of more than a frame holds did not panic")
	}
}

func TestReleasedFrameIsPoisoned(t *testing.T) {
	defer wire.PoisonReleased(wire.PoisonReleased(true))
	f := wire.RawFrame(wire.TypeBlock, []byte("body"))
	kept := f.Body()

	f.Retain().Release()
	if string(kept) != "body" {
		t.Fatalf("body after the first of two releases: %q", kept)
	}
	f.Release()
	if string(kept) == "body" {
		t.Error("body is intact after the last release")
	}
	if !panics(f.Release) {
		t.Error("a second release did not panic")
	}
	if !panics(func() { f.Retain() }) {
		t.Error("Retain after the last release did not panic")
	}
}

// TestDoubleReleasePanics holds without poisoning too, while the frame is idle.
func TestDoubleReleasePanics(t *testing.T) {
	f := wire.RawFrame(wire.TypeBlock, nil)
	f.Release()
	if !panics(f.Release) {
		t.Error("a second release did not panic")
	}
}

// TestSharedFrame releases one frame from many goroutines, as fan-out does: the
// bytes must stand for each until its own release.
func TestSharedFrame(t *testing.T) {
	defer wire.PoisonReleased(wire.PoisonReleased(true))
	body := bytes.Repeat([]byte("shared"), 100)
	f := wire.RawFrame(wire.TypeBlock, body)
	var wg sync.WaitGroup
	for range 32 {
		f.Retain()
		wg.Go(func() {
			if !bytes.Equal(f.Body(), body) {
				t.Error("body changed while a reference was held")
			}
			f.Release()
		})
	}
	f.Release()
	wg.Wait()
}
