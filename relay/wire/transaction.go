package wire

import "crypto/sha256"

// TrxKey identifies a packed transaction for dedup: the sha256 of its body. It
// is not the transaction id, which would need the inflated transaction; nodeos
// serialises a transaction to the same bytes wherever it passes it on.
func TrxKey(body []byte) [32]byte { return sha256.Sum256(body) }
