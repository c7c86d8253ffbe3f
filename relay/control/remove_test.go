package control_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
)

// deadlines is a connection that is closed at its write deadline.
type deadlines struct {
	*httptest.ResponseRecorder
	until time.Time
	late  bool // something was written afterwards
}

// SetWriteDeadline is what http.ResponseController looks for.
func (d *deadlines) SetWriteDeadline(t time.Time) error { d.until = t; return nil }

func (d *deadlines) WriteHeader(code int) {
	d.late = d.late || time.Now().After(d.until)
	d.ResponseRecorder.WriteHeader(code)
}

// TestRemoveTakesLong answers a removal that takes as long as two changes of the group may, and one that does not end.
func TestRemoveTakesLong(t *testing.T) {
	const client = 15 * time.Second // is how long relayctl waits
	for name, test := range map[string]struct {
		takes time.Duration
		code  int
	}{
		"long":     {11 * time.Second, http.StatusOK},
		"for ever": {time.Hour, http.StatusGatewayTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				node := newFakeNode()
				node.remove = func(ctx context.Context, _ string) error {
					select {
					case <-time.After(test.takes):
						return nil
					case <-ctx.Done():
						return context.Cause(ctx)
					}
				}
				start := time.Now()
				r := httptest.NewRequest(http.MethodPost, "/v1/members/remove", strings.NewReader(`{"name":"us-1"}`))
				r.Header.Set("Content-Type", "application/json")
				r.RemoteAddr, r.Host = "127.0.0.1:5", "127.0.0.1"
				w := &deadlines{ResponseRecorder: httptest.NewRecorder()}
				control.New(control.Config{Node: node}).Handler().ServeHTTP(w, r)
				if took := time.Since(start); w.Code != test.code || w.late || took >= client {
					t.Errorf("%d %s after %s, too late: %v; want %d in time", w.Code, w.Body, took, w.late, test.code)
				}
			})
		})
	}
}
