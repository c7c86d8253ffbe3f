package cluster

import "errors"

// Errors of the group.
var (
	// ErrNotLeader is returned when only the leader can do what was asked and this member is not leading.
	ErrNotLeader = errors.New("this member is not the leader")

	// ErrLostLeadership is the cause of a leadership that another one or a lost quorum has ended, and is returned for
	// proposals whose fate it leaves open.
	ErrLostLeadership = errors.New("leadership was lost")

	// ErrSteppingDown is the cause of a leadership that is handed over, and is returned for proposals made meanwhile.
	ErrSteppingDown = errors.New("leadership is being handed over")

	// ErrStopped is the cause of a leadership that ends with [Group.Run], and is returned for requests to a group that does not run.
	ErrStopped = errors.New("the group does not run")

	// ErrNoTarget is returned when no other member can take over leadership.
	ErrNoTarget = errors.New("no other voting member is ready to lead")

	// ErrNotMember is returned for a name that is no member, or no voting one.
	ErrNotMember = errors.New("no voting member of that name")

	// ErrNotReady is returned when the member that should take over cannot.
	ErrNotReady = errors.New("the member is not ready to lead")

	// ErrNotTransferred is returned when a hand-over failed and this member still leads.
	ErrNotTransferred = errors.New("leadership was not taken over, this member still leads")

	// ErrOtherWon is returned when a hand-over ended with another leader than the one asked for.
	ErrOtherWon = errors.New("another member than the one asked for leads now")

	// ErrNoWinner is returned when leadership was given up and nobody was seen to have taken it.
	ErrNoWinner = errors.New("leadership was given up and no new leader was seen yet")

	// ErrBusy is returned when a hand-over is under way already.
	ErrBusy = errors.New("a hand-over is under way already")

	// ErrRemoved is returned by [Group.Run] when the member was removed from the cluster.
	ErrRemoved = errors.New("this member was removed from the cluster: move data_dir away to join again")

	// ErrRestored is returned by [Group.Run] when the log is not as far as it was: it was restored from a backup, or the disk has
	// lost what it had confirmed.
	ErrRestored = errors.New("the data directory is older than what this member had: move data_dir away and start again, the member rejoins under a new identity")

	// ErrRemoveLeader is returned when the leader is asked to remove itself.
	ErrRemoveLeader = errors.New("the leader cannot remove itself: step down first")

	// ErrFewLeft is returned for a removal after which those that answer, and whose logs follow, would be no majority any more.
	ErrFewLeft = errors.New("those that answer and are not behind would be no majority without it: bring back the others, or remove them first")

	// ErrHung is returned by [Group.Run] when the group could not be stopped in time, for instance because the disk hangs, and
	// when raft has stopped working. The process has to be started again.
	ErrHung = errors.New("the group hangs, this process has to be started again")

	// ErrNothing is returned when a recovery finds no group to recover. Nothing was created.
	ErrNothing = errors.New("nothing to recover")

	// ErrNotRecovered is returned when a recovery was made and an earlier snapshot is still taken for the last one.
	ErrNotRecovered = errors.New("an earlier snapshot comes before that of the recovery: correct this host's clock, and recover again")

	// ErrLowered is returned when a recovery would lower the mark.
	ErrLowered = errors.New("recovery would lower the mark")
)
