package wire

import (
	"encoding/binary"
	"math"
)

// Time is message 3, keepalive and round-trip probe in one, after NTP. A probe
// has Org and Rec zero; the answer carries the probe's Xmt as Org. Nanoseconds
// since 1970, but see Nanoseconds.
type Time struct {
	Org int64 // origin: Xmt of the message this one answers; 0 in a probe
	Rec int64 // when that message was received
	Xmt int64 // when this message was sent
	Dst int64 // set by the receiver for itself; means nothing on the wire
}

// ParseTime decodes the body of a time message. The values stay as they came.
func ParseTime(body []byte) (Time, error) {
	c := cursor{b: body}
	m := Time{Org: int64(c.u64()), Rec: int64(c.u64()), Xmt: int64(c.u64()), Dst: int64(c.u64())}
	return decoded(TypeTime, m, c.end())
}

// Type is TypeTime.
func (*Time) Type() Type { return TypeTime }

func (*Time) bodyLen() int { return 32 }

func (m *Time) appendBody(dst []byte) []byte {
	for _, v := range [...]int64{m.Org, m.Rec, m.Xmt, m.Dst} {
		dst = binary.LittleEndian.AppendUint64(dst, uint64(v))
	}
	return dst
}

// Nanoseconds brings a timestamp of a peer to nanoseconds since 1970. Leap
// before 5 may send microseconds, and nodeos tells the units apart by magnitude
// (net_plugin.cpp:3461-3474). The borders here lie in 1973, so that any clock
// works; values that are no time since then give 0.
func Nanoseconds(t int64) int64 {
	const year1973 = 100_000_000 // seconds
	unit := int64(1)
	switch {
	case t >= year1973*1e9:
	case t >= year1973*1e6:
		unit = 1e3
	case t >= year1973*1e3:
		unit = 1e6
	case t >= year1973:
		unit = 1e9
	default:
		return 0
	}
	if t > math.MaxInt64/unit {
		return 0 // a year that nanoseconds cannot express
	}
	return t * unit
}
