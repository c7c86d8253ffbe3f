// Package conn is one Antelope p2p connection: a reader that hands frames to its owner, a writer that sends the
// frames of three bounded lanes in order of importance, and the time messages that keep both ends alive.
//
// It guarantees that Send and SendNow never block, that a frame is written whole or not at all in the order of its lane, that
// live frames (blocks, votes, control) go before block sync and block sync before transactions, that memory for
// queued frames is bounded, that every reference to a frame taken is given back on every path, and that Serve returns
// the one cause for which the connection ended, with no goroutine left behind.
//
// It never interprets a message other than time, never sends a go_away, never redials, and never holds a lock while
// it reads or writes.
package conn
