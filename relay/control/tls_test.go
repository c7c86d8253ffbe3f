package control_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
)

// TestClientCertificate tells a verified certificate from any other over real
// TLS. The relay's own address is used, so the Host is made foreign: loopback
// alone must not do.
func TestClientCertificate(t *testing.T) {
	ca, caKey := certificate(t, "ca", nil, nil)
	other, otherKey := certificate(t, "other ca", nil, nil)
	server := keyPair(t, "relay.test", ca, caKey)
	pool := x509.NewCertPool()
	pool.AddCert(ca)

	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- control.New(control.Config{Node: newFakeNode()}).Run(ctx, tls.NewListener(ln, &tls.Config{
			Certificates: []tls.Certificate{server}, ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven, MinVersion: tls.VersionTLS13,
			NextProtos: []string{"http/1.1"},
		}))
	}()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	}()

	// A relay that answers with a certificate that the client does not trust is there: nobody is sent to look whether it runs.
	stranger, err := control.NewClient(control.ClientConfig{Addr: "https://" + ln.Addr().String()})
	if err != nil {
		t.Fatal(err)
	}
	var untrusted *control.Error
	if _, err := stranger.Status(t.Context()); !errors.As(err, &untrusted) || untrusted.Code != control.CodeUnreachable ||
		!strings.Contains(untrusted.Remedy, "--tls-ca") || strings.Contains(untrusted.Remedy, "relayd runs") {
		t.Errorf("without its CA: got %v, want what to do about certificates", err)
	}

	for name, test := range map[string]struct {
		certs []tls.Certificate
		want  control.Code // empty: allowed
	}{
		"ours":    {[]tls.Certificate{keyPair(t, "operator", ca, caKey)}, ""},
		"none":    {nil, control.CodeForbidden},
		"foreign": {[]tls.Certificate{keyPair(t, "operator", other, otherKey)}, control.CodeUnreachable},
	} {
		transport := &http.Transport{
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", ln.Addr().String())
			},
			TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if len(test.certs) == 0 {
					return &tls.Certificate{}, nil
				}
				return &test.certs[0], nil // even where the server would not take it
			}},
		}
		c, err := control.NewClient(control.ClientConfig{Addr: "https://relay.test", Transport: transport})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.StepDown(t.Context(), control.StepDownRequest{Now: true})
		var e *control.Error
		if test.want == "" && err != nil || test.want != "" && (!errors.As(err, &e) || e.Code != test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		transport.CloseIdleConnections()
	}
}

func certificate(t *testing.T, name string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if parent == nil {
		template.IsCA, template.KeyUsage = true, x509.KeyUsageCertSign
		template.ExtKeyUsage, template.DNSNames = nil, nil
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func keyPair(t *testing.T, name string, ca *x509.Certificate, caKey *ecdsa.PrivateKey) tls.Certificate {
	t.Helper()
	cert, key := certificate(t, name, ca, caKey)
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}
