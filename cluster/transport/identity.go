package transport

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"
)

var (
	// ErrNotMember is returned when a certificate of our CA names nobody whom Config.Allowed accepts.
	ErrNotMember = errors.New("the certificate's name is not a member's")

	// ErrWrongMember is returned when another member answers than the one dialled.
	ErrWrongMember = errors.New("another member answered")

	// ErrSelf is returned when the other side shows our own name.
	ErrSelf = errors.New("the certificate has our own name")

	// ErrBadName is returned for a certificate from which no single member name follows.
	ErrBadName = errors.New("the certificate has no member name")

	// ErrUsage is returned for a certificate that is not made for both sides of a connection, such as an operator's.
	ErrUsage = errors.New("the certificate is not for a member")

	// ErrNoProtocol is returned when the other side asks for neither Raft nor link.
	ErrNoProtocol = errors.New("no known application protocol")

	errNoCertificate = errors.New("no certificate")
)

// identify is the whole check of the other side: chain, validity, usage and name. want is the member dialled, or empty.
func (t *Transport) identify(state tls.ConnectionState, roots *x509.CertPool, want string) (string, error) {
	name, err := verify(state.PeerCertificates, roots, time.Now())
	switch {
	case err != nil:
		return "", err
	case name == t.cfg.Node:
		return "", fmt.Errorf("%w: %q", ErrSelf, name)
	case want != "" && name != want:
		return "", fmt.Errorf("%w: %q, want %q", ErrWrongMember, name, want)
	case !t.cfg.Allowed(name):
		return "", fmt.Errorf("%w: %q", ErrNotMember, name)
	}
	return name, nil
}

// verify checks a chain (leaf first) against our CA and returns the member's name. It compares names exactly: they are
// identifiers, not host names, and have no wildcards.
func verify(chain []*x509.Certificate, roots *x509.CertPool, now time.Time) (string, error) {
	if len(chain) == 0 {
		return "", errNoCertificate
	}
	leaf := chain[0]
	intermediates := x509.NewCertPool()
	for _, c := range chain[1:] {
		intermediates.AddCert(c)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{
		Roots:         roots,
		Intermediates: intermediates,
		CurrentTime:   now,
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	}); err != nil {
		return "", err
	}
	for _, use := range []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth} {
		if !slices.Contains(leaf.ExtKeyUsage, use) && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny) {
			return "", fmt.Errorf("%w: it needs the server and the client usage", ErrUsage)
		}
	}
	return nameOf(leaf)
}

// nameOf is the member name of a certificate: its common name if that is among the DNS names, else its only DNS name.
func nameOf(leaf *x509.Certificate) (string, error) {
	if cn := leaf.Subject.CommonName; cn != "" && slices.Contains(leaf.DNSNames, cn) {
		return cn, nil
	}
	if len(leaf.DNSNames) == 1 {
		return leaf.DNSNames[0], nil
	}
	return "", fmt.Errorf("%w: want the node's name as the only DNS name, or as common name and DNS name", ErrBadName)
}
