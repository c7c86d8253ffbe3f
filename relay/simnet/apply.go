package simnet

import "time"

// processBlocks applies what has come in, unless this node is producing: then
// the blocks wait for the end of its round (producer_plugin.cpp:917-932).
func (n *Node) processBlocks() {
	if n.prod.busy() || n.head == n.db.best {
		return
	}
	n.applyBlocks()
	n.startBlock()
}

// applyBlocks moves the head to the best branch of the fork database.
func (n *Node) applyBlocks() {
	to := n.db.best
	if to == n.head {
		return
	}
	var path []*entry
	from := n.head
	for e := to; ; e = e.parent {
		if e == nil {
			return // not above the head's root: cannot happen
		}
		if from.contains(e.ID) {
			from = e
			break
		}
		path = append(path, e)
	}
	removed := 0
	for e := n.head; e != from; e = e.parent {
		n.pool.putBack(e.Txs)
		removed++
	}
	if removed > 0 {
		n.tell(Event{Kind: Switched, Block: to.Block, Count: removed})
	}
	for i := len(path) - 1; i >= 0; i-- {
		n.votes.block(n.chain.Clock, path[i].Slot)
		n.setHead(path[i])
		if n.db.byID[to.ID] == nil {
			return // finality has overtaken the branch
		}
	}
	if !n.chain.Clock.TimeOf(n.head.Slot + 1).Before(time.Now()) {
		n.prod.enabled = true
	}
}

// setHead applies one block.
func (n *Node) setHead(e *entry) {
	n.head = e
	n.pool.remove(e.Txs)
	if n.chain.Legacy && n.produces(e.Producer) && e.Num() > n.mark.num {
		n.mark = watermark{e.Num(), e.Slot}
	}
	n.tell(Event{Kind: Applied, Block: e.Block})
	n.beginRound(e)
	n.castVotes(e)
	if n.db.advance(e) > 0 {
		n.forget()
	}
	n.syncApplied(e.Block)
}

// beginRound tells once per round that another producer's slots have begun.
func (n *Node) beginRound(e *entry) {
	round := e.Slot - e.Slot%roundSlots
	if round != n.prod.round {
		n.prod.round = round
		n.tell(Event{Kind: RoundBegan, Block: e.Block, Producer: e.Producer})
	}
}

// forget drops what is remembered of blocks below the root.
func (n *Node) forget() {
	root := n.db.root.Num()
	if root%16 != 0 {
		return
	}
	for id := range n.have {
		if id.Num() < root {
			delete(n.have, id)
		}
	}
	for _, p := range n.peers {
		for id := range p.known {
			if id.Num() < root {
				delete(p.known, id)
			}
		}
	}
	for id, votes := range n.early {
		if id.Num() <= root {
			for _, v := range votes {
				v.peer.earlyVote--
			}
			delete(n.early, id)
		}
	}
	n.pool.expire(time.Now())
	for _, p := range n.peers {
		p.expireTrx(time.Now())
	}
}
