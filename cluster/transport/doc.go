// Package transport is the one TCP port of a cluster member: mutual TLS 1.3 that carries Raft and the links between
// relays, told apart by ALPN, with the name of the other side taken from its certificate.
//
// It guarantees that every connection it hands out belongs to a member: the certificate is signed by our CA, is valid
// now, and names a member that Config.Allowed accepts; a dial to a known member reaches exactly that member. It
// guarantees that strangers cost members nothing: handshakes are bounded in time and number, the source that holds most
// of them loses first, and each source and reason is logged once a minute. Certificate files are read again when they
// change, without a restart and whether anybody connects or not; files that do not work are reported once and the old ones
// stay in use. Connections that are open outlive the end of the certificates they began with, but not, by more than ten
// seconds, the trust in their CA, nor their member's place.
//
// It never decides who is a member, never speaks Raft or the link's protocol, and knows no revocation lists: a member is
// shut out by taking its name out of Allowed, a stolen key by a new CA.
package transport

import "time"

// The application protocols of the port (ALPN, RFC 7301).
const (
	ProtoRaft = "thinrelay-raft"
	ProtoLink = "thinrelay-link"
)

const (
	defaultHandshakeTimeout = 5 * time.Second
	defaultMaxHandshakes    = 64

	reloadInterval = time.Second      // how old a look at the certificate files may be at a handshake
	watchInterval  = 10 * time.Second // how old it may be without one
	logInterval    = time.Minute      // one line per source and reason
	closeTimeout   = 250 * time.Millisecond
	acceptQueue    = 64               // authenticated connections waiting for Accept, per protocol
	userTimeout    = 10 * time.Second // unacknowledged bytes break a connection (TCP_USER_TIMEOUT)
	expiryWarning  = 30 * 24 * time.Hour
)
