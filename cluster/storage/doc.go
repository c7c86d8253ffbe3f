// Package storage keeps what a member must not forget: the Raft log, its term and vote, snapshots of the mark, and who
// it is.
//
// # What it guarantees
//
// A write that returned nil is on the disk (fsync). A log write that takes longer than the deadline returns
// [ErrSlow], upon which raft gives up leadership: without that a leader whose disk hangs stays leader for as long as
// it hangs, since hashicorp/raft stores entries in the loop that would notice (hashicorp/raft#503, #666).
//
// A write that was given up may still finish. Raft then believes that its entries are not on the disk while they are, and
// would build on another last entry. So the store does not let it come to that: until the late write is finished and undone every other
// write is refused or waits, and only then is the disk again what raft believes it to be. A crash in
// between leaves the entries there, which is harmless, because nothing was promised meanwhile: no vote, no entry, no term.
//
// A vote is given when all of it is on the disk: candidate and term are two writes, and the term, without which the candidate says nothing, comes last.
//
// A term is written without deadline, since raft panics when that fails; a member that cannot write its term just says
// nothing. Deleting has no deadline either: raft would go on with a wrong idea of its last entry.
//
// # When it fails for good
//
// After an error that is not about space, and after a failed write that leaves raft with a wrong idea of its log
// (a configuration entry, or the first write after a truncation: raft goes by either whatever becomes of the write), the store
// fails: [Store.Failed] is closed, every write is refused, and the process has to start again from what is on the disk. A
// failed fsync must not be retried: the kernel may have dropped the pages and reports success the second time.
//
// # What it never does
//
// It never writes without fsync, it never hands an old identity to an empty log, and it never repairs a file.
package storage
