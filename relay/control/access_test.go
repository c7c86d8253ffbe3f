package control_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/thinrelay/thinrelay/relay/control"
)

const token = "a-token-of-decent-length"

// TestAccess tries every way to change state, from everywhere.
func TestAccess(t *testing.T) {
	tokenFile := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(tokenFile, []byte(token+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	type call func(*http.Request)
	header := func(k, v string) call { return func(r *http.Request) { r.Header.Set(k, v) } }
	from := func(addr string) call { return func(r *http.Request) { r.RemoteAddr = addr } }
	host := func(h string) call { return func(r *http.Request) { r.Host = h } }
	certificate := func(r *http.Request) {
		r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{{}}}}
	}
	remote := from("192.0.2.7:4711")

	for name, test := range map[string]struct {
		calls   []call
		noToken bool // the relay has no token file
		want    int
	}{
		"loopback":                            {want: 200},
		"loopback, localhost":                 {calls: []call{host("localhost:9870")}, want: 200},
		"loopback, IPv6":                      {calls: []call{from("[::1]:4711"), host("[::1]:9870")}, want: 200},
		"loopback, IPv4 in IPv6":              {calls: []call{from("[::ffff:127.0.0.1]:4711")}, want: 200},
		"loopback, 127.1.2.3":                 {calls: []call{from("127.1.2.3:4711")}, want: 200},
		"loopback, same origin":               {calls: []call{header("Origin", "http://127.0.0.1:9870"), header("Sec-Fetch-Site", "same-origin")}, want: 200},
		"remote":                              {calls: []call{remote}, want: 401},
		"remote, no token configured":         {calls: []call{remote}, noToken: true, want: 401},
		"remote, private address":             {calls: []call{from("10.0.0.7:4711")}, want: 401},
		"remote, says loopback":               {calls: []call{remote, host("127.0.0.1:9870"), header("X-Forwarded-For", "127.0.0.1")}, want: 401},
		"remote, unreadable address":          {calls: []call{from("@")}, want: 401},
		"remote, token":                       {calls: []call{remote, host("eu-1:9870"), header("Authorization", "Bearer "+token)}, want: 200},
		"remote, token, lower case":           {calls: []call{remote, header("Authorization", "bearer "+token)}, want: 200},
		"remote, wrong token":                 {calls: []call{remote, header("Authorization", "Bearer "+token+"x")}, want: 401},
		"remote, prefix of the token":         {calls: []call{remote, header("Authorization", "Bearer "+token[:16])}, want: 401},
		"remote, empty token":                 {calls: []call{remote, header("Authorization", "Bearer ")}, want: 401},
		"remote, basic":                       {calls: []call{remote, header("Authorization", "Basic "+token)}, want: 401},
		"remote, empty token, none is set":    {calls: []call{remote, header("Authorization", "Bearer ")}, noToken: true, want: 401},
		"loopback, wrong token":               {calls: []call{header("Authorization", "Bearer nonsense-nonsense")}, want: 401},
		"remote, certificate":                 {calls: []call{remote, certificate}, want: 200},
		"remote, certificate not verified":    {calls: []call{remote, func(r *http.Request) { r.TLS = &tls.ConnectionState{} }}, want: 401},
		"through a proxy on the host":         {calls: []call{header("X-Forwarded-For", "192.0.2.7")}, want: 401},
		"through a proxy, RFC 7239":           {calls: []call{header("Forwarded", "for=192.0.2.7")}, want: 401},
		"DNS rebinding":                       {calls: []call{host("evil.example:9870")}, want: 403},
		"DNS rebinding, same origin":          {calls: []call{host("evil.example:9870"), header("Origin", "http://evil.example:9870")}, want: 403},
		"host that begins like loopback":      {calls: []call{host("127.0.0.1.evil.example")}, want: 403},
		"cross-site page":                     {calls: []call{header("Origin", "https://evil.example")}, want: 403},
		"cross-site page, old browser":        {calls: []call{header("Origin", "null")}, want: 403},
		"cross-site fetch metadata":           {calls: []call{header("Sec-Fetch-Site", "cross-site")}, want: 403},
		"another port of this host":           {calls: []call{header("Sec-Fetch-Site", "same-site")}, want: 403},
		"cross-site page with certificate":    {calls: []call{remote, certificate, header("Origin", "https://evil.example")}, want: 403},
		"form: urlencoded":                    {calls: []call{header("Content-Type", "application/x-www-form-urlencoded")}, want: 400},
		"form: text":                          {calls: []call{header("Content-Type", "text/plain")}, want: 400},
		"form: text that ends like JSON":      {calls: []call{header("Content-Type", "text/plain; application/json")}, want: 400},
		"no content type":                     {calls: []call{header("Content-Type", "")}, want: 400},
		"content type with a charset is JSON": {calls: []call{header("Content-Type", "application/json; charset=utf-8")}, want: 200},
	} {
		for path, body := range map[string]string{"/v1/step-down": `{"now":true}`, "/v1/members/remove": `{"name":"us-1"}`} {
			t.Run(name+path, func(t *testing.T) {
				cfg := control.Config{Node: newFakeNode(), TokenFile: tokenFile}
				if test.noToken {
					cfg.TokenFile = ""
				}
				r := httptest.NewRequest("POST", path, strings.NewReader(body))
				r.RemoteAddr, r.Host = "127.0.0.1:4711", "127.0.0.1:9870"
				r.Header.Set("Content-Type", "application/json")
				for _, c := range test.calls {
					c(r)
				}
				w := httptest.NewRecorder()
				control.New(cfg).Handler().ServeHTTP(w, r)
				if got := w.Code; got != test.want {
					t.Fatalf("status %d, want %d: %s", got, test.want, w.Body)
				}
				if w.Code == 200 {
					return
				}
				var e control.Error
				if err := json.Unmarshal(w.Body.Bytes(), &e); err != nil || e.Message == "" || e.Remedy == "" || e.Code == "" {
					t.Errorf("error body %s lacks error, remedy or code", w.Body)
				}
				if strings.Contains(w.Body.String(), token) {
					t.Error("the answer tells the token")
				}
			})
		}
	}
}

func TestAccessDoesNotGuardReads(t *testing.T) {
	s := control.New(control.Config{Node: newFakeNode(), Metrics: control.NewMetrics("t")})
	for _, path := range []string{"/", "/v1/status", "/v1/blocks", "/v1/members", "/metrics", "/healthz", "/readyz"} {
		r := httptest.NewRequest("GET", path, nil)
		r.RemoteAddr = "192.0.2.7:4711"
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		if w.Code != 200 {
			t.Errorf("GET %s: %d, want 200", path, w.Code)
		}
		if got := w.Header().Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("GET %s: X-Content-Type-Options %q", path, got)
		}
		if w.Header().Get("Content-Security-Policy") == "" {
			t.Errorf("GET %s: no policy", path)
		}
	}
}

func TestAccessTokenIsReadAtEachUse(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	s := control.New(control.Config{Node: newFakeNode(), TokenFile: file})
	try := func(given string) int {
		r := httptest.NewRequest("POST", "/v1/step-down", strings.NewReader(`{"now":true}`))
		r.RemoteAddr = "192.0.2.7:4711"
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+given)
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, r)
		return w.Code
	}
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := try(token); got != 500 {
		t.Errorf("without the file: %d, want 500", got)
	}
	write("short")
	if got := try("short"); got != 500 {
		t.Errorf("a short token: %d, want 500", got)
	}
	write(token)
	if got := try(token); got != 200 {
		t.Errorf("the token: %d, want 200", got)
	}
	write("another-token-of-length")
	if got := try(token); got != 401 {
		t.Errorf("the old token: %d, want 401", got)
	}
}
