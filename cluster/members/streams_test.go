package members_test

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"
)

// Whoever reaches the gossip port can open streams before a key is asked for. They must not be as many as they like.
func TestStrangersStreamsAreBounded(t *testing.T) {
	key := keyFile(t)
	a := start(t, key, "a", nil)
	const opened, most = 100, 64
	ended := make(chan error, opened)
	for range opened {
		c, err := net.Dial("tcp", a.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		go func() {
			_, err := io.Copy(io.Discard, c)
			ended <- err
		}()
	}
	late := time.NewTimer(3 * time.Second) // less than memberlist gives a silent stream
	defer late.Stop()
	for n := range opened - most {
		select {
		case <-ended:
		case <-late.C:
			t.Fatalf("streams ended: got %d of %d, want %d at least", n, opened, opened-most)
		}
	}
	start(t, key, "b", joining(a)).waits("a/alive/ b/alive/") // which has a place all the same
}

// Nor may one of them have the relay keep megabytes until it finds that no key fits.
func TestStrangersBytesAreBounded(t *testing.T) {
	a := start(t, keyFile(t), "a", nil)
	c, err := net.Dial("tcp", a.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	const label, encrypted, size = 244, 10, 20 << 20
	b := append([]byte{label, byte(len("test"))}, "test"...)
	b = append(b, encrypted)
	b = binary.BigEndian.AppendUint32(b, size)
	if _, err := c.Write(append(b, make([]byte, size)...)); err == nil {
		t.Errorf("%d bytes of a stranger were taken", size)
	}
}
