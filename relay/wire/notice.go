package wire

import "encoding/binary"

// MaxIDs is how many ids Spring takes in a list of a notice or request
// (net_plugin.cpp:3536, 3596). Older releases take one: see ProtoBlockRange.
const MaxIDs = 2

// ListMode says what an IDList is for (protocol.hpp:83-88); four bytes on the wire.
type ListMode uint32

// The modes of an IDList.
const (
	ModeNone ListMode = iota
	ModeCatchUp
	ModeLastIrrCatchUp
	ModeNormal
)

// IDList is one half of a notice or request.
type IDList struct {
	Mode    ListMode
	Pending uint32 // a count or a block number, as the mode has it
	IDs     []ID   // at most MaxIDs
}

func (c *cursor) idList() IDList {
	l := IDList{Mode: ListMode(c.u32()), Pending: c.u32()}
	for range c.count(MaxIDs) {
		id := c.id()
		if c.err != nil {
			break
		}
		l.IDs = append(l.IDs, id)
	}
	return l
}

func (l *IDList) encodedLen() int { return 8 + varuintLen(len(l.IDs)) + len(l.IDs)*len(ID{}) }

func (l *IDList) append(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(l.Mode))
	dst = binary.LittleEndian.AppendUint32(dst, l.Pending)
	dst = appendVaruint(dst, uint32(len(l.IDs)))
	for i := range l.IDs {
		dst = append(dst, l.IDs[i][:]...)
	}
	return dst
}

// Notice is message 4: what its sender has. KnownBlocks.IDs is the head id and,
// to a peer of ProtoBlockRange or later, a StartID.
type Notice struct {
	KnownTrx    IDList
	KnownBlocks IDList
}

// ParseNotice decodes the body of a notice.
func ParseNotice(body []byte) (Notice, error) {
	c := cursor{b: body}
	m := Notice{KnownTrx: c.idList(), KnownBlocks: c.idList()}
	return decoded(TypeNotice, m, c.end())
}

// Type is TypeNotice.
func (*Notice) Type() Type { return TypeNotice }

func (m *Notice) bodyLen() int { return m.KnownTrx.encodedLen() + m.KnownBlocks.encodedLen() }

func (m *Notice) appendBody(dst []byte) []byte {
	return m.KnownBlocks.append(m.KnownTrx.append(dst))
}

// Request is message 5: what its sender wants. Both modes ModeNone means "stop".
type Request struct {
	ReqTrx    IDList
	ReqBlocks IDList
}

// ParseRequest decodes the body of a request.
func ParseRequest(body []byte) (Request, error) {
	c := cursor{b: body}
	m := Request{ReqTrx: c.idList(), ReqBlocks: c.idList()}
	return decoded(TypeRequest, m, c.end())
}

// Type is TypeRequest.
func (*Request) Type() Type { return TypeRequest }

func (m *Request) bodyLen() int { return m.ReqTrx.encodedLen() + m.ReqBlocks.encodedLen() }

func (m *Request) appendBody(dst []byte) []byte {
	return m.ReqBlocks.append(m.ReqTrx.append(dst))
}

// SyncRequest is message 6: send blocks Start to End, both included. End 0 cancels.
type SyncRequest struct {
	Start uint32
	End   uint32
}

// ParseSyncRequest decodes the body of a sync_request.
func ParseSyncRequest(body []byte) (SyncRequest, error) {
	c := cursor{b: body}
	m := SyncRequest{Start: c.u32(), End: c.u32()}
	return decoded(TypeSyncRequest, m, c.end())
}

// Type is TypeSyncRequest.
func (*SyncRequest) Type() Type { return TypeSyncRequest }

func (*SyncRequest) bodyLen() int { return 8 }

func (m *SyncRequest) appendBody(dst []byte) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, m.Start)
	return binary.LittleEndian.AppendUint32(dst, m.End)
}
