package ctl

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"

	"github.com/hashicorp/raft"

	"github.com/thinrelay/thinrelay/cluster/transport"
)

const (
	certWarning = 30 * 24 * time.Hour
	// secondThoughts is how long a member may take to refuse our certificate: with TLS 1.3 that comes after the handshake.
	secondThoughts = time.Second
)

// tryMembers connects to the members' cluster ports, as the member whose certificate was given.
func (p *preflight) tryMembers(ctx context.Context, c *checks) {
	if p.cert == "" {
		each(c, p.peers, func(c *checks, peer peerAddr) {
			if tryPort(ctx, c, "cluster port of "+peer.name, peer.addr) {
				last := &(*c)[len(*c)-1]
				last.Finding += "; whose it is was not checked"
			}
		})
		return
	}
	what := "certificate " + p.cert
	node, err := certName(p.cert)
	if err != nil {
		c.fail(what, "give --cert the NAME.pem that relayctl certs issue wrote", "%v", err)
		return
	}
	names := map[string]string{}
	for _, peer := range p.peers {
		names[peer.addr] = peer.name
	}
	mesh, err := transport.Open(transport.Config{
		Node: node, CA: p.ca, Cert: p.cert, Key: p.key, Advertise: "preflight.invalid:1", Listener: newDeafListener(),
		NameOf: func(addr string) (string, bool) {
			name, ok := names[addr]
			return name, ok
		},
	})
	if err != nil {
		_, next := handshakeProblem(err, node)
		c.fail(what, next, "%v", err)
		return
	}
	defer mesh.Close()
	defer context.AfterFunc(ctx, func() { mesh.Close() })()
	mine := mesh.Certificate()
	dates(c, what, "of "+node, mine.NotAfter, "relayctl certs issue "+node+", and put the files in their place: no restart is needed")
	dates(c, "CA "+p.ca, "", mine.CAUntil, "make a new CA with relayctl certs init and give it to every relay: see the operations guide")
	each(c, p.peers, func(c *checks, peer peerAddr) { tryMember(c, mesh, node, peer) })
}

func tryMember(c *checks, mesh *transport.Transport, node string, peer peerAddr) {
	what := "cluster port of " + peer.name
	if peer.name == node {
		c.warn(what, "name the other members in --peer, or give another member's certificate", "%s is whose certificate was given: a member does not connect to itself", node)
		return
	}
	start := time.Now()
	// Raft's port: a connection that closes without a word is nothing to it.
	conn, err := mesh.Raft().Dial(raft.ServerAddress(peer.addr), probeTimeout)
	elapsed := time.Since(start)
	if err == nil {
		defer conn.Close()
		err = accepted(conn)
	}
	if err != nil {
		finding, next := handshakeProblem(err, peer.name)
		c.fail(what, next, "%s: %s", peer.addr, finding)
		return
	}
	until := time.Time{}
	if secured, ok := conn.(*transport.Conn); ok {
		until = secured.ConnectionState().PeerCertificates[0].NotAfter
	}
	dates(c, what, fmt.Sprintf("%s is %s, handshake %s, certificate", peer.addr, peer.name, took(elapsed)), until,
		"relayctl certs issue "+peer.name+", and put the files in their place there: no restart is needed")
}

// accepted waits for the member to refuse us; silence is consent.
func accepted(conn net.Conn) error {
	if err := conn.SetReadDeadline(time.Now().Add(secondThoughts)); err != nil {
		return err
	}
	_, err := conn.Read(make([]byte, 1))
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil
	}
	return err
}

// handshakeProblem words what came of a handshake with a member, and what to do.
func handshakeProblem(err error, name string) (finding, next string) {
	var op *net.OpError
	var header tls.RecordHeaderError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	reissue := "relayctl certs issue " + name
	switch {
	case errors.Is(err, transport.ErrRefused):
		return "it refuses our certificate", "is --cert one of a member, and cluster.tls.ca the same on both? Its log says why it refused"
	case errors.Is(err, transport.ErrWrongMember):
		return err.Error(), "compare the address with cluster.advertise of " + name + ", and node and cluster.tls.cert there"
	case errors.Is(err, transport.ErrSelf):
		return "the certificate there has our own name", "each member needs a certificate of its own: " + reissue
	case errors.Is(err, transport.ErrBadName), errors.Is(err, transport.ErrUsage):
		return err.Error(), reissue + " makes one that names a member"
	case errors.As(err, &authority):
		return "signed by another CA than --ca", "all members need the same cluster.tls.ca, and certificates of it: " + reissue
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the certificate has ended or not begun", reissue + ", or set the clocks"
	case errors.As(err, &header):
		return "what listens there does not speak TLS", "cluster.listen, 8300 by default, is the port to name"
	case errors.As(err, &op) && op.Op == "dial":
		return "cannot connect: " + unwrapped(err), "is relayd running there? Open its cluster.listen to this host, in both firewalls"
	}
	return err.Error(), "is it the cluster.listen of a running relayd? Its log has the other side of this"
}

// dates judges when a certificate ends.
func dates(c *checks, what, finding string, until time.Time, next string) {
	if finding != "" {
		finding += " "
	}
	end := until.UTC().Format(time.DateOnly)
	switch left := time.Until(until); {
	case left <= 0:
		c.fail(what, next, "%sended on %s", finding, end)
	case left < certWarning:
		c.warn(what, next, "%sends on %s", finding, end)
	default:
		c.ok(what, "%sholds until %s", finding, end)
	}
}

// certName is the member's name in a certificate, by the rule of package transport, which checks the rest.
func certName(path string) (string, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != "CERTIFICATE" {
		return "", errors.New("no certificate in it")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	switch {
	case err != nil:
		return "", err
	case slices.Contains(leaf.DNSNames, leaf.Subject.CommonName):
		return leaf.Subject.CommonName, nil
	case len(leaf.DNSNames) == 1:
		return leaf.DNSNames[0], nil
	}
	return "", errors.New("it names no member")
}

// deafListener is where a transport listens that only dials.
type deafListener struct {
	ctx    context.Context
	cancel context.CancelFunc
}

var _ net.Listener = deafListener{}

func newDeafListener() deafListener {
	ctx, cancel := context.WithCancel(context.Background())
	return deafListener{ctx, cancel}
}

func (l deafListener) Accept() (net.Conn, error) {
	<-l.ctx.Done()
	return nil, net.ErrClosed
}

func (l deafListener) Close() error {
	l.cancel()
	return nil
}

func (l deafListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
