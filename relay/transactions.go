package relay

import "github.com/thinrelay/thinrelay/relay/conn"

// onTransaction passes a transaction on, once, on the lane below everything
// else: down to the replicas and followers when the network sent it (fromNet),
// up when a replica did. It is never sent back where it came from.
func (h *hub) onTransaction(e *event, from *peer, fromNet bool) {
	if !h.trx.Add(e.trx) {
		h.cfg.Meter.TransactionDropped()
		return
	}
	f := e.frame
	if fromNet {
		h.cfg.Meter.TransactionDown()
	} else {
		h.cfg.Meter.TransactionUp()
		for _, u := range h.upSet {
			if u.up.Transactions() {
				u.conn.Send(conn.Bulk, f)
			}
		}
		if h.leader != nil {
			h.leader.conn.Send(conn.Bulk, f)
		}
	}
	for _, r := range h.replicaSet {
		if &r.peer != from && !r.muted && !r.syncing {
			r.conn.Send(conn.Bulk, f)
		}
	}
	for _, k := range h.linkSet {
		if &k.peer != from {
			k.conn.Send(conn.Bulk, f)
		}
	}
}
