// Package cluster is the Raft group of the relays: it agrees on the mark, decides who leads, and keeps the membership.
//
// # What it guarantees
//
// A mark that [Group.Propose] confirmed is on the disks of a majority and was accepted by the rule of package fsm.
// Leadership is a context ([Group.Run]): it begins after a barrier of its own term, so that the leader knows all that its predecessors
// committed, it ends with the term, and one leadership has ended, its function returned, before the next begins.
// A hand-over ends leadership first and asks another member to take it second, and reports who has it then, whoever that is.
// A cluster is founded once. A member that lost its log never poses as the one that had it.
//
// # What it never does
//
// It knows nothing of blocks and nothing of EOSIO. It makes no promise about two leaders at one time: a paused or isolated node believes
// that it leads for as long as nothing tells it otherwise (no lease of hashicorp/raft excludes that), and what keeps this harmless is the mark, not
// time. It removes no member on its own, except the former identity of one that came back with an empty disk.
//
// # Leadership
//
// The function given to Run gets the term it leads, which is the term of every entry proposed meanwhile: an entry of another
// term than its proposal names is refused by fsm. The context's cause says why it ended: [ErrLostLeadership],
// [ErrSteppingDown] or [ErrStopped].
//
// A hand-over may fail, after the function has returned and after the other was asked to take over (TimeoutNow). The
// node then leads again in the same term if it still can, but only as if anew: a barrier first, then a new call. The
// late effect of the request is a higher term, which ends that call like any loss. The new call knows nothing of what
// the former did in the same term, and must not declare a right unused that it was not itself given.
//
// # Founding
//
// A member without state waits until it sees exactly Expect members, for a settling time without change, all without state and none with a cluster
// id, and not counting those that only join (Expect 0): they have been told of a cluster, which may be out of sight. Then the one with the smallest name, and nobody else, writes the configuration with all of them, and the others wait for its
// call. Once a cluster id is seen anywhere, nobody founds any more: newcomers wait for the leader to add them, as non-voters
// first, voters when they have caught up. The cluster id is saved before the configuration is written, so that a crash between leaves a member
// that will complete what it began and that keeps the others from beginning.
package cluster
