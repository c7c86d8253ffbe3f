package transport_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/thinrelay/thinrelay/cluster/transport"
)

// foreignPair is a certificate of the same CA that another tool has issued.
func foreignPair(t *testing.T, c *cluster, cn string, dns []string, uses ...x509.ExtKeyUsage) transport.Pair {
	t.Helper()
	caPair, err := c.ca.Pair()
	if err != nil {
		t.Fatal(err)
	}
	caBlock, _ := pem.Decode(caPair.Cert)
	keyBlock, _ := pem.Decode(caPair.Key)
	ca, err := x509.ParseCertificate(caBlock.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	caKey, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(7),
		Subject:      pkix.Name{CommonName: cn},
		DNSNames:     dns,
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		ExtKeyUsage:  uses,
	}, ca, key.Public(), caKey)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return transport.Pair{
		Cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		Key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}
}

func TestWriteOverwritesNothing(t *testing.T) {
	dir := t.TempDir()
	if _, err := transport.WriteSet(dir, "a"); err != nil {
		t.Fatal(err)
	}
	files := transport.FilesOf(dir, "a")
	for _, path := range []string{files.Key, filepath.Join(dir, "ca-key.pem")} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := info.Mode().Perm(), os.FileMode(0o600); got != want {
			t.Errorf("%s has mode %v, want %v", path, got, want)
		}
	}
	before, err := os.ReadFile(files.Cert)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := transport.WriteSet(dir, "a"); !errors.Is(err, os.ErrExist) {
		t.Fatalf("second set: %v, want os.ErrExist", err)
	}
	ca, err := transport.LoadCA(files.CA, filepath.Join(dir, "ca-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	pair := issue(t, ca, transport.Issue{Node: "a"})
	// Only the certificate is there: the key must not stay behind alone.
	if err := os.Remove(files.Key); err != nil {
		t.Fatal(err)
	}
	if err := pair.Write(files.Cert, files.Key); !errors.Is(err, os.ErrExist) {
		t.Fatalf("write over a certificate: %v, want os.ErrExist", err)
	}
	if _, err := os.Stat(files.Key); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("the key of a certificate that was not written: %v", err)
	}
	if after, err := os.ReadFile(files.Cert); err != nil || string(after) != string(before) {
		t.Fatalf("the certificate has changed (%v)", err)
	}
}

func TestLoadCARefusesHalves(t *testing.T) {
	dir := t.TempDir()
	if _, err := transport.WriteSet(dir, "a", "b"); err != nil {
		t.Fatal(err)
	}
	a := transport.FilesOf(dir, "a")
	for _, files := range [][2]string{{a.CA, a.Key}, {a.Cert, a.Key}, {a.Key, a.CA}, {a.CA, "absent"}} {
		if _, err := transport.LoadCA(files[0], files[1]); err == nil {
			t.Errorf("LoadCA(%s, %s) worked", files[0], files[1])
		}
	}
}

func TestIssueNeverOutlivesTheCA(t *testing.T) {
	ca, err := transport.NewCA("x")
	if err != nil {
		t.Fatal(err)
	}
	pair := issue(t, ca, transport.Issue{Node: "a", Hosts: []string{"relay.example", "10.0.0.1"}, Life: 100 * 365 * 24 * time.Hour})
	caPair, err := ca.Pair()
	if err != nil {
		t.Fatal(err)
	}
	leaf, root := parse(t, pair.Cert), parse(t, caPair.Cert)
	if leaf.NotAfter.After(root.NotAfter) {
		t.Errorf("certificate until %v, CA until %v", leaf.NotAfter, root.NotAfter)
	}
	if got, want := strings.Join(leaf.DNSNames, " "), "a relay.example"; got != want {
		t.Errorf("DNS names %s, want %s", got, want)
	}
	if got, want := leaf.IPAddresses[0].String(), "10.0.0.1"; got != want {
		t.Errorf("IP %s, want %s", got, want)
	}
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"eu-1": true, "a": true, "Relay_2.eu": true, strings.Repeat("x", 63): true,
		"": false, "-a": false, "a b": false, "*.eu": false, "ü": false, "a\n": false, strings.Repeat("x", 64): false,
	} {
		if got := transport.ValidName(name) == nil; got != want {
			t.Errorf("ValidName(%q) = %v, want %v", name, got, want)
		}
	}
}

func parse(t *testing.T, data []byte) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(data)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

func TestForeignCertificates(t *testing.T) {
	both := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	tests := []struct {
		name string
		cn   string
		dns  []string
		want error
	}{
		{"no common name", "", []string{"b"}, nil},
		{"common name for people", "Relay in Frankfurt", []string{"b"}, nil},
		{"common name only", "b", nil, transport.ErrBadName},
		{"common name is no DNS name", "b", []string{"x", "y"}, transport.ErrBadName},
		{"which of them", "", []string{"b", "a"}, transport.ErrBadName},
		{"wildcard", "*", []string{"*"}, transport.ErrWrongMember},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newCluster(t, "a", "b")
			replace(t, transport.FilesOf(c.dir, "b"), foreignPair(t, c, tt.cn, tt.dns, both...))
			cfg := c.config("b")
			ln, err := c.net.Host("b").Listen("b:8300")
			if err != nil {
				t.Fatal(err)
			}
			cfg.Listener = ln
			tr, err := transport.Open(cfg)
			if err == nil {
				tr.Close()
			}
			if !errors.Is(err, tt.want) {
				t.Fatalf("open: %v, want %v", err, tt.want)
			}
		})
	}
}
