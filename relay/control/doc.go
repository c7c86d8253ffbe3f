// Package control is what operators and their tools see of a relay: an
// HTTP+JSON API with a server-sent event stream, its typed client, one status
// page, and the Prometheus metrics.
//
// It guarantees that every member answers reads, with or without a quorum, and
// that every figure which came from another member carries its age; that
// nothing changes state without loopback, a verified client certificate or the
// bearer token, nor on the word of a web page of another origin; and that no
// reader, however slow, holds up the relay: each subscriber has a bounded queue
// and is dropped when it is full.
//
// It never decides anything about blocks and knows no other package of the
// relay: it consumes the small interface [Node], and its JSON types are its
// own. cmd/relayd adapts the relay and the cluster to both.
package control
