package simnet

import (
	"time"

	"github.com/thinrelay/thinrelay/relay/wire"
)

// mode is what a producer node's pending block is for.
type mode uint8

const (
	idle        mode = iota // no pending block
	speculating             // the block would not be ours: follows the chain
	waiting                 // ours, but its window has not begun; blocks are not applied
	producingNow
)

// producing is the production loop of nodeos's producer plugin.
type producing struct {
	mode     mode
	enabled  bool // stale production is off until a fresh block has been applied
	held     bool // paused through producer_api
	slot     wire.Slot
	parent   *entry
	deadline time.Time // of the pending block
	timer    *time.Timer
	paused   string // why the pending block is not ours although the slot is
	round    wire.Slot
	failed   bool // the block that was to be produced is not there
}

// busy reports whether blocks that come in are not applied (PP:922-932).
func (p *producing) busy() bool { return p.mode == producingNow || p.mode == waiting }

// watermark is the highest block of the own producer, legacy chains only.
type watermark struct {
	num  uint32
	slot wire.Slot
}

// effort is the time a producer takes for each block of its round.
func (n *Node) effort() time.Duration {
	return n.chain.Clock.Length - n.timing.Offset/roundSlots
}

// startBlock begins a pending block on the head, as start_block and
// schedule_production_loop do (producer_plugin.cpp:2189-2250, 2865-2925).
func (n *Node) startBlock() {
	pr := &n.prod
	pr.timer.Stop()
	pr.mode = idle
	if len(n.cfg.Producers) == 0 {
		n.applyBlocks()
		return
	}
	if n.rel.siblings == siblingApplied {
		n.applyBlocks()
	}
	n.chooseMode()
	if pr.mode == speculating {
		head := n.head
		if n.applyBlocks(); n.head != head {
			n.chooseMode()
		}
	}
	now := time.Now()
	switch pr.mode {
	case waiting:
		pr.timer.Reset(n.windowStart(pr.slot).Sub(now))
	case producingNow:
		left := max(0, pr.deadline.Sub(now))
		if full := n.faults.full; full > 0 {
			left = min(left, full)
		}
		pr.timer.Reset(left)
	case speculating:
		if !pr.enabled || pr.held {
			return
		}
		wake := n.windowStart(n.nextOwnSlot(pr.slot))
		if now.After(wake) {
			wake = pr.deadline
		}
		pr.timer.Reset(max(0, wake.Sub(now)))
	case idle:
	}
}

// windowStart is one slot length before a slot's time.
func (n *Node) windowStart(s wire.Slot) time.Time {
	return n.chain.Clock.TimeOf(s).Add(-n.chain.Clock.Length)
}

// nextOwnSlot is the first slot after s that is this node's.
func (n *Node) nextOwnSlot(s wire.Slot) wire.Slot {
	for s++; !n.produces(n.chain.ProducerAt(s)); s += roundSlots - s%roundSlots {
	}
	return s
}

// chooseMode is determine_pending_block_mode (producer_plugin.cpp:2054-2187).
func (n *Node) chooseMode() {
	pr := &n.prod
	clock := n.chain.Clock
	now := time.Now()
	base := now
	if t := clock.TimeOf(n.head.Slot); t.After(base) {
		base = t
	}
	pr.slot, pr.parent = clock.SlotAt(base)+1, n.head
	pr.deadline = clock.blockStart(pr.slot, n.effort()).Add(n.effort())
	pr.mode = speculating
	if ours := n.produces(n.chain.ProducerAt(pr.slot)); ours {
		reason := n.refusal(now)
		n.pause(reason)
		if reason == "" {
			pr.mode = producingNow
			if pr.slot%roundSlots == 0 {
				n.faults.startRound(n)
				if now.Before(n.windowStart(pr.slot)) {
					pr.mode = waiting
				}
			}
			return
		}
	}
	if next := now.Add(clock.Length); next.After(pr.deadline) {
		pr.deadline = next // a speculative block is restarted once a slot
	}
}

// refusal is why this node does not produce in its own slot.
func (n *Node) refusal(now time.Time) string {
	switch {
	case !n.prod.enabled:
		return "stale production not enabled"
	case n.prod.held:
		return "production is explicitly paused"
	}
	if why := n.votePause(now); why != "" {
		return why
	}
	if n.chain.Legacy && n.mark.num != 0 {
		if n.mark.num > n.head.Num() {
			return "signed a block at a higher block number"
		}
		if n.mark.slot >= n.prod.slot {
			return "signed a block at the next block time or later"
		}
	}
	return ""
}

// pause tells about the beginning and the end of a pause, once each.
func (n *Node) pause(reason string) {
	pr := &n.prod
	switch {
	case reason != "" && pr.paused == "":
		n.tell(Event{Kind: Paused, Detail: reason})
	case reason == "" && pr.paused != "":
		n.tell(Event{Kind: Resumed})
	}
	pr.paused = reason
}

// wake is the production timer.
func (n *Node) wake() {
	pr := &n.prod
	if pr.mode == producingNow {
		n.produce()
	}
	if pr.failed {
		// it waits for the time of the next slot, and applies nothing meanwhile (producer_plugin.cpp:2983-2992)
		pr.failed, pr.mode = false, waiting
		base := time.Now()
		if t := n.chain.Clock.TimeOf(n.head.Slot); t.After(base) {
			base = t
		}
		pr.timer.Reset(time.Until(n.chain.Clock.TimeOf(n.chain.Clock.SlotAt(base) + 1)))
		return
	}
	n.startBlock()
}

// produce signs the pending block and sends it out. It does so however late it
// is: a process that was stopped goes on where it was.
func (n *Node) produce() {
	pr := &n.prod
	parent := n.faults.parent(n, pr.parent)
	d := draft{parent: parent.Block, slot: pr.slot, producer: n.chain.ProducerAt(pr.slot)}
	if n.chain.Legacy {
		if n.mark.num != 0 && n.mark.num < parent.Num() {
			d.confirmed = uint16(min(parent.Num()-n.mark.num, parent.Num()-parent.lib, 1<<16-1))
		}
	} else {
		d.claim, d.qc = n.bestClaim(parent)
	}
	n.faults.backdated(n, d)
	twins := 1
	if n.faults.equivocate > 0 {
		n.faults.equivocate--
		twins = 2
	}
	for range twins {
		d.receipts, d.txs = n.fill(twins > 1)
		b, err := n.chain.seal(d)
		if err != nil {
			n.log.Error("block is not signed", "error", err)
			return
		}
		n.commit(b)
	}
}

// bestClaim is the newest certificate on a branch, and its bytes if the branch
// does not have it yet.
func (n *Node) bestClaim(parent *entry) (Claim, []byte) {
	for e := parent; e != nil && e.Num() >= parent.Claim.Num; e = e.parent {
		if c, ok := e.claim(n.chain); ok && c.newer(parent.Claim) {
			strong, weak := e.strong, e.weak
			if ones(strong) < n.chain.Threshold && (c.Strong || ones(strong|weak) < n.chain.Threshold) {
				strong, weak = 1<<len(n.chain.finalizers)-1, 0 // it came with a block
			}
			return c, n.chain.certificate(e.ID, c, strong, weak)
		}
	}
	return parent.Claim, nil
}

// commit makes an own block the head and broadcasts it. One that is there already, since a sibling
// has built the same, byte for byte, as on an idle chain, is given up
// (controller.cpp:3496, fork_database.cpp:289-291).
func (n *Node) commit(b *Block) {
	e, added, err := n.db.add(b)
	if added == addKnown {
		n.prod.failed = true
		n.tell(Event{Kind: Failed, Block: b, Detail: "duplicate block added"})
		return
	}
	if err != nil || added == addUnlinkable {
		n.log.Error("own block does not link", "block", b, "error", err)
		return
	}
	n.votes.block(n.chain.Clock, b.Slot)
	n.tell(Event{Kind: Produced, Block: b})
	n.broadcast(b)
	n.replayVotes(e)
	if e.parent == n.head || n.head == n.prod.parent {
		n.setHead(e)
	}
}

// fill takes the pending transactions in an order of this node's own.
func (n *Node) fill(twin bool) (receipts []byte, keys [][32]byte) {
	txs := n.pool.pending(time.Now())
	n.rand.Shuffle(len(txs), func(i, j int) { txs[i], txs[j] = txs[j], txs[i] })
	if len(txs) > maxBlockTxs {
		txs = txs[:maxBlockTxs]
	}
	if twin {
		// two children of one parent have to differ even on an idle chain
		txs = append(txs, newTx("twin "+n.cfg.Name+time.Now().String()+string(rune('a'+n.rand.IntN(26))), time.Now().Add(time.Minute)))
	}
	for _, tx := range txs {
		receipts = appendReceipt(receipts, tx, n.rand.Uint32())
		keys = append(keys, tx.Key)
	}
	return receipts, keys
}
