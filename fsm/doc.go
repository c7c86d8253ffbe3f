// Package fsm holds the one value the cluster agrees on: the mark, which is the last block forwarded to the network
// and the only source whose child may follow it.
//
// # What it guarantees
//
// The height of the mark never falls: not by an entry, not by a snapshot, not by a restart. Two different marks of
// one height are only ever set by one leadership, and only when that leadership declared that it had not used the
// first. Every member applies the same entries to the same state with the same pure function ([State.Apply]), so that
// every member gets the same answer for every entry, refusals included.
//
// # What it never does
//
// It decides nothing about blocks: whether a block links, whose it is, whether it is in time are questions for
// the gate. It reads no clock, does no I/O and knows no peer. Only [FSM] knows that hashicorp/raft exists.
//
// # Why the rule looks as it does
//
// A mark reads: the cluster has forwarded up to Last; the only block that may have followed it is Source's child of
// Last. Source is one nodeos process, and one process builds one child per parent. So a mark that is applied is a
// right to send exactly one block, and that right may be used by any leader that holds the mark, again and again,
// without harm: whoever uses it sends the same bytes. A leader that was paused and wakes up stale can send only what
// its successor would send as well. This is why no clock and no lease appears anywhere below.
//
// What remains to be excluded is that two marks of one height, hence two rights to two different children, are both
// used. Each clause of [State.Apply] closes one way in which this could happen:
//
//   - From must equal the current mark (compare and set). A proposal is a statement about one mark: "I used it" or "I
//     did not use it". Once the mark is another one the statement is about something that is gone, and applying it
//     would move the mark on behalf of a leader that had not seen what it replaces. It also makes a proposal that raft
//     committed late, after its proposer gave up on it, harmless: it applies to the mark it was made for, or not at all.
//
//   - The entry's Raft term must equal the term the proposer believes it leads. A node can lose leadership and win
//     it again between building a proposal and handing it to raft; the entry then carries a term whose start-up barrier the
//     proposer has not passed. Everything a leadership declares is declared for that leadership alone.
//
//   - A greater height is always free. The mark moves up because a block was forwarded, or because the network built a
//     block that the mark must follow; the rights below are then of no use to anyone, since nobody links to them but with
//     blocks that are already decided.
//
//   - A lower height is never accepted. The right to a height that was passed could have been used; setting the mark
//     below it would give that right a second time.
//
//   - An equal height is accepted only with Unused set, since otherwise the first right of this height could have been used,
//     and the second would be a second block of the next height.
//
//   - An equal height is accepted only from the term that set the current mark. Unused is something only that
//     leadership can know, since only it and its successors may use the right. If a successor could declare a right
//     unused that its predecessor was given, the predecessor, paused between its check and its write, would still send.
//     For a successor the right is therefore spent or not spent, unknowable, and only a greater height resolves it.
//
// # Entries that cannot be read
//
// An entry that names a known version but does not decode is refused by every member of every release in the
// same way, since the layout of a version never changes: it is an error ([ErrMalformed]) and no state moves.
//
// An entry of an unknown version is different. A newer member understands it and may have moved its mark; a member
// that skipped it would hold a lower mark and, once leader, would give away a right that was used. It must not go on, and
// it must not panic on bytes either. So the FSM halts: the state stays as it is, every later entry, snapshot and
// restore is refused with [ErrVersion], and [FSM.Halted] is closed, upon which the group leaves with that error. The
// log keeps the entry, so a restart with the same release halts again, and a release that understands it goes on
// from there. A release that adds a version must not propose it before every member can read it.
package fsm
