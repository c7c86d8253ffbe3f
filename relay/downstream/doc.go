// Package downstream is the side of the relay that replicas dial: it listens, lets in who may come, answers the
// handshake by an echo of the replica's own head and root, and hands what each replica sends to a Sink.
//
// It guarantees that an address outside the allow-list costs no more than an accept and a close, that nobody gets past
// a handshake of the wrong chain, version rules or key, that connects without handshakes cannot keep out those with
// one, that ReplicaUp, the frames and ReplicaDown of one replica come in this order from one goroutine, that of two
// connections with one node_id the newer lives, unless the older one still answers, and the older is down before the
// newer is up, and that nothing is left running when Serve returns.
//
// It never sends a nodeos a go_away, only a relay that dials this port (ErrRelay): most of its reasons make nodeos forget the relay until it restarts (p2p notes, 3.7), so
// whoever is not wanted is simply closed. It never decides what a replica gets: blocks, votes and transactions are the
// Sink's business, save for the answers to sync requests, which Replica.Sync streams from a Fetcher.
package downstream
