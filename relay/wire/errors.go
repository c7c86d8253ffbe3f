package wire

import "errors"

// Errors of the frame reader. After any of them the stream has no usable border
// left and the connection must be closed, as nodeos does (net_plugin.cpp:2910).
var (
	// ErrFrameEmpty is returned for a frame that announces a length of zero.
	ErrFrameEmpty = errors.New("frame is empty")

	// ErrFrameTooLarge is returned for a frame that announces more than MaxPayload bytes.
	ErrFrameTooLarge = errors.New("frame is larger than the protocol allows")
)

// Errors of the decoders, wrapped with the name of the message.
var (
	// ErrShort is returned when a message ends before its last field.
	ErrShort = errors.New("message ends early")

	// ErrTrailing is returned when bytes follow the last field of a message.
	ErrTrailing = errors.New("bytes after the end of the message")

	// ErrLimit is returned when a string or list is longer than nodeos accepts.
	ErrLimit = errors.New("length over the limit")

	// ErrVaruint is returned for a varuint32 that is padded or over 32 bits.
	ErrVaruint = errors.New("varuint32 is not in its shortest form")

	// ErrValue is returned for a field with a value the protocol does not define:
	// a bool other than 0 and 1, an unknown key or signature type.
	ErrValue = errors.New("undefined value")

	// ErrOpaque is returned by Decode for types that stay raw in this package:
	// blocks, transactions and everything above votes.
	ErrOpaque = errors.New("message type is not decoded")
)
