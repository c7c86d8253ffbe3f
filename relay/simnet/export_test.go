package simnet

// ParseBlock exposes the simulator's own block parser.
func ParseBlock(payload []byte) (*Block, error) { return parseBlock(payload) }
