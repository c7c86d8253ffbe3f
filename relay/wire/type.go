package wire

import "strconv"

// Type is the first byte of a payload: the index of the message in nodeos's
// net_message variant (protocol.hpp:166-178). From 128 on it would be the first
// byte of a longer varuint; no such message exists.
type Type uint8

// The messages of Spring, by index. EOS 2.1 and 2.2 use 9 and 10 for something
// else; they must be told a version under 3 (see OfferVersion).
const (
	TypeHandshake         Type = 0
	TypeChainSize         Type = 1
	TypeGoAway            Type = 2
	TypeTime              Type = 3
	TypeNotice            Type = 4
	TypeRequest           Type = 5
	TypeSyncRequest       Type = 6
	TypeBlock             Type = 7
	TypeTransaction       Type = 8
	TypeVote              Type = 9
	TypeBlockNack         Type = 10
	TypeBlockNotice       Type = 11
	TypeGossipPeers       Type = 12
	TypeTransactionNotice Type = 13
)

// String is the name nodeos gives the message, as in captures and logs.
func (t Type) String() string {
	switch t {
	case TypeHandshake:
		return "handshake"
	case TypeChainSize:
		return "chain_size"
	case TypeGoAway:
		return "go_away"
	case TypeTime:
		return "time"
	case TypeNotice:
		return "notice"
	case TypeRequest:
		return "request"
	case TypeSyncRequest:
		return "sync_request"
	case TypeBlock:
		return "signed_block"
	case TypeTransaction:
		return "packed_transaction"
	case TypeVote:
		return "vote"
	case TypeBlockNack:
		return "block_nack"
	case TypeBlockNotice:
		return "block_notice"
	case TypeGossipPeers:
		return "gossip_bp_peers"
	case TypeTransactionNotice:
		return "transaction_notice"
	}
	return "type_" + strconv.Itoa(int(t))
}
