//go:build e2e

// Command wan is the distance to one relay: it stands in front of it and delays what the others send there, TCP through toxiproxy and
// gossip packets by itself, each way by the delay that its sender has.
//
//	wan --to eu-1.between --from us-1.between=20ms --from ap-1.between=80ms
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/Shopify/toxiproxy/v2"
)

const (
	clusterPort = "8300"
	gossipPort  = "7946"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "wan:", err)
		os.Exit(1)
	}
}

// senders are the delays by the name of the sender.
type senders map[string]time.Duration

// String implements flag.Value.
func (s senders) String() string { return fmt.Sprint(map[string]time.Duration(s)) }

// Set implements flag.Value.
func (s senders) Set(text string) error {
	name, delay, ok := strings.Cut(text, "=")
	d, err := time.ParseDuration(delay)
	if !ok || err != nil {
		return fmt.Errorf("%q is not NAME=DELAY", text)
	}
	s[name] = d
	return nil
}

// find is the sender with the address ip.
func (s senders) find(ctx context.Context, ip net.IP) (string, time.Duration) {
	for name, delay := range s {
		addrs, err := net.DefaultResolver.LookupIP(ctx, "ip", name)
		if err != nil {
			continue // not there at the moment
		}
		for _, a := range addrs {
			if a.Equal(ip) {
				return name, delay
			}
		}
	}
	return "", 0
}

func run(ctx context.Context, args []string) error {
	from := senders{}
	flags := flag.NewFlagSet("wan", flag.ContinueOnError)
	to := flags.String("to", "", "host to stand in front of")
	flags.Var(from, "from", "NAME=DELAY of a sender (repeatable)")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *to == "" || len(from) == 0 {
		return errors.New("give --to and --from")
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, port := range []string{clusterPort, gossipPort} {
		lines, err := delayLines(from, net.JoinHostPort(*to, port))
		if err != nil {
			return err
		}
		ln, err := net.Listen("tcp", ":"+port)
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { ln.Close() })
		wg.Go(func() { accept(ctx, ln, from, lines) })
	}
	pc, err := net.ListenPacket("udp", ":"+gossipPort)
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, func() { pc.Close() })
	wg.Go(func() { packets(ctx, pc, from, net.JoinHostPort(*to, gossipPort)) })
	fmt.Println("delaying for", *to, from)
	return nil
}

// delayLines starts a toxiproxy for each sender, with its latency in both directions, and returns their addresses.
func delayLines(from senders, upstream string) (map[string]string, error) {
	server := &toxiproxy.ApiServer{Metrics: toxiproxy.NewMetricsContainer(nil)}
	alloc(&server.Logger) // a zero logger says nothing
	lines := map[string]string{}
	for name, delay := range from {
		p := toxiproxy.NewProxy(server, name, "127.0.0.1:0", upstream)
		if err := p.Start(); err != nil {
			return nil, fmt.Errorf("proxy for %s: %w", name, err)
		}
		for _, stream := range []string{"upstream", "downstream"} {
			toxic := fmt.Sprintf(`{"name":"%s","type":"latency","stream":"%s","attributes":{"latency":%d}}`, stream, stream, delay.Milliseconds())
			if _, err := p.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
				return nil, fmt.Errorf("delay for %s: %w", name, err)
			}
		}
		lines[name] = p.Listen
	}
	return lines, nil
}

// alloc makes *p point to a zero value whose type need not be named here.
func alloc[T any](p **T) { *p = new(T) }

// accept sends each connection down the line of its sender.
func accept(ctx context.Context, ln net.Listener, from senders, lines map[string]string) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		conn, err := ln.Accept()
		if err != nil {
			return // closed
		}
		wg.Go(func() {
			defer conn.Close()
			name, _ := from.find(ctx, conn.RemoteAddr().(*net.TCPAddr).IP)
			line, err := net.Dial("tcp", lines[name])
			if err != nil {
				fmt.Fprintln(os.Stderr, "wan: no line for", conn.RemoteAddr(), err)
				return
			}
			defer line.Close()
			defer context.AfterFunc(ctx, func() { conn.Close() })()
			var both sync.WaitGroup
			both.Go(func() { pump(line, conn) })
			pump(conn, line)
			both.Wait()
		})
	}
}

// pump copies until src ends, and lets dst know.
func pump(dst, src net.Conn) {
	if _, err := io.Copy(dst, src); err != nil {
		dst.Close()
		return
	}
	dst.(*net.TCPConn).CloseWrite()
}

// packets passes gossip on, late.
func packets(ctx context.Context, pc net.PacketConn, from senders, to string) {
	buf := make([]byte, 64<<10)
	known := map[string]time.Duration{}
	for {
		n, addr, err := pc.ReadFrom(buf)
		if err != nil {
			return // closed
		}
		ip := addr.(*net.UDPAddr).IP
		delay, ok := known[ip.String()]
		if !ok {
			var name string
			if name, delay = from.find(ctx, ip); name == "" {
				continue
			}
			known[ip.String()] = delay
		}
		packet := append([]byte(nil), buf[:n]...)
		time.AfterFunc(delay, func() {
			if dst, err := net.ResolveUDPAddr("udp", to); err == nil {
				_, _ = pc.WriteTo(packet, dst) // gossip bears the loss of packets
			}
		})
	}
}
