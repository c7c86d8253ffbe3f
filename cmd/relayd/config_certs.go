package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// certWarning is how long before its end a certificate is worth a warning.
const certWarning = 30 * 24 * time.Hour

// member checks cluster.tls: the certificate fits its key, the group's authority issued it, it names this node, and it holds.
func (k *checker) member(files TLSConfig, node string) {
	pair, ok := k.pair("cluster.tls", files)
	if !ok {
		return
	}
	roots, ok := k.authorities("cluster.tls.ca", files.CA, k.fail)
	if !ok {
		return
	}
	reissue := fmt.Sprintf("issue it again with relayctl certs issue %s", node)
	if err := k.chain(pair, roots); err != nil {
		k.fail("cluster.tls.cert", "%s is not accepted by the group: %v; %s", files.Cert, err, reissue)
		return
	}
	// A member dials and is dialled with the same certificate.
	for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if !slices.Contains(pair.Leaf.ExtKeyUsage, use) && !slices.Contains(pair.Leaf.ExtKeyUsage, x509.ExtKeyUsageAny) {
			k.fail("cluster.tls.cert", "%s is not for both ends of a connection (server and client usage); %s", files.Cert, reissue)
			return
		}
	}
	// The other members read the node's name as package transport does.
	names := pair.Leaf.DNSNames
	if cn := pair.Leaf.Subject.CommonName; slices.Contains(names, cn) {
		names = []string{cn}
	}
	if !slices.Equal(names, []string{node}) {
		if len(names) == 0 {
			names = []string{"no name"}
		}
		k.fail("cluster.tls.cert", "%s is for %s, not for this node, %s; name the right file or %s", files.Cert, strings.Join(names, ", "), node, reissue)
		return
	}
	k.dates("cluster.tls.cert", files.Cert, pair.Leaf, k.fail, reissue)
}

// serving checks http.tls. relayd starts with certificates that do not hold now, and serves blocks: no reason to keep it down.
func (k *checker) serving(files TLSConfig) {
	if files == (TLSConfig{}) {
		return
	}
	if pair, ok := k.pair("http.tls", files); ok {
		k.dates("http.tls.cert", files.Cert, pair.Leaf, k.warn, "replace it")
	}
	if files.CA != "" {
		k.authorities("http.tls.ca", files.CA, k.warn)
	}
}

// pair loads a certificate and its key. Files that cannot be opened are reported elsewhere.
func (k *checker) pair(what string, files TLSConfig) (tls.Certificate, bool) {
	pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
	if path := (*fs.PathError)(nil); err != nil && !errors.As(err, &path) {
		k.fail(what, "%s with %s: %v; name the two files of one certificate", files.Cert, files.Key, err)
	}
	return pair, err == nil
}

// report is how something is said: as a failure or as a warning.
type report func(what, format string, args ...any)

// authorities reads the certificates of an authority and checks their dates. One that does not hold beside one that does is what
// is left of a change of authority, or its beginning.
func (k *checker) authorities(what, path string, bad report) ([]*x509.Certificate, bool) {
	rest, err := os.ReadFile(path)
	if err != nil {
		return nil, false // reported with the files
	}
	var roots []*x509.Certificate
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			k.fail(what, "%s: %v; name the file that relayctl certs init made", path, err)
			return nil, false
		}
		if !cert.IsCA {
			k.fail(what, "%s holds the certificate %q, which is no authority; name the file that relayctl certs init made", path, cert.Subject.CommonName)
			return nil, false
		}
		roots = append(roots, cert)
	}
	if len(roots) == 0 {
		k.fail(what, "%s holds no certificate; name the file that relayctl certs init made", path)
	}
	for _, cert := range roots {
		if !k.holds(cert) && slices.ContainsFunc(roots, k.holds) {
			k.dates(what, path+" also has an authority that", cert, k.warn, "take it out of the file")
			continue
		}
		k.dates(what, path, cert, bad, "make a new one with relayctl certs init and give it to every node")
	}
	return roots, len(roots) > 0
}

// chain verifies that one of the roots issued the certificate. Dates are checked apart, in words of their own.
func (k *checker) chain(pair tls.Certificate, roots []*x509.Certificate) error {
	options := x509.VerifyOptions{Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}, CurrentTime: k.now}
	if k.now.Before(pair.Leaf.NotBefore) {
		options.CurrentTime = pair.Leaf.NotBefore
	} else if k.now.After(pair.Leaf.NotAfter) {
		options.CurrentTime = pair.Leaf.NotAfter
	}
	for _, root := range roots {
		options.Roots.AddCert(root)
	}
	for _, der := range pair.Certificate[1:] {
		cert, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		options.Intermediates.AddCert(cert)
	}
	_, err := pair.Leaf.Verify(options)
	return err
}

// holds reports whether a certificate is valid now.
func (k *checker) holds(cert *x509.Certificate) bool {
	return !k.now.Before(cert.NotBefore) && k.now.Before(cert.NotAfter)
}

// dates checks when a certificate holds. bad is how it is said that it does not now.
func (k *checker) dates(what, path string, cert *x509.Certificate, bad report, remedy string) {
	end := cert.NotAfter.UTC().Format(time.DateOnly)
	switch left := cert.NotAfter.Sub(k.now); {
	case k.now.Before(cert.NotBefore):
		bad(what, "%s holds from %s UTC only; set this host's clock or %s", path, cert.NotBefore.UTC().Format(time.DateTime), remedy)
	case left <= 0:
		bad(what, "%s ended on %s; %s", path, end, remedy)
	case left < certWarning:
		k.warn(what, "%s ends on %s; %s", path, end, remedy)
	default:
		k.ok(what, "%s holds until %s", path, end)
	}
}
