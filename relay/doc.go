// Package relay is the node: it stands between our nodeos replicas and the
// network, forwards one block per height and tells every replica what the
// network says.
//
// One goroutine, the hub, owns all state: the ring of recent blocks, the gate
// (may this block leave?), the director (who is to speak?), and who has heard
// what. Connections live in relay/downstream (replicas), relay/upstream
// (outside peers) and, between relays, in streams that the caller brings. The
// hub itself never does I/O and never waits: it takes events from the
// connections' readers and puts frames on the bounded queues of their writers.
//
// It guarantees that a block of ours leaves only when the gate grants it, that
// a block is written to an upstream only after its parent, that one slow or
// hostile peer costs the others nothing, and that Run, Lead and the link
// methods have undone all they did when they return.
//
// It never signs, never executes or validates a block, keeps nothing on disk,
// and knows nothing of Raft: leadership and the replicated mark come through
// the small interface Proposer and the methods Lead and Applied.
package relay
