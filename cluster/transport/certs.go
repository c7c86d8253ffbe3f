package transport

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	maxName = 63 // bytes of a node name, as of a DNS label

	caLife   = 10 * 365 * 24 * time.Hour
	nodeLife = 365 * 24 * time.Hour
	backdate = time.Hour // clocks of other members may be behind
)

// CA signs node certificates.
type CA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// Pair is a certificate and its key, PEM-encoded.
type Pair struct{ Cert, Key []byte }

// Issue says what a node certificate holds.
type Issue struct {
	Node  string        // the member's name; common name and DNS name
	Hosts []string      // further DNS names or IPs, for other uses of the certificate (HTTPS); members ignore them
	Life  time.Duration // zero: one year, but never longer than the CA
}

// NewCA creates a CA (ECDSA P-256, ten years). The name is for people.
func NewCA(name string) (*CA, error) { return newCA(name, caLife) }

func newCA(name string, life time.Duration) (*CA, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template, err := template(name, life)
	if err != nil {
		return nil, err
	}
	template.IsCA = true
	template.MaxPathLenZero = true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("create CA %s: %w", name, err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &CA{cert: cert, key: key, pem: pemCert(der)}, nil
}

// LoadCA reads a CA's certificate and key file.
func LoadCA(certFile, keyFile string) (*CA, error) {
	certPEM, err := readFile(certFile)
	if err != nil {
		return nil, err
	}
	keyPEM, err := readFile(keyFile)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(certPEM)
	if block == nil {
		return nil, fmt.Errorf("read CA %s: no certificate in it", certFile)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read CA %s: %w", certFile, err)
	}
	if block, _ = pem.Decode(keyPEM); block == nil {
		return nil, fmt.Errorf("read CA key %s: no key in it", keyFile)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("read CA key %s: %w", keyFile, err)
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(cert.PublicKey) || !cert.IsCA {
		return nil, fmt.Errorf("%s and %s are not the two halves of a CA", certFile, keyFile)
	}
	return &CA{cert: cert, key: key, pem: pemCert(cert.Raw)}, nil
}

// Pair returns the CA's certificate and key. The key belongs on no member.
func (ca *CA) Pair() (Pair, error) {
	key, err := pemKey(ca.key)
	return Pair{Cert: ca.pem, Key: key}, err
}

// Issue creates a key and a certificate for a member.
func (ca *CA) Issue(i Issue) (Pair, error) {
	if err := ValidName(i.Node); err != nil {
		return Pair{}, err
	}
	if i.Life <= 0 {
		i.Life = nodeLife
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Pair{}, err
	}
	template, err := template(i.Node, i.Life)
	if err != nil {
		return Pair{}, err
	}
	if template.NotAfter.After(ca.cert.NotAfter) {
		template.NotAfter = ca.cert.NotAfter
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	template.DNSNames = []string{i.Node}
	for _, host := range i.Hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if host != i.Node {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, key.Public(), ca.key)
	if err != nil {
		return Pair{}, fmt.Errorf("issue certificate for %s: %w", i.Node, err)
	}
	keyPEM, err := pemKey(key)
	return Pair{Cert: pemCert(der), Key: keyPEM}, err
}

// ValidName reports why a string cannot be a node's name: 1 to 63 letters, digits, '-', '_' and '.', beginning with a
// letter or digit.
func ValidName(name string) error {
	if name == "" || len(name) > maxName {
		return fmt.Errorf("node name %.70q: want 1 to %d characters", name, maxName)
	}
	for i, r := range []byte(name) {
		alnum := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !alnum && (i == 0 || r != '-' && r != '_' && r != '.') {
			return fmt.Errorf("node name %q: want letters, digits, '-', '_' and '.'", name)
		}
	}
	return nil
}

func template(name string, life time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	return &x509.Certificate{
		SerialNumber:          serial,
		Subject:               pkix.Name{Organization: []string{"thinrelay"}, CommonName: name},
		NotBefore:             now.Add(-backdate),
		NotAfter:              now.Add(life),
		BasicConstraintsValid: true,
	}, nil
}

func pemCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func pemKey(key *ecdsa.PrivateKey) ([]byte, error) {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// Write writes a pair to two files, the key readable by its owner only. It overwrites nothing: the error then wraps
// os.ErrExist, and neither file has changed.
func (p Pair) Write(certFile, keyFile string) error {
	if err := create(keyFile, p.Key, 0o600); err != nil {
		return err
	}
	if err := create(certFile, p.Cert, 0o644); err != nil {
		return errors.Join(err, os.Remove(keyFile))
	}
	return nil
}

func create(path string, data []byte, mode os.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(path))
	}
	return nil
}

// Files are the paths a member's Config needs.
type Files struct{ CA, Cert, Key string }

// FilesOf returns the paths of a node's files in a directory: ca.pem, <node>.pem and <node>-key.pem.
func FilesOf(dir, node string) Files {
	return Files{
		CA:   filepath.Join(dir, "ca.pem"),
		Cert: filepath.Join(dir, node+".pem"),
		Key:  filepath.Join(dir, node+"-key.pem"),
	}
}

// WriteSet makes a CA and a certificate for each node in a directory, for tests and the demo: ca.pem, ca-key.pem and
// FilesOf each node.
func WriteSet(dir string, nodes ...string) (*CA, error) {
	ca, err := NewCA("thinrelay")
	if err != nil {
		return nil, err
	}
	pair, err := ca.Pair()
	if err != nil {
		return nil, err
	}
	if err := pair.Write(filepath.Join(dir, "ca.pem"), filepath.Join(dir, "ca-key.pem")); err != nil {
		return nil, err
	}
	for _, node := range nodes {
		pair, err := ca.Issue(Issue{Node: node})
		if err != nil {
			return nil, err
		}
		files := FilesOf(dir, node)
		if err := pair.Write(files.Cert, files.Key); err != nil {
			return nil, err
		}
	}
	return ca, nil
}
