package control

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"net/http"
	"strings"
)

//go:embed index.html
var indexHTML string

// page is the status page: one file, its style and script inside, allowed by
// their hashes and nothing else.
type page struct {
	html   []byte
	policy string
}

func newPage() page {
	return page{
		html: []byte(indexHTML),
		policy: "default-src 'none'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; " +
			"style-src " + sourceHash(indexHTML, "style") + "; script-src " + sourceHash(indexHTML, "script"),
	}
}

// sourceHash returns the CSP source expression of the one inline element tag.
func sourceHash(html, tag string) string {
	_, rest, _ := strings.Cut(html, "<"+tag+">")
	body, _, _ := strings.Cut(rest, "</"+tag+">")
	sum := sha256.Sum256([]byte(body))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func (p page) serve(w http.ResponseWriter, _ *http.Request) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", p.policy)
	_, _ = w.Write(p.html)
}
