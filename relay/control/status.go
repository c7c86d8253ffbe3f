package control

import "time"

// Status is the whole group as one member sees it. Fields about this member
// are as of Time; fields that came from another member carry an age of their
// own. Durations end in _ms; a null figure is one nobody knows.
type Status struct {
	Node    string    `json:"node"`    // the member that answers
	Version string    `json:"version"` // its build
	Time    time.Time `json:"time"`    // its clock

	Cluster Cluster `json:"cluster"`
	Quorum  Quorum  `json:"quorum"`
	Term    uint64  `json:"term"`

	Leader       string    `json:"leader"`                 // empty: none is known
	LeaderSince  time.Time `json:"leader_since,omitzero"`  // when it won; with no leader, when the last one was lost
	LeaderReason string    `json:"leader_reason,omitzero"` // why it leads: "election", "step-down from us-1", …
	Mode         Mode      `json:"mode"`                   // who is allowed to produce, and how
	Active       string    `json:"active"`                 // name of the active replica; empty: none

	Forwarded   *Forwarded `json:"forwarded"`     // null: nothing was ever forwarded
	NextRoundMS *int64     `json:"next_round_ms"` // until our next round begins; 0 while it runs; null: schedule not learned yet
	Round       *Round     `json:"round"`         // our round under way, else the last one; null: none seen yet

	Members   []Member   `json:"members"`
	Upstreams []Upstream `json:"upstreams"`
	Timeouts  Timeouts   `json:"timeouts"`
	Counters  Counters   `json:"counters"`
	Events    []Event    `json:"events"` // recent, newest first, without the forwarded blocks

	Health   Health    `json:"health"`   // the worst of Problems
	Problems []Problem `json:"problems"` // worst first
}

// Cluster names the group.
type Cluster struct {
	Name      string   `json:"name"`      // what to call it: the first producer where nothing better is set
	ID        string   `json:"id"`        // made at bootstrap, kept on disk
	ChainID   string   `json:"chain_id"`  // 64 hex digits; empty until learned
	Producers []string `json:"producers"` // account names whose blocks are forwarded
}

// Quorum counts the voting members. OK is the member's own verdict, not
// Have >= Need: a member that was cut off knows only of itself.
type Quorum struct {
	Have  int  `json:"have"`  // voters heard of lately, this one included
	Need  int  `json:"need"`  // a majority
	Total int  `json:"total"` // voters configured
	OK    bool `json:"ok"`    // a leader with a majority is known to this member
}

// Mode is how the active replica is chosen (the configuration's failover.mode).
type Mode string

const (
	ModeVotes   Mode = "votes"   // others' votes go to the active replica only
	ModePassive Mode = "passive" // every replica produces, one is heard
)

// Forwarded is the replicated mark: the last block that left the group, or the block of another producer that our next one has to follow. Then
// Producer says whose it is, and Ours is the last block that left.
type Forwarded struct {
	Num      uint32    `json:"num"`
	ID       string    `json:"id"` // 64 hex digits
	Slot     uint32    `json:"slot"`
	SlotTime time.Time `json:"slot_time"`
	AgeMS    int64     `json:"age_ms"` // since this member learned it was forwarded
	Source   string    `json:"source"` // the replica's name, else the short node id; empty: a block of the network's

	Producer string     `json:"producer,omitzero"` // of a block that is not ours: nothing was forwarded at this height
	Ours     *Forwarded `json:"ours,omitzero"`     // beside a producer: the last block of ours that left, where this member knows it
}

// Round is twelve slots of one of our producers.
type Round struct {
	Producer string `json:"producer"`
	Live     bool   `json:"live"`   // under way now
	Number   uint32 `json:"number"` // first slot divided by 12
	Slots    []Slot `json:"slots"`
}

// Slot is one half second of a round.
type Slot struct {
	Slot   uint32    `json:"slot"`
	Time   time.Time `json:"time"`
	State  SlotState `json:"state"`
	Num    uint32    `json:"num,omitzero"`
	ID     string    `json:"id,omitzero"`
	Source string    `json:"source,omitzero"`
	LeadMS *int64    `json:"lead_ms"` // how long before its slot time the block left; negative: after it
}

// SlotState says what became of a slot.
type SlotState string

const (
	SlotPending   SlotState = "pending"   // not decided yet
	SlotForwarded SlotState = "forwarded" // our block left in time
	SlotLate      SlotState = "late"      // our block left, after its slot time
	SlotMissed    SlotState = "missed"    // no block of ours left for it
	SlotOther     SlotState = "other"     // a block of ours is on the chain that this group did not forward
)

// Member is one relay of the group, as the answering member knows it.
type Member struct {
	Name          string    `json:"name"`
	Region        string    `json:"region"`
	Role          Role      `json:"role"`
	HTTP          string    `json:"http,omitzero"` // address of its control API, if it told
	Upstream      string    `json:"upstream"`      // "2 connected", "reachable", "unreachable", "not taken"; empty: unknown
	Replicas      []Replica `json:"replicas"`
	Mark          uint32    `json:"mark"` // height of its mark; 0: unknown
	RTTMS         *float64  `json:"rtt_ms"`
	DiskP99MS     *float64  `json:"disk_p99_ms"`
	ClockOffsetMS *float64  `json:"clock_offset_ms"` // its clock minus ours; null: unknown, or this member
	Version       string    `json:"version"`
	Note          string    `json:"note,omitzero"` // one short remark, already worded
	Stale         bool      `json:"stale"`         // older than what the group promises to tell
	AgeMS         int64     `json:"age_ms"`        // of every figure in this entry; 0 for the member that answers
}

// Role is what a member is in the group.
type Role string

const (
	RoleLeader      Role = "leader"
	RoleFollower    Role = "follower"
	RoleNonvoter    Role = "nonvoter" // catching up, does not count for the quorum
	RoleUnreachable Role = "unreachable"
)

// Replica is a nodeos connected to a member.
type Replica struct {
	Name     string `json:"name"`
	NodeID   string `json:"node_id"` // short
	Active   bool   `json:"active"`  // hears others' votes, and so produces
	Observer bool   `json:"observer,omitzero"`
	Behind   bool   `json:"behind,omitzero"` // overflowed; is being caught up from the ring
	Syncing  bool   `json:"syncing,omitzero"`
	Version  string `json:"version,omitzero"`
	Head     uint32 `json:"head,omitzero"`
}

// Upstream is one configured peer outside, as the leader sees it.
type Upstream struct {
	Addr      string        `json:"addr"`
	State     UpstreamState `json:"state"`
	Head      uint32        `json:"head,omitzero"`
	RTTMS     *float64      `json:"rtt_ms"`
	LastError string        `json:"last_error,omitzero"`
	Node      string        `json:"node"` // the member that told
	AgeMS     int64         `json:"age_ms"`
}

// UpstreamState is the state of the connection to an upstream.
type UpstreamState string

const (
	UpstreamConnected   UpstreamState = "connected"
	UpstreamConnecting  UpstreamState = "connecting"
	UpstreamRefused     UpstreamState = "refused"     // wrong chain, key or the like: will not mend itself
	UpstreamReachable   UpstreamState = "reachable"   // a follower's probe
	UpstreamUnreachable UpstreamState = "unreachable" // a follower's probe, or no connection
	UpstreamNotTaken    UpstreamState = "not taken"   // a follower that they accepted on TCP and no further, when it led
)

// Timeouts are the group's timeouts in force, and where they came from.
type Timeouts struct {
	HeartbeatMS int64 `json:"heartbeat_ms"`
	ElectionMS  int64 `json:"election_ms"`
	LeaseMS     int64 `json:"lease_ms"`
	Auto        bool  `json:"auto"` // derived from the measured RTT between members
}

// Counters count since the answering member started.
type Counters struct {
	Forwarded uint64 `json:"forwarded"`
	Refused   uint64 `json:"refused"`
	Late      uint64 `json:"late"`
	Missed    uint64 `json:"missed"` // slots of ours without a block, whoever led
	Failovers uint64 `json:"failovers"`
}
