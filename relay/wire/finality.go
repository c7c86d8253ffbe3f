package wire

// Finality is the number of the last irreversible block as tip sees it. claimed
// is the block on tip's own branch that tip's QC claim names: when the claim is
// strong, whatever claimed claims in turn is final (fork_database.cpp:251-268).
// ok is false when tip's claim is weak or absent, or names another block; what
// was final before stays so.
func Finality(tip, claimed Block) (lib uint32, ok bool) {
	if !tip.QCClaim.Present || !tip.QCClaim.Strong || !claimed.QCClaim.Present || claimed.Num() != tip.QCClaim.Num {
		return 0, false
	}
	return claimed.QCClaim.Num, true
}
