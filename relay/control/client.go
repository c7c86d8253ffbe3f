package control

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// defaultPort is that of http.listen.
const defaultPort = "9870"

// maxAnswer bounds what the client reads of an answer.
const maxAnswer = 8 << 20

// Client talks to the control API of one member. Its errors are *[Error] values
// with a remedy; Code tells them apart, [CodeUnreachable] being the client's own.
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
}

// ClientConfig says how to reach a member.
type ClientConfig struct {
	// Addr is the URL of the API, as "http://127.0.0.1:9870"; a bare
	// "host:port" means http, and a bare "host" port 9870 as well.
	Addr string

	// Token is sent as bearer token where it is not empty.
	Token string

	// Transport replaces the default one, for client certificates or tests.
	Transport http.RoundTripper
}

// NewClient returns a client; nothing is dialled yet.
func NewClient(cfg ClientConfig) (*Client, error) {
	base, err := ParseAddr(cfg.Addr)
	if err != nil {
		return nil, err
	}
	transport := cfg.Transport
	if transport == nil {
		transport = &http.Transport{
			Proxy:               http.ProxyFromEnvironment,
			DialContext:         (&net.Dialer{Timeout: 3 * time.Second}).DialContext,
			TLSHandshakeTimeout: 3 * time.Second,
			IdleConnTimeout:     30 * time.Second,
		}
	}
	return &Client{base: base, token: cfg.Token, http: &http.Client{Transport: transport}}, nil
}

// ParseAddr reads the address of a control API.
func ParseAddr(addr string) (*url.URL, error) {
	remedy := "write it as http://127.0.0.1:9870"
	text := strings.TrimSpace(addr)
	bare := !strings.Contains(text, "://")
	if bare {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, refusal(CodeBadRequest, remedy, "address %q cannot be read", addr)
	case u.Scheme != "http" && u.Scheme != "https", u.Hostname() == "", u.User != nil, u.RawQuery != "", u.Fragment != "":
		return nil, refusal(CodeBadRequest, remedy, "address %q is not that of an HTTP server", addr)
	}
	if bare && u.Port() == "" {
		u.Host = strings.TrimSuffix(u.Host, ":") + ":" + defaultPort
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, refusal(CodeBadRequest, remedy, "address %q has no valid port", addr)
		}
	}
	u.Path = strings.TrimRight(u.Path, "/")
	u.RawPath = ""
	return u, nil
}

// Addr returns the address of the API.
func (c *Client) Addr() string { return c.base.String() }

// Status returns what the member knows of the group.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var st Status
	err := c.do(ctx, http.MethodGet, "/v1/status", nil, &st)
	return st, err
}

// Members returns the members of the group.
func (c *Client) Members(ctx context.Context) (MemberList, error) {
	var list MemberList
	err := c.do(ctx, http.MethodGet, "/v1/members", nil, &list)
	return list, err
}

// RemoveMember takes a member out of the group.
func (c *Client) RemoveMember(ctx context.Context, name string) error {
	return c.do(ctx, http.MethodPost, "/v1/members/remove", map[string]string{"name": name}, nil)
}

// Blocks returns the blocks the member saw lately, newest first.
func (c *Client) Blocks(ctx context.Context, limit int) ([]Block, error) {
	var blocks []Block
	err := c.do(ctx, http.MethodGet, "/v1/blocks?limit="+strconv.Itoa(limit), nil, &blocks)
	return blocks, err
}

// StepDown asks for a planned hand-over and waits for its outcome.
func (c *Client) StepDown(ctx context.Context, req StepDownRequest) (StepDown, error) {
	var result StepDown
	err := c.do(ctx, http.MethodPost, "/v1/step-down", req, &result)
	return result, err
}

// Ready returns the member's readiness; not being ready is no error.
func (c *Client) Ready(ctx context.Context) (Readiness, error) {
	var ready Readiness
	resp, err := c.send(ctx, http.MethodGet, "/readyz", nil)
	if err != nil {
		return ready, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK && resp.StatusCode != http.StatusServiceUnavailable {
		return ready, c.refused(resp)
	}
	return ready, c.decode(resp.Body, &ready)
}

func (c *Client) do(ctx context.Context, method, path string, body, answer any) error {
	resp, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return c.refused(resp)
	}
	if answer == nil {
		return nil
	}
	return c.decode(resp.Body, answer)
}

func (c *Client) send(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var payload io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			return nil, fmt.Errorf("encode request: %w", err)
		}
		payload = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.base.String()+path, payload)
	if err != nil {
		return nil, fmt.Errorf("make request: %w", err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err == nil {
		return resp, nil
	}
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.DeadlineExceeded) {
		return nil, cause // the caller gave up
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // the message below names the address already
	}
	if errors.Is(err, http.ErrSchemeMismatch) {
		return nil, refusal(CodeUnreachable, "write http://: http.tls is not set there", "no answer from %s: it speaks plain HTTP", c.base)
	}
	if unproven := (*tls.CertificateVerificationError)(nil); errors.As(err, &unproven) {
		return nil, refusal(CodeUnreachable,
			"give --tls-ca the CA of its http.tls.cert, and name it in --addr as that certificate does (relayctl certs issue NAME --host ADDRESS makes one with further names)",
			"%s answers, with a certificate that is not trusted here: %v", c.base, unproven.Err)
	}
	return nil, refusal(CodeUnreachable,
		"check that relayd runs there and that http.listen matches; --addr or RELAY_ADDR names another member", "no answer from %s: %v", c.base, err)
}

func (c *Client) decode(body io.Reader, v any) error {
	if err := json.NewDecoder(io.LimitReader(body, maxAnswer)).Decode(v); err != nil {
		return refusal(CodeUnreachable, "check that --addr is a relay's http.listen", "%s does not answer like a relay: %v", c.base, err)
	}
	return nil
}

func (c *Client) refused(resp *http.Response) error {
	raw, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10)) // a broken body is no worse than none
	if c.base.Scheme == "http" && bytes.Contains(raw, []byte("HTTP request to an HTTPS server")) {
		return refusal(CodeUnreachable, "write https://, with --tls-ca: http.tls is set there", "no answer from %s: it speaks TLS", c.base)
	}
	var e Error
	if json.Unmarshal(raw, &e) != nil || e.Message == "" {
		return refusal(CodeUnreachable, "check that --addr is a relay's http.listen", "%s does not answer like a relay: %s", c.base, resp.Status)
	}
	return &e
}
