// Package simnet is a simulated Antelope network that speaks the real p2p
// bytes: producers, upstream peers, same-key replicas and finalizer hosts that
// behave like nodeos of a chosen release, traps included, and an oracle that
// records what reaches the network from outside. Tests, the demo and chaos runs
// put relays between the two halves, since real nodeos cannot be shipped.
//
// It models what a relay can be hurt by: rounds of 12 slots and their production
// offset, replicas that do not apply blocks while they produce, blocks that
// differ between replicas under load and are byte-identical without, the fork
// choice of each release, votes, quorum certificates and the vote pause, the
// handshake's sync decisions, syncing flags, unlinkable blocks that lead to a
// close, keepalive limits, one connection per host, and sync serving.
//
// It guarantees that everything derives from Rules: two processes with the same
// rules agree on keys, schedule and validity. All time goes through package
// time, so that it runs in real time and inside testing/synctest alike, at any
// slot length.
//
// It never executes transactions, keeps no state on disk, and its BLS keys and
// signatures are opaque deterministic bytes of the right size. It is imported by
// tests and by the demo only.
package simnet
