package wire

// RaceEnabled tells tests that count allocations to stand aside: the race
// detector makes sync.Pool forgetful, and poisoned frames are not reused.
const RaceEnabled = raceEnabled

// ReadBuffer is the floor of what a Reader may hold for a peer that has sent nothing.
const ReadBuffer = readBuffer

// ClassSize is the buffer a frame of size bytes gets.
func ClassSize(size int) int { return classSize(classOf(size)) }

// RecoverKey is the recovery behind CheckHandshake and SignatureKey.
var RecoverKey = recoverKey
