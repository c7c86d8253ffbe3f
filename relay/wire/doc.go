// Package wire is the byte level of the nodeos p2p protocol: frames, the
// messages a chainless relay has to understand, and a walk over block headers.
//
// It guarantees that
//   - bytes from a peer never make it panic, and never make it allocate more
//     than a fixed floor plus twice what this peer has really sent;
//   - a message that decodes encodes again to the very same bytes: encodings
//     that nodeos never writes (padded varuint32, a bool of 2) are refused
//     rather than normalised;
//   - frames that are passed on are passed on verbatim: a Frame is immutable,
//     shared by reference counting, and comes from a pool, so that reading and
//     forwarding allocate nothing in steady state.
//
// It never looks into transactions or into the body of a block, never checks
// consensus rules and never does I/O other than reading from the io.Reader it
// was given. Messages 7 and 8, and 10 and up, stay raw bytes.
//
// Facts about the protocol are cited as nodeos file:line of Spring v1.2.2; the
// project's protocol notes collect them.
package wire
