package transport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
)

var (
	errEvicted   = errors.New("too many unfinished handshakes")
	errNotServed = errors.New("nobody accepts this protocol now")
)

// refuse counts a refused connection and tells the operator, once a minute for each source and reason.
func (t *Transport) refuse(source string, state tls.ConnectionState, err error) {
	if t.ctx.Err() != nil {
		return
	}
	reason, hint := explain(err)
	t.mu.Lock()
	t.refused[reason]++
	t.mu.Unlock()
	ok, skipped := t.quiet.Allow(source + " " + reason)
	if !ok {
		return
	}
	args := []any{"from", source, "reason", reason, "hint", hint, "error", err}
	if name := claimed(state); name != "" {
		args = append(args, "claims", name)
	}
	if skipped > 0 {
		args = append(args, "more", skipped)
	}
	t.log.Warn("refused a connection to the cluster port", args...)
}

// claimed is the name in the certificate the peer has shown, whether or not it is worth anything.
func claimed(state tls.ConnectionState) string {
	if len(state.PeerCertificates) == 0 {
		return ""
	}
	name := state.PeerCertificates[0].Subject.CommonName
	if len(name) > maxName {
		name = name[:maxName]
	}
	return strings.ToValidUTF8(name, "?")
}

// explain gives the reason (few, constant: metrics and the log use it) and what to do about it.
func explain(err error) (reason, hint string) {
	var header tls.RecordHeaderError
	var authority x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.Is(err, errEvicted):
		return "flood", "something opens connections without finishing them: check who may reach this port"
	case errors.Is(err, errNotServed):
		return "not_served", "this member is starting or stopping"
	case errors.As(err, &header):
		return "not_tls", "this port speaks TLS between members only: a health check or a wrong port number?"
	case errors.Is(err, ErrNoProtocol):
		return "no_protocol", "the other side is no relayd, or a much older one"
	case errors.Is(err, ErrSelf):
		return "own_name", "another host uses this member's certificate: each member needs its own"
	case errors.Is(err, ErrNotMember), errors.Is(err, ErrWrongMember):
		return "wrong_name", "the certificate is ours, its name is not a member's: check node and cluster.tls.cert there"
	case errors.Is(err, ErrBadName), errors.Is(err, ErrUsage):
		return "bad_certificate", "issue the certificate with relayctl certs issue"
	case errors.As(err, &authority):
		return "wrong_ca", "the certificate is signed by another CA: all members need the same cluster.tls.ca"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "expired", "renew the certificate with relayctl certs issue, or check the clocks"
	case errors.As(err, &invalid):
		return "bad_certificate", "issue the certificate with relayctl certs issue"
	case errors.Is(err, errNoCertificate), strings.Contains(err.Error(), "didn't provide a certificate"):
		return "no_certificate", "only members with a certificate of our CA may connect"
	case strings.Contains(err.Error(), "unsupported application protocols"):
		return "no_protocol", "the other side is no relayd, or a much older one"
	case strings.Contains(err.Error(), "unsupported versions"), strings.Contains(err.Error(), "protocol version"):
		return "old_tls", "only TLS 1.3 is spoken here"
	case isAlert(err):
		return "they_refused", "the other side does not accept our certificate: compare cluster.tls.ca on both"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return "timeout", "it connected and said nothing: a port scan or a health check?"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, net.ErrClosed):
		return "hung_up", "it closed before the handshake ended: a health check, or it refused our certificate"
	default:
		return "handshake", "see the error"
	}
}
