// Package proctest tests relayd as an operator runs it: built binaries, each a
// process with a configuration file, a data folder and sockets of its own. What
// is around them is played from the outside: recorded nodeos streams, or a
// simulated network whose oracle alone says what has left the relays.
//
// It guarantees that a test breaks only what it has started: processes by their
// ids, connections by proxies of its own. It reaches into no process: what the
// binaries offer to operators is all it uses.
//
// Two things do it: TestGroup plays scenarios, one fault at a time, and measures
// what they cost; TestChaos (make chaos) lets faults of all kinds happen by a
// seed, several at once, and looks for broken promises. TestChaosMutants does so
// to relays whose emit rule lacks a clause, and TestStormMutants runs the same
// mutants through simulated storms (relay/storms_test.go).
//
// There is nothing here to import. By default each scenario is run a few times,
// for CI; THINRELAY_E2E=long runs the numbers that the project's figures rest on,
// THINRELAY_E2E=20 at most 20 of each. THINRELAY_E2E_LOGS names a folder where
// the relays' logs are kept.
package proctest
