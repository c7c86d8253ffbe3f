package conn

import (
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

var (
	// ErrPeerClosed is returned when the other side closed or reset the connection.
	ErrPeerClosed = errors.New("peer closed the connection")
	// ErrReadTimeout is returned when no whole frame arrived within ReadTimeout, or the peer's host is out of reach.
	ErrReadTimeout = errors.New("peer is silent")
	// ErrSlowReader is returned when the peer did not take a batch of frames within WriteTimeout.
	ErrSlowReader = errors.New("peer does not read")
	// ErrProtocol is returned when the peer sent bytes that are not the protocol; the text says which.
	ErrProtocol = errors.New("protocol error")
	// ErrOpening is returned when the peer sent more than OpeningBytes before it was accepted. It is an ErrProtocol.
	ErrOpening = fmt.Errorf("%w: too many bytes before the handshake", ErrProtocol)
	// ErrClosed is the cause of a connection that its owner closed without giving a cause.
	ErrClosed = errors.New("connection closed")
)

// readCause turns an error of the frame reader into the cause of the connection's end.
func readCause(err error, timeout time.Duration) error {
	switch {
	case errors.Is(err, ErrOpening):
		return err
	case errors.Is(err, wire.ErrFrameEmpty), errors.Is(err, wire.ErrFrameTooLarge):
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w inside a frame", ErrPeerClosed)
	case errors.Is(err, io.EOF):
		return ErrPeerClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: no whole frame for %s", ErrReadTimeout, timeout)
	case silent(err):
		return fmt.Errorf("%w: %w", ErrReadTimeout, err)
	case gone(err):
		return fmt.Errorf("%w: %w", ErrPeerClosed, err)
	}
	return fmt.Errorf("read frame: %w", err)
}

// writeCause does the same for an error of the writer.
func writeCause(err error, timeout time.Duration) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: nothing taken for %s", ErrSlowReader, timeout)
	case silent(err):
		return fmt.Errorf("%w: %w", ErrReadTimeout, err)
	case gone(err):
		return fmt.Errorf("%w: %w", ErrPeerClosed, err)
	}
	return fmt.Errorf("write frames: %w", err)
}

// gone reports whether err is what the kernel, or an in-memory connection, says of a peer that is no longer there.
func gone(err error) bool {
	for _, e := range []error{
		syscall.ECONNRESET, syscall.EPIPE, syscall.ECONNABORTED, io.ErrClosedPipe, io.EOF,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// silent reports whether err is what the kernel says of a host that answers no more. That is no hang-up: the peer has not said anything.
func silent(err error) bool {
	return errors.Is(err, syscall.ETIMEDOUT) || errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH)
}
