package members

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
)

// Meta is what a member tells the others about itself. It travels in at most 512 bytes: Encode leaves out what does not
// fit, replicas first.
type Meta struct {
	ClusterID         string   // the cluster it belongs to; empty before the first start is over
	RaftID            string   // its Raft server id
	ClusterAddr       string   // "host:port" of its Raft listener
	LinkAddr          string   // "host:port" of its link listener; empty means ClusterAddr
	HTTPAddr          string   // "host:port" of its HTTP API
	Region            string   // for people
	Version           string   // of relayd
	HasState          bool     // its Raft log is not empty
	Joining           bool     // it was in no committed configuration of its cluster yet
	Joins             bool     // it joins a cluster only: bootstrap_expect is 0
	UpstreamReachable bool     // it can reach an upstream
	Replicas          []string // short names of the replicas connected to it
	Cut               bool     // something did not fit; set by Encode

	leaving bool // its goodbye: memberlist does not tell a member that left from one that crashed
}

// MaxMeta is the most bytes a Meta takes, memberlist's limit.
const MaxMeta = 512

// ErrMeta is returned for metadata that cannot be read.
var ErrMeta = errors.New("unreadable metadata")

// The format: a version byte, a byte of flags, then fields of a tag byte, a length byte and that many bytes. Unknown
// tags and flags are skipped, so that older relays understand newer ones.
const (
	metaVersion = 1

	flagUpstream = 1 << 0
	flagState    = 1 << 1
	flagJoining  = 1 << 2
	flagJoins    = 1 << 3
	flagLeaving  = 1 << 6
	flagCut      = 1 << 7

	tagClusterID   = 1
	tagRaftID      = 2
	tagClusterAddr = 3
	tagLinkAddr    = 4
	tagHTTPAddr    = 5
	tagRegion      = 6
	tagVersion     = 7
	tagReplica     = 8

	maxField   = 255
	maxReplica = 32 // bytes of a replica's name
)

// Encode returns the Meta in at most limit bytes. A name that is too long is shortened; an address or an id is left out
// rather than told wrong. When space is short, replicas go first, then version, region and the HTTP address.
func (m Meta) Encode(limit int) []byte {
	limit = min(limit, MaxMeta)
	if limit < 2 {
		return nil
	}
	out := make([]byte, 2, limit)
	out[0] = metaVersion
	if m.UpstreamReachable {
		out[1] |= flagUpstream
	}
	if m.HasState {
		out[1] |= flagState
	}
	if m.Joining {
		out[1] |= flagJoining
	}
	if m.Joins {
		out[1] |= flagJoins
	}
	if m.leaving {
		out[1] |= flagLeaving
	}
	if m.Cut {
		out[1] |= flagCut
	}
	put := func(tag byte, value string) bool {
		if value == "" {
			return true
		}
		if len(value) > maxField || len(out)+2+len(value) > limit {
			out[1] |= flagCut
			return false
		}
		out = append(append(out, tag, byte(len(value))), value...)
		return true
	}
	put(tagClusterID, clean(m.ClusterID))
	put(tagRaftID, clean(m.RaftID))
	if m.LinkAddr == m.ClusterAddr || put(tagLinkAddr, clean(m.LinkAddr)) {
		put(tagClusterAddr, clean(m.ClusterAddr)) // alone it would stand for both
	}
	put(tagHTTPAddr, clean(m.HTTPAddr))
	put(tagRegion, shorten(clean(m.Region), maxReplica))
	put(tagVersion, shorten(clean(m.Version), maxReplica))
	for _, replica := range m.Replicas {
		put(tagReplica, shorten(clean(replica), maxReplica))
	}
	return out
}

// DecodeMeta reads what Encode has written, perhaps by another version. Control characters in it are replaced.
func DecodeMeta(b []byte) (Meta, error) {
	switch {
	case len(b) > MaxMeta:
		return Meta{}, fmt.Errorf("%w: %d bytes", ErrMeta, len(b))
	case len(b) < 2:
		return Meta{}, fmt.Errorf("%w: too short", ErrMeta)
	case b[0] != metaVersion:
		return Meta{}, fmt.Errorf("%w: version %d", ErrMeta, b[0])
	}
	m := Meta{
		UpstreamReachable: b[1]&flagUpstream != 0,
		HasState:          b[1]&flagState != 0,
		Joining:           b[1]&flagJoining != 0,
		Joins:             b[1]&flagJoins != 0,
		Cut:               b[1]&flagCut != 0,
		leaving:           b[1]&flagLeaving != 0,
	}
	for b = b[2:]; len(b) > 0; {
		if len(b) < 2 || len(b)-2 < int(b[1]) {
			return Meta{}, fmt.Errorf("%w: a field is cut off", ErrMeta)
		}
		tag, value := b[0], clean(string(b[2:2+int(b[1])]))
		b = b[2+int(b[1]):]
		switch tag {
		case tagClusterID:
			m.ClusterID = value
		case tagRaftID:
			m.RaftID = value
		case tagClusterAddr:
			m.ClusterAddr = value
		case tagLinkAddr:
			m.LinkAddr = value
		case tagHTTPAddr:
			m.HTTPAddr = value
		case tagRegion:
			m.Region = value
		case tagVersion:
			m.Version = value
		case tagReplica:
			m.Replicas = append(m.Replicas, value)
		}
	}
	if m.LinkAddr == "" {
		m.LinkAddr = m.ClusterAddr
	}
	return m, nil
}

// clean replaces what would disturb a terminal or a log.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
}

// shorten cuts a string to at most n bytes, at the end of a character.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}
