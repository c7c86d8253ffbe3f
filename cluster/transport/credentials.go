package transport

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

const maxPEM = 1 << 20 // bytes of a certificate file

// Certificate describes the certificate in use.
type Certificate struct {
	Name      string    // the member's name in it
	NotBefore time.Time // valid from
	NotAfter  time.Time // valid until
	CAUntil   time.Time // when the CA that signed it ends
}

// material is one consistent set of files.
type material struct {
	stamp  [sha256.Size]byte
	roots  *x509.CertPool
	server *tls.Config
	client *tls.Config
	info   Certificate
}

// credentials keeps the last set of certificate files that worked.
type credentials struct {
	cfg Config
	log hclog.Logger
	use atomic.Pointer[material]

	mu     sync.Mutex // held by whoever looks at the files; handshakes do not wait for it
	looked time.Time
	failed [sha256.Size]byte // the last contents (or error) that did not work
	warned time.Time
}

func openCredentials(cfg Config) (*credentials, error) {
	c := &credentials{cfg: cfg, log: cfg.Logger, looked: time.Now()}
	m, _, err := c.read()
	if err != nil {
		return nil, err
	}
	c.use.Store(m)
	c.warn(m)
	return c, nil
}

func (c *credentials) current() *material { return c.use.Load() }

// refresh is current after a look at the files, if the last one is a second old.
func (c *credentials) refresh() *material {
	if !c.mu.TryLock() {
		return c.current()
	}
	defer c.mu.Unlock()
	now := time.Now()
	old := c.current()
	if now.Sub(c.looked) < reloadInterval {
		return old
	}
	c.looked = now
	m, stamp, err := c.read()
	switch {
	case err != nil && stamp != c.failed:
		c.failed = stamp
		c.log.Error("new certificate files do not work, keeping the old ones", "error", err, "valid_until", old.info.NotAfter)
	case err != nil:
	case m.stamp != old.stamp:
		c.use.Store(m)
		c.log.Info("certificates read again", "name", m.info.Name, "valid_until", m.info.NotAfter)
	}
	if err == nil {
		c.failed = [sha256.Size]byte{}
	}
	m = c.current()
	c.warn(m)
	return m
}

// warn tells once a day that the certificate ends soon.
func (c *credentials) warn(m *material) {
	now := time.Now()
	until := m.info.NotAfter
	if m.info.CAUntil.Before(until) {
		until = m.info.CAUntil
	}
	if until.Sub(now) > expiryWarning || !c.warned.IsZero() && now.Sub(c.warned) < 24*time.Hour {
		return
	}
	c.warned = now
	c.log.Warn("certificate ends soon: renew it with relayctl certs issue, no restart is needed", "name", m.info.Name, "valid_until", until)
}

// read loads and checks the files. The stamp stands for what was found there, also when it does not work.
func (c *credentials) read() (*material, [sha256.Size]byte, error) {
	hash := sha256.New()
	var files [3][]byte
	var errs []error
	for i, path := range []string{c.cfg.CA, c.cfg.Cert, c.cfg.Key} {
		data, err := readFile(path)
		if err != nil {
			errs = append(errs, err)
			fmt.Fprintf(hash, "error %v", err)
		}
		files[i] = data
		fmt.Fprintf(hash, "%d:%d:", i, len(data))
		hash.Write(data)
	}
	stamp := [sha256.Size]byte(hash.Sum(nil))
	if err := errors.Join(errs...); err != nil {
		return nil, stamp, err
	}
	if old := c.use.Load(); old != nil && old.stamp == stamp {
		return old, stamp, nil
	}
	m, err := c.parse(files[0], files[1], files[2])
	if err != nil {
		return nil, stamp, err
	}
	m.stamp = stamp
	return m, stamp, nil
}

func (c *credentials) parse(ca, cert, key []byte) (*material, error) {
	roots, until, err := parseRoots(ca)
	if err != nil {
		return nil, fmt.Errorf("read CA %s: %w", c.cfg.CA, err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("read certificate %s with key %s: %w", c.cfg.Cert, c.cfg.Key, err)
	}
	chain := make([]*x509.Certificate, 0, len(pair.Certificate))
	for _, der := range pair.Certificate {
		parsed, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, fmt.Errorf("read certificate %s: %w", c.cfg.Cert, err)
		}
		chain = append(chain, parsed)
	}
	// What the others would refuse is refused here, with a better message.
	name, err := verify(chain, roots, time.Now())
	if err != nil {
		return nil, fmt.Errorf("check certificate %s against CA %s: %w", c.cfg.Cert, c.cfg.CA, err)
	}
	if name != c.cfg.Node {
		return nil, fmt.Errorf("certificate %s is for %q, this node is %q: %w", c.cfg.Cert, name, c.cfg.Node, ErrWrongMember)
	}
	return &material{
		roots: roots,
		server: &tls.Config{
			MinVersion:             tls.VersionTLS13,
			Certificates:           []tls.Certificate{pair},
			ClientAuth:             tls.RequireAnyClientCert, // identify checks it: the same rule for both sides
			NextProtos:             []string{ProtoRaft, ProtoLink},
			SessionTicketsDisabled: true, // a resumed session would skip the look at who is allowed
		},
		client: &tls.Config{
			MinVersion:         tls.VersionTLS13,
			Certificates:       []tls.Certificate{pair},
			InsecureSkipVerify: true, //nolint:gosec // host names mean nothing here: identify checks chain and member name
		},
		info: Certificate{Name: name, NotBefore: chain[0].NotBefore, NotAfter: chain[0].NotAfter, CAUntil: until},
	}, nil
}

// parseRoots reads one or more CA certificates, and when the last of them ends.
func parseRoots(data []byte) (*x509.CertPool, time.Time, error) {
	roots := x509.NewCertPool()
	var until time.Time
	for {
		var block *pem.Block
		block, data = pem.Decode(data)
		if block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, until, err
		}
		if !ca.IsCA {
			return nil, until, fmt.Errorf("%q is no CA certificate", ca.Subject.CommonName)
		}
		roots.AddCert(ca)
		if ca.NotAfter.After(until) {
			until = ca.NotAfter
		}
	}
	if until.IsZero() {
		return nil, until, errors.New("no certificate in it")
	}
	return roots, until, nil
}

func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxPEM {
		return nil, fmt.Errorf("%s: larger than %d bytes", path, maxPEM)
	}
	return data, nil
}
