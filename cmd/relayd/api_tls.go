package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"
)

// apiRereadAfter is how old the API's certificate files may be when a client comes.
const apiRereadAfter = time.Second

// listenAPI opens the API's listener, with TLS where it is configured.
func listenAPI(cfg Config, log hclog.Logger) (net.Listener, error) {
	if cfg.HTTP.Listen == "" {
		return nil, nil
	}
	ln, err := net.Listen("tcp", cfg.HTTP.Listen)
	if err != nil || cfg.HTTP.TLS == (TLSConfig{}) {
		return ln, err
	}
	c, err := openAPICredentials(cfg.HTTP.TLS, log)
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return tls.NewListener(ln, &tls.Config{MinVersion: tls.VersionTLS12, GetConfigForClient: c.forClient}), nil
}

// apiCredentials are the API's certificate files: as they are now or, while those
// do not work, as they were when they last did.
type apiCredentials struct {
	files TLSConfig
	log   hclog.Logger

	use atomic.Pointer[tls.Config]

	mu     sync.Mutex // held by whoever looks at the files; other clients do not wait for it
	looked time.Time
	failed string // the error that was told
}

func openAPICredentials(files TLSConfig, log hclog.Logger) (*apiCredentials, error) {
	c := &apiCredentials{files: files, log: log}
	conf, err := c.read()
	c.use.Store(conf)
	return c, err
}

// forClient is the configuration for a client that connects now.
func (c *apiCredentials) forClient(*tls.ClientHelloInfo) (*tls.Config, error) {
	if !c.mu.TryLock() {
		return c.use.Load(), nil
	}
	defer c.mu.Unlock()
	now := time.Now()
	if now.Sub(c.looked) < apiRereadAfter {
		return c.use.Load(), nil
	}
	c.looked = now
	conf, err := c.read()
	switch {
	case err == nil:
		c.use.Store(conf)
		c.failed = ""
	case err.Error() != c.failed:
		c.failed = err.Error()
		c.log.Error("the API's new certificate files do not work, keeping the old ones", "error", err)
	}
	return c.use.Load(), nil
}

// read reads the files: with a CA, client certificates are asked for, and those
// that show one may change state.
func (c *apiCredentials) read() (*tls.Config, error) {
	var pem [3][]byte
	for i, path := range []string{c.files.Cert, c.files.Key, c.files.CA} {
		if path == "" {
			continue
		}
		var err error
		if pem[i], err = os.ReadFile(path); err != nil {
			return nil, fmt.Errorf("http.tls: %w", err)
		}
	}
	pair, err := tls.X509KeyPair(pem[0], pem[1])
	if err != nil {
		return nil, fmt.Errorf("http.tls: %w", err)
	}
	// No tickets: a resumed session would outlive the CA that let it in.
	conf := &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, SessionTicketsDisabled: true}
	if c.files.CA != "" {
		conf.ClientCAs = x509.NewCertPool()
		if !conf.ClientCAs.AppendCertsFromPEM(pem[2]) {
			return nil, fmt.Errorf("http.tls.ca: no certificate in %s", c.files.CA)
		}
		conf.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return conf, nil
}
