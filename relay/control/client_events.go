package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxEventLine bounds one line of an event stream; a status is the longest.
const maxEventLine = 4 << 20

// ErrDropped is returned when the server dropped the stream because it was read
// too slowly.
var ErrDropped = errors.New("the relay dropped this event stream: it was read too slowly")

// Events calls handle for each event from now on, until it returns an error,
// ctx ends or the stream does. It does not reconnect; lastID, where not empty,
// resumes after that event if the server still has it.
func (c *Client) Events(ctx context.Context, lastID string, handle func(Event) error) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.base.String()+"/v1/events", nil)
	if err != nil {
		return fmt.Errorf("make request: %w", err)
	}
	if lastID != "" {
		req.Header.Set("Last-Event-ID", lastID)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return refusal(CodeUnreachable, "check that relayd runs there; --addr or RELAY_ADDR names another member", "no event stream from %s: %v", c.base, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return c.refused(resp)
	}
	return ReadEvents(resp.Body, func(name string, data []byte) error {
		switch name {
		case "dropped":
			return ErrDropped
		case "status", "":
			return nil
		}
		var e Event
		if err := json.Unmarshal(data, &e); err != nil {
			return fmt.Errorf("decode event %q: %w", name, err)
		}
		return handle(e)
	})
}

// ReadEvents parses a stream of server-sent events and calls handle for each
// with its name and data; data is valid until handle returns. It returns
// handle's error, or the reader's ([io.ErrUnexpectedEOF] at the stream's end:
// event streams have none).
func ReadEvents(r io.Reader, handle func(name string, data []byte) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(make([]byte, 0, 4096), maxEventLine)
	var name string
	var data []byte
	for lines.Scan() {
		line := lines.Bytes()
		if len(line) == 0 {
			if len(data) > 0 {
				if err := handle(name, data[:len(data)-1]); err != nil {
					return err
				}
			}
			name, data = "", data[:0]
			continue
		}
		field, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch string(field) {
		case "event":
			name = string(value)
		case "data":
			if len(data)+len(value) >= maxEventLine {
				return bufio.ErrTooLong
			}
			data = append(append(data, value...), '\n')
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return io.ErrUnexpectedEOF
}
