package members_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"

	"github.com/thinrelay/thinrelay/cluster/members"
)

// nameServer answers all questions; nil: the host's own does.
var nameServer atomic.Pointer[net.Addr]

// resolver is set before anything runs: memberlist's goroutines read it beyond the end of a test.
func resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if own := nameServer.Load(); own != nil {
			network, address = (*own).Network(), (*own).String()
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
}

// names has every host name mean the given addresses, those of a kind in that order, for the length of a test.
func names(t *testing.T, ips ...string) {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	go func() {
		defer close(over)
		b := make([]byte, 512)
		for {
			n, from, err := server.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = server.WriteTo(reply(b[:n], ips), from)
		}
	}()
	own := server.LocalAddr()
	nameServer.Store(&own)
	t.Cleanup(func() {
		nameServer.Store(nil)
		server.Close()
		<-over
	})
}

// reply answers a DNS query with those of the addresses that are of the kind asked for.
func reply(query []byte, ips []string) []byte {
	const header, kindA, kindAAAA, tail = 12, 1, 28, 4
	end := header
	for query[end] != 0 {
		end += 1 + int(query[end])
	}
	end += 1 + tail // the name's last byte, kind and class
	kind := binary.BigEndian.Uint16(query[end-tail:])
	out := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, query[header:end]...)
	for _, text := range ips {
		ip := netip.MustParseAddr(text)
		if kind != kindA && kind != kindAAAA || ip.Is4() != (kind == kindA) {
			continue
		}
		out[7]++
		out = append(out, 0xC0, header, 0, byte(kind), 0, 1, 0, 0, 0, 60, 0, byte(ip.BitLen()/8))
		out = append(out, ip.AsSlice()...)
	}
	return out
}

// A name may mean several addresses: of all members, as that of a service does, or of which not all lead to the relay.
func TestJoinTriesAllAddressesOfAName(t *testing.T) {
	key := keyFile(t)
	a := start(t, key, "a", nil)
	names(t, "127.0.0.2", "127.0.0.3", "127.0.0.1")
	b := start(t, key, "b", func(c *members.Config) {
		c.Bind = fmt.Sprintf("127.0.0.2:%d", a.Addr().Port())
		c.Join = []string{fmt.Sprintf("relays.test:%d", a.Addr().Port())}
	})
	b.waits("a/alive/ b/alive/")
	a.waits("a/alive/ b/alive/")
}

// A host with addresses of both families has a name for both, and listens at 0.0.0.0 unless told otherwise.
func TestAdvertisedAddressIsOneWeListenAt(t *testing.T) {
	names(t, "::1", "127.0.0.1")
	a := start(t, keyFile(t), "a", func(c *members.Config) { c.Bind, c.Advertise = "0.0.0.0:0", "a.test:7946" })
	if got, want := a.Addr().String(), "127.0.0.1:7946"; got != want {
		t.Errorf("advertised: got %s, want %s", got, want)
	}
}

// Debian and others have the host's name in /etc/hosts, for 127.0.1.1.
func TestAdvertisedAddressIsNoLoopback(t *testing.T) {
	names(t, "127.0.1.1")
	for join, want := range map[string]error{"192.0.2.7:7946": members.ErrLoopback, "127.0.0.1:7946": nil} {
		m, err := members.Open(t.Context(), members.Config{
			Node: "a", Label: "test", KeyFile: keyFile(t), Bind: "0.0.0.0:0", Advertise: "a.test:7946", Join: []string{join},
		})
		if err == nil {
			err = m.Close()
		}
		if !errors.Is(err, want) {
			t.Errorf("others at %s: got %v, want %v", join, err, want)
		}
	}
}
