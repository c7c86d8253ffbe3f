package main

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/go-hclog"
)

// A CA that is replaced shuts its clients out of the API without a restart, and
// files that do not fit together change nothing.
func TestAPICertificatesAreReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := groupDir(t, goodCert())
		next := groupDir(t, goodCert())
		c, err := openAPICredentials(
			TLSConfig{CA: filepath.Join(dir, "ca.pem"), Cert: filepath.Join(dir, "node.pem"), Key: filepath.Join(dir, "node-key.pem")}, hclog.NewNullLogger())
		if err != nil {
			t.Fatal(err)
		}
		former, present := leaf(t, dir), leaf(t, next)
		expect := func(when string, wantFormer, wantPresent bool) {
			t.Helper()
			time.Sleep(2 * apiRereadAfter) // fake time
			if got := c.admits(former); got != wantFormer {
				t.Errorf("%s: the former CA's client admitted: %v, want %v", when, got, wantFormer)
			}
			if got := c.admits(present); got != wantPresent {
				t.Errorf("%s: the new CA's client admitted: %v, want %v", when, got, wantPresent)
			}
		}
		expect("at first", true, false)
		copyFile(t, next, dir, "ca.pem")
		copyFile(t, next, dir, "node.pem")
		expect("the key is still the old one", true, false)
		copyFile(t, next, dir, "node-key.pem")
		expect("replaced", false, true)
	})
}

// leaf is the certificate of a folder.
func leaf(t *testing.T, dir string) *x509.Certificate {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "node.pem"), filepath.Join(dir, "node-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return pair.Leaf
}

func copyFile(t *testing.T, from, to, name string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(from, name))
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, to, name, string(b))
}

// admits reports whether the API takes a client's certificate now, and shows one of the same CA.
func (c *apiCredentials) admits(client *x509.Certificate) bool {
	conf, err := c.forClient(nil)
	if err != nil || conf.ClientAuth != tls.VerifyClientCertIfGiven {
		return false
	}
	for _, cert := range []*x509.Certificate{client, conf.Certificates[0].Leaf} {
		if _, err := cert.Verify(x509.VerifyOptions{Roots: conf.ClientCAs, CurrentTime: checkTime, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
			return false
		}
	}
	return true
}
