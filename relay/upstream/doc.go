// Package upstream is the relay's side towards the outside: it dials the configured nodeos peers, keeps one live
// connection to each, and fetches ranges of blocks from them.
//
// It guarantees that one peer never delays another (a goroutine, a socket and a back-off each), that a peer never
// comes to believe that it is ahead of or behind the relay, which would make it fall silent or ask us for blocks (it is
// told its own root and head back: the echo, p2p notes 3.6), that votes are marked as unwelcome where the peer's
// version has none, that fetched blocks arrive at the caller in ascending order, each linked to the one before, and
// that all goroutines have ended when Run returns.
//
// It never sends a go_away, never decides which block goes where, never keeps a block, and never trusts a number that
// a peer told it further than to choose whom to ask.
package upstream
