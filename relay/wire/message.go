package wire

import (
	"encoding/binary"
	"fmt"
)

// Message is a message this package can build and take apart: *Handshake,
// *ChainSize, *GoAway, *Time, *Notice, *Request, *SyncRequest and *VoteMessage.
type Message interface {
	// Type is the index of the message in the protocol.
	Type() Type

	bodyLen() int
	appendBody(dst []byte) []byte
}

var (
	_ Message = (*Handshake)(nil)
	_ Message = (*ChainSize)(nil)
	_ Message = (*GoAway)(nil)
	_ Message = (*Time)(nil)
	_ Message = (*Notice)(nil)
	_ Message = (*Request)(nil)
	_ Message = (*SyncRequest)(nil)
	_ Message = (*VoteMessage)(nil)
)

// Append appends m as a whole frame, length included, to dst.
func Append(dst []byte, m Message) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(1+m.bodyLen()))
	return m.appendBody(append(dst, byte(m.Type())))
}

// Encode returns m as a frame, with one reference that the caller owns.
func Encode(m Message) *Frame {
	f := newFrame(headerLen + 1 + m.bodyLen())
	Append(f.buf[:0], m)
	return f
}

// Decode takes a message apart. The result shares no memory with f, whose
// reference stays with the caller. Types above votes, blocks and transactions
// give ErrOpaque; all other errors mean that the peer broke the protocol.
func Decode(f *Frame) (Message, error) {
	body := f.Body()
	switch t := f.Type(); t {
	case TypeHandshake:
		return pointer(ParseHandshake(body))
	case TypeChainSize:
		return pointer(ParseChainSize(body))
	case TypeGoAway:
		return pointer(ParseGoAway(body))
	case TypeTime:
		return pointer(ParseTime(body))
	case TypeNotice:
		return pointer(ParseNotice(body))
	case TypeRequest:
		return pointer(ParseRequest(body))
	case TypeSyncRequest:
		return pointer(ParseSyncRequest(body))
	case TypeVote:
		return pointer(ParseVote(body))
	default:
		return nil, fmt.Errorf("decode %s: %w", t, ErrOpaque)
	}
}

func pointer[T any, P interface {
	*T
	Message
}](m T, err error) (Message, error) {
	if err != nil {
		return nil, err
	}
	return P(&m), nil
}

func decoded[T any](t Type, m T, err error) (T, error) {
	if err != nil {
		var zero T
		return zero, fmt.Errorf("decode %s: %w", t, err)
	}
	return m, nil
}
