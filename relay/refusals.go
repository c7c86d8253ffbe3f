package relay

import (
	"github.com/thinrelay/thinrelay/relay/gate"
	"github.com/thinrelay/thinrelay/relay/ring"
	"github.com/thinrelay/thinrelay/relay/wire"
)

// toldRefusals bounds how many refusals are remembered: more than a round of
// blocks by a dozen sources.
const toldRefusals = 256

// refuse tells that a block by a source was refused, once: it is offered again
// whenever the mark, the tip or the clock may have changed the answer.
func (h *hub) refuse(e *ring.Entry, source wire.ID, reason gate.Reason) {
	key := wish{e.Block.ID, source}
	if h.refused[key] {
		return
	}
	if h.refused == nil || len(h.refused) >= toldRefusals {
		h.refused = make(map[wish]bool, toldRefusals)
	}
	h.refused[key] = true
	h.record(Record{Kind: Refused, Block: e.Block, Source: source, Name: h.sourceName(source), Reason: reason})
}
