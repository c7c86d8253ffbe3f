package control

import "time"

// Event is something an operator may want to know of. Only the fields that
// belong to its kind are set.
type Event struct {
	ID   string    `json:"id,omitzero"` // given by the server; resumes a stream
	Time time.Time `json:"time"`
	Kind Kind      `json:"kind"`
	Node string    `json:"node,omitzero"` // the member it happened on
	Text string    `json:"text,omitzero"` // one sentence for people

	Num     uint32 `json:"num,omitzero"`
	BlockID string `json:"block_id,omitzero"`
	Slot    uint32 `json:"slot,omitzero"`
	LeadMS  *int64 `json:"lead_ms,omitempty"` // forwarded: how long before its slot time
	Source  string `json:"source,omitzero"`   // the replica
	Reason  string `json:"reason,omitzero"`   // refused: one of the refusal reasons; leader: why
	Peer    string `json:"peer,omitzero"`     // the upstream's address
	From    string `json:"from,omitzero"`     // active, leader, step_down: before
	To      string `json:"to,omitzero"`       // active, leader, step_down: after
	TookMS  int64  `json:"took_ms,omitzero"`
	GapMS   *int64 `json:"gap_ms,omitempty"`
	Lost    int    `json:"lost,omitzero"`
}

// Kind is the kind of an [Event], and the name of the server-sent event.
type Kind string

const (
	KindForwarded    Kind = "forwarded"     // a block of ours left: Num, BlockID, Slot, LeadMS, Source
	KindRefused      Kind = "refused"       // a replica's block did not: Reason and the above
	KindMissed       Kind = "missed"        // a slot of ours passed without a block: Slot
	KindActive       Kind = "active"        // another replica is active: From, To, Reason
	KindLeader       Kind = "leader"        // another member leads: From, To, Reason
	KindStepDown     Kind = "step_down"     // a planned hand-over ended: From, To, TookMS, GapMS, Lost
	KindReplicaUp    Kind = "replica_up"    // Source
	KindReplicaDown  Kind = "replica_down"  // Source, Reason, Text: at which relay, if not this one
	KindUpstreamUp   Kind = "upstream_up"   // Peer
	KindUpstreamDown Kind = "upstream_down" // Peer, Reason
	KindAlarm        Kind = "alarm"         // somebody should look: Text
)

// Block is a block the member saw lately.
type Block struct {
	Num      uint32     `json:"num"`
	ID       string     `json:"id"`
	Previous string     `json:"previous,omitzero"`
	Slot     uint32     `json:"slot"`
	SlotTime time.Time  `json:"slot_time"`
	Producer string     `json:"producer"`
	State    BlockState `json:"state"`
	Source   string     `json:"source,omitzero"` // replica or upstream it came from first
	Reason   string     `json:"reason,omitzero"` // why it was refused
	Seen     time.Time  `json:"seen,omitzero"`   // when this member forwarded or refused it
	LeadMS   *int64     `json:"lead_ms"`         // Seen before the slot time; negative: after
}

// BlockState is what the member did with a block.
type BlockState string

const (
	BlockForwarded BlockState = "forwarded" // ours, sent upstream
	BlockNetwork   BlockState = "network"   // came from the network
	BlockRefused   BlockState = "refused"   // ours, not sent
)

// StepDown is the outcome of a planned hand-over, as measured.
type StepDown struct {
	From     string `json:"from"`
	To       string `json:"to"`
	WaitedMS int64  `json:"waited_ms"`         // for a moment outside our round
	TookMS   int64  `json:"took_ms"`           // from stopping to the successor's readiness
	GapMS    *int64 `json:"gap_ms"`            // no block could have left in this span; null: not measured
	Lost     int    `json:"lost"`              // slots of ours without a block because of it
	Term     uint64 `json:"term,omitzero"`     // that To leads, or a later one
	Followed int    `json:"followed,omitzero"` // how often the leader had changed before it was asked
}
