package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/thinrelay/thinrelay/relay/control"
)

// Terminal sequences. The alternate screen leaves the scroll-back alone; a
// synchronised update shows a frame at once where the terminal knows it.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	beginFrame  = "\x1b[?2026h\x1b[H"
	endFrame    = "\x1b[J\x1b[?2026l"
	endLine     = "\x1b[K\r\n"
)

// watch redraws the status until interrupted. With --json it prints one status
// per line instead.
func (a *app) watch(ctx context.Context) error {
	screen := a.terminal && !a.asJSON
	if screen {
		if _, err := io.WriteString(a.out, enterScreen); err != nil {
			return err
		}
		defer io.WriteString(a.out, leaveScreen) //nolint:errcheck // nothing left to do about it
	}
	var last control.Status
	var seen time.Time
	var failed error // of the last look
	for {
		st, err := a.status(ctx)
		if ctx.Err() != nil {
			break // an interrupted look says nothing
		}
		if failed = err; err == nil {
			last, seen = st, time.Now()
		}
		if err := a.drawFrame(screen, last, seen, err); err != nil {
			return err
		}
		if pause(ctx, 5*a.pollEvery/2) != nil {
			break
		}
	}
	switch {
	case seen.IsZero():
		return exitWith(exitDown)
	case failed != nil:
		return exitWith(exitCode(failed))
	}
	return exitWith(healthExit(last))
}

func (a *app) drawFrame(screen bool, st control.Status, seen time.Time, failure error) error {
	if a.asJSON {
		if failure != nil {
			var refused *control.Error
			if errors.As(failure, &refused) {
				return compactJSON(a.out, refused)
			}
			return failure
		}
		return compactJSON(a.out, st)
	}
	var frame string
	if !seen.IsZero() {
		frame = renderStatus(st, a.colours)
	}
	if failure != nil {
		note := cleanLines(failure.Error())
		if !seen.IsZero() {
			note = fmt.Sprintf("what stands above is %s old; %s", since(time.Since(seen)), note)
		}
		frame += "\n" + paint(a.colours, red, "NO ANSWER") + "  " + note + "\n"
	}
	if screen {
		frame = beginFrame + strings.ReplaceAll(frame, "\n", endLine) + endFrame
	} else {
		frame += "\n"
	}
	_, err := io.WriteString(a.out, frame)
	return err
}
