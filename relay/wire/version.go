package wire

// Protocol versions by the release that brought them. A peer's version decides
// what may be sent to it; it is taken from its handshake of generation 1 only
// (net_plugin.cpp:3296, 3365).
const (
	// ProtoPruned is EOS 2.1/2.2: indexes 9 and 10 carry that family's own types
	// from here to ProtoLeap.
	ProtoPruned = 3
	// ProtoLeap is Leap 3.1 to 5.0.
	ProtoLeap = 7
	// ProtoBlockRange takes a second id in notices: see StartID.
	ProtoBlockRange = 8
	// ProtoVotes is Spring 1.0: votes may be sent from here on.
	ProtoVotes = 9
	// ProtoBlockNack is Spring 1.1.
	ProtoBlockNack = 10
	// ProtoGossip is Spring 1.2.
	ProtoGossip = 11
)

// network_version values of a handshake: a base plus the protocol version
// (net_plugin.cpp:525-526).
const (
	VersionBase  uint16 = 1205
	versionRange uint16 = 106

	// Version1 is what EOS 1.x and 2.0 announce.
	Version1 = VersionBase + 1
	// Version9 is what Spring 1.0 announces, and what the relay announces: votes
	// flow both ways, blocks always come in full, no nacks, no gossip.
	Version9 = VersionBase + ProtoVotes
	// Version11 is what Spring 1.2 announces.
	Version11 = VersionBase + ProtoGossip
)

// DecodeVersion is the protocol version in a handshake's network_version; 0 for
// values outside the known range (net_plugin.cpp:4677-4683).
func DecodeVersion(networkVersion uint16) int {
	if networkVersion < VersionBase || networkVersion > VersionBase+versionRange {
		return 0
	}
	return int(networkVersion - VersionBase)
}

// OfferVersion is the network_version to announce to a peer of the given
// protocol version: Version9, or Version1 to the EOS 2.1 family, whose messages
// 9 and 10 are not votes and nacks (net_plugin.cpp:3404-3410).
func OfferVersion(peer int) uint16 {
	if peer >= ProtoPruned && peer < ProtoLeap {
		return Version1
	}
	return Version9
}
