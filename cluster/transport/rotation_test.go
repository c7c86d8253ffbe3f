package transport_test

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/cluster/transport"
)

func serial(t *testing.T, conn io.Closer) string {
	t.Helper()
	state := conn.(interface{ ConnectionState() tls.ConnectionState }).ConnectionState()
	return state.PeerCertificates[0].SerialNumber.String()
}

func TestCertificatesAreReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b")
		a, b := c.open("a"), c.open("b")
		old := serial(t, talks(t, a, b, "a", "b"))
		replace(t, transport.FilesOf(c.dir, "b"), issue(t, c.ca, transport.Issue{Node: "b", Life: 48 * time.Hour}))
		time.Sleep(time.Second)
		fresh := serial(t, talks(t, a, b, "a", "b"))
		if fresh == old {
			t.Fatal("the old certificate is still shown")
		}
		if got, want := b.Certificate().NotAfter, time.Now().Add(48*time.Hour); want.Sub(got).Abs() > time.Minute {
			t.Fatalf("certificate until %v, want %v", got, want)
		}
		if got := c.logs["b"].count("certificate ends soon"); got != 1 {
			t.Fatalf("%d warnings, want 1\n%s", got, c.logs["b"])
		}
		time.Sleep(time.Hour)
		if again := serial(t, talks(t, b, a, "b", "a")); again == fresh {
			t.Fatal("b's dial shows a with b's certificate")
		}
	})
}

func TestBadNewFilesKeepTheOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b")
		a, b := c.open("a"), c.open("b")
		old := serial(t, talks(t, a, b, "a", "b"))
		files := transport.FilesOf(c.dir, "b")
		next := issue(t, c.ca, transport.Issue{Node: "b"})
		// The certificate comes first, the key later: for a while they do not fit.
		if err := os.WriteFile(files.Cert, next.Cert, 0o600); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			time.Sleep(2 * time.Second)
			if got := serial(t, talks(t, a, b, "a", "b")); got != old {
				t.Fatal("another certificate is in use")
			}
		}
		if got := c.logs["b"].count("keeping the old ones"); got != 1 {
			t.Fatalf("%d lines, want 1\n%s", got, c.logs["b"])
		}
		if err := os.Remove(files.Key); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		talks(t, a, b, "a", "b")
		if err := os.WriteFile(files.Key, next.Key, 0o600); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second) // fake time: not the moment at which the watch has its turn
		if got := serial(t, talks(t, a, b, "a", "b")); got == old {
			t.Fatal("the old certificate is still in use")
		}
	})
}

// A group that is well makes no handshakes for weeks. What happens to its files is told all the same.
func TestFilesAreWatchedWithoutHandshakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a")
		a := c.open("a")
		files := transport.FilesOf(c.dir, "a")
		told := func(want int, text string) {
			t.Helper()
			if got := c.logs["a"].count(text); got != want {
				t.Errorf("%q: got %d lines, want %d\n%s", text, got, want, c.logs["a"])
			}
		}
		replace(t, files, issue(t, c.ca, transport.Issue{Node: "a", Life: 30*24*time.Hour + time.Hour}))
		time.Sleep(15 * time.Second) // fake time
		told(1, "certificates read again")
		told(0, "certificate ends soon")
		if got, want := a.Certificate().NotAfter, time.Now().Add(30*24*time.Hour+time.Hour); want.Sub(got).Abs() > time.Minute {
			t.Errorf("certificate until %v, want %v", got, want)
		}
		if err := os.Remove(files.Key); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute) // fake time
		told(1, "keeping the old ones")
		time.Sleep(2 * time.Hour) // fake time
		told(1, "certificate ends soon")
	})
}

func TestCAIsReplacedWithoutABreak(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b")
		a, b := c.open("a"), c.open("b")
		former := talks(t, a, b, "a", "b")
		next, err := transport.NewCA("next")
		if err != nil {
			t.Fatal(err)
		}
		pair, err := next.Pair()
		if err != nil {
			t.Fatal(err)
		}
		ca := transport.FilesOf(c.dir, "a").CA
		both, err := os.ReadFile(ca)
		if err != nil {
			t.Fatal(err)
		}
		step := func(name string, do func()) {
			t.Helper()
			do()
			time.Sleep(time.Second)
			talks(t, a, b, "a", "b")
			talks(t, b, a, "b", "a")
		}
		step("trust both", func() { os.WriteFile(ca, append(both, pair.Cert...), 0o600) })
		step("b gets a new one", func() { replace(t, transport.FilesOf(c.dir, "b"), issue(t, next, transport.Issue{Node: "b"})) })
		step("a gets a new one", func() { replace(t, transport.FilesOf(c.dir, "a"), issue(t, next, transport.Issue{Node: "a"})) })
		between := talks(t, a, b, "a", "b")
		time.Sleep(time.Minute) // fake time
		open := func(conn net.Conn) bool {
			conn.SetReadDeadline(time.Now().Add(time.Second))
			_, err := conn.Read(make([]byte, 1))
			return errors.Is(err, os.ErrDeadlineExceeded)
		}
		if !open(former) {
			t.Error("a connection was closed while its CA was trusted")
		}
		step("trust the new", func() { os.WriteFile(ca, pair.Cert, 0o600) })
		time.Sleep(11 * time.Second) // fake time
		if open(former) {
			t.Error("a connection made with a certificate of the old CA is open")
		}
		if !open(between) {
			t.Error("a connection made with certificates of the new CA was closed")
		}
	})
}

func TestRefusalIsVisibleToTheDialler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, "a", "b")
		a := c.open("a", func(cfg *transport.Config) { cfg.Allowed = func(string) bool { return false } })
		b := c.open("b")
		conn, err := b.Link().Dial(t.Context(), "a:8300", "a")
		if err != nil {
			t.Fatal(err) // with TLS 1.3 the client is done before the server has seen its certificate
		}
		defer conn.Close()
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, transport.ErrRefused) {
			t.Fatalf("read: %v, want ErrRefused", err)
		}
		_ = a
	})
}
