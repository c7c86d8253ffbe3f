package main

import (
	"bytes"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/thinrelay/thinrelay/cluster/transport"
)

// A relay with http.tls is asked by its image's health check, which knows neither that nor who issued the certificate.
func TestHealth(t *testing.T) {
	answer := func(ready string) http.Handler {
		mux := http.NewServeMux()
		mux.HandleFunc("/healthz", func(http.ResponseWriter, *http.Request) {})
		mux.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte(ready)) })
		return mux
	}
	plain := httptest.NewServer(answer(`{"ready":true}`))
	defer plain.Close()
	secure := serveTLS(t, answer(`{"ready":true}`))
	unready := serveTLS(t, answer(`{"ready":false,"reasons":[{"text":"no replica"}]}`))
	ill := httptest.NewServer(http.NotFoundHandler())
	defer ill.Close()
	illSecure := serveTLS(t, http.NotFoundHandler())
	nobody := "127.0.0.1:1"
	port := func(addr string) string { _, p, _ := net.SplitHostPort(addr); return p }

	tests := map[string]struct {
		env  string
		args []string
		want string // of the output
		fail string // of the error; empty: none
	}{
		"plain":                   {"", []string{"--addr", plain.URL}, "ok\n", ""},
		"plain, ready":            {"", []string{"--ready", "--addr", plain.URL}, "ok\n", ""},
		"TLS, asked without":      {"", []string{"--addr", "http://" + secure}, "ok\n", ""},
		"TLS, bare":               {"", []string{"--addr", "localhost:" + port(secure)}, "ok\n", ""},
		"TLS, asked with":         {"", []string{"--addr", "https://" + secure}, "ok\n", ""},
		"TLS, ready":              {"", []string{"--ready", "--addr", "http://" + secure}, "ok\n", ""},
		"TLS, not ready":          {"", []string{"--ready", "--addr", "http://" + unready}, "not ready: no replica\n", "1"},
		"the first of a list":     {secure + ", " + nobody, nil, "ok\n", ""},
		"the flag, not the list":  {nobody, []string{"--addr", secure}, "ok\n", ""},
		"nobody there":            {"", []string{"--addr", "http://" + nobody}, "", "http://" + nobody},
		"another server":          {"", []string{"--addr", ill.URL}, "", "404"},
		"another server with TLS": {"", []string{"--addr", illSecure}, "", "404"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Setenv("RELAY_ADDR", tt.env)
			var out bytes.Buffer
			cmd := healthCommand()
			cmd.SetArgs(tt.args)
			cmd.SetOut(&out)
			cmd.SilenceUsage, cmd.SilenceErrors = true, true
			err := cmd.ExecuteContext(t.Context())
			if (err != nil) != (tt.fail != "") || err != nil && !strings.Contains(err.Error(), tt.fail) {
				t.Errorf("error: got %v, want %q", err, tt.fail)
			}
			if got := out.String(); got != tt.want {
				t.Errorf("output: got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestLoopback(t *testing.T) {
	for host, want := range map[string]bool{
		"127.0.0.1": true, "127.9.9.9": true, "::1": true, "::ffff:127.0.0.1": true, "localhost": true,
		"10.0.0.1": false, "0.0.0.0": false, "localhost.example": false, "127.0.0.1.example": false, "": false,
	} {
		if got := loopback(host); got != want {
			t.Errorf("%q: got %v, want %v", host, got, want)
		}
	}
}

// serveTLS serves as the API does with http.tls, with a certificate of an authority that nobody knows and for no host.
func serveTLS(t *testing.T, h http.Handler) string {
	t.Helper()
	dir := t.TempDir()
	if _, err := transport.WriteSet(dir, "eu-1"); err != nil {
		t.Fatal(err)
	}
	f := transport.FilesOf(dir, "eu-1")
	ln, err := listenAPI(Config{HTTP: HTTPConfig{Listen: "127.0.0.1:0", TLS: TLSConfig{CA: f.CA, Cert: f.Cert, Key: f.Key}}}, hclog.NewNullLogger())
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h, ErrorLog: hclog.NewNullLogger().StandardLogger(nil)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(ln)
	}()
	t.Cleanup(func() {
		server.Close()
		<-done
	})
	return ln.Addr().String()
}

// TestHealthWhereItListens asks a container's relay where its environment says that it listens.
func TestHealthWhereItListens(t *testing.T) {
	well := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer well.Close()
	_, port, err := net.SplitHostPort(well.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, listen, addr string
		well               bool
	}{
		{"all addresses", "0.0.0.0:" + port, "", true},
		{"all addresses, no host", ":" + port, "", true},
		{"one address", "127.0.0.1:" + port, "", true},
		{"RELAY_ADDR goes first", "127.0.0.1:1", well.URL, true},
		{"RELAY_ADDR goes first, nobody there", "127.0.0.1:" + port, "127.0.0.1:1", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("RELAY_HTTP_LISTEN", tt.listen)
			t.Setenv("RELAY_ADDR", tt.addr)
			cmd := healthCommand()
			cmd.SetArgs([]string{})
			cmd.SetOut(&bytes.Buffer{})
			cmd.SilenceUsage, cmd.SilenceErrors = true, true
			if err := cmd.ExecuteContext(t.Context()); (err == nil) != tt.well {
				t.Errorf("got %v, want it to be well: %v", err, tt.well)
			}
		})
	}
	for _, listen := range []string{"", "9870", "127.0.0.1:0", "127.0.0.1:x"} {
		if got := listening(listen); got != "" {
			t.Errorf("%q: got %q, want nothing", listen, got)
		}
	}
}
