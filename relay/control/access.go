package control

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
)

// access decides who may change state.
type access struct {
	tokenFile string
}

// crossOrigin refuses what a browser says comes from a page of another origin.
var crossOrigin = http.NewCrossOriginProtection()

// allow returns by what right the request may change state: "certificate",
// "token" or "loopback".
//
// A browser on the relay's own host connects from loopback too, so three doors
// are shut to web pages: another origin (Origin, Sec-Fetch-Site), a Host that is
// not loopback where loopback is the right (DNS rebinding), and, in readJSON, any
// content type a form can send. A reverse proxy on the host makes the world look
// like loopback; requests that say they were forwarded need another right.
func (a access) allow(r *http.Request) (string, *Error) {
	if err := crossOrigin.Check(r); err != nil {
		return "", refusal(CodeForbidden, "use relayctl, or a page served by this relay", "cross-origin request")
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return "certificate " + r.TLS.VerifiedChains[0][0].Subject.CommonName, nil
	}
	if header := r.Header.Get("Authorization"); header != "" {
		return a.allowToken(header)
	}
	if !loopbackAddr(r.RemoteAddr) || forwarded(r.Header) {
		remedy := "run relayctl on the relay's host, or give it the relay's token: relayctl --token-file FILE"
		if a.tokenFile == "" {
			remedy = "run relayctl on the relay's host, or set http.token_file in the relay's configuration and give relayctl the same token"
		}
		return "", refusal(CodeUnauthorized, remedy, "changing state needs loopback, a client certificate or the bearer token")
	}
	if !loopbackHost(r.Host) {
		return "", refusal(CodeForbidden, "address the relay as 127.0.0.1 or localhost, or use the bearer token", "loopback request for the foreign host %q", r.Host)
	}
	return "loopback", nil
}

func (a access) allowToken(header string) (string, *Error) {
	scheme, given, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", refusal(CodeUnauthorized, "send Authorization: Bearer TOKEN", "unknown authorization scheme")
	}
	if a.tokenFile == "" {
		return "", refusal(CodeUnauthorized, "set http.token_file in the relay's configuration", "this relay has no token")
	}
	want, err := ReadToken(a.tokenFile)
	if err != nil {
		return "", refusal(CodeInternal, "mend the file that http.token_file names, on the relay's host", "the relay cannot read its token")
	}
	// Hashes make the comparison blind to the length as well.
	g, w := sha256.Sum256([]byte(strings.TrimSpace(given))), sha256.Sum256([]byte(want))
	if subtle.ConstantTimeCompare(g[:], w[:]) != 1 {
		return "", refusal(CodeUnauthorized, "compare the token files of relayctl and the relay", "wrong token")
	}
	return "token", nil
}

// ErrToken is returned for a token file that cannot serve.
var ErrToken = errors.New("the token file is empty or shorter than 16 characters")

// ReadToken reads the bearer token from a file: its content without surrounding
// space.
func ReadToken(path string) (string, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(string(raw))
	if len(token) < 16 {
		return "", &fs.PathError{Op: "read token", Path: path, Err: ErrToken}
	}
	return token, nil
}

func loopbackAddr(remote string) bool {
	ap, err := netip.ParseAddrPort(remote)
	return err == nil && ap.Addr().Unmap().IsLoopback()
}

func loopbackHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

func forwarded(h http.Header) bool {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-Ip", "Via"} {
		if len(h.Values(name)) > 0 {
			return true
		}
	}
	return false
}
